package auth

import (
	"encoding/binary"
	"sync/atomic"
)

// ways is how many digests share a set of a table.
const ways = 8

// table is a bounded, set-associative set of digests. Reading takes no lock and allocates nothing. Whoever adds to a full
// set replaces one of its members, picked by the digest itself: as digests are keyed, nobody outside can aim.
// They are compared plainly for the same reason.
type table struct {
	slots []atomic.Pointer[digest]
}

// newTable returns a table of the given size: a power of two, at least ways.
func newTable(size int) table {
	return table{slots: make([]atomic.Pointer[digest], size)}
}

func (t table) has(d *digest) bool {
	set := t.set(d)
	for i := range set {
		if p := set[i].Load(); p != nil && *p == *d {
			return true
		}
	}
	return false
}

func (t table) add(d digest) {
	set := t.set(&d)
	for i := range set {
		if set[i].CompareAndSwap(nil, &d) {
			return
		}
	}
	set[d[len(d)-1]%ways].Store(&d)
}

func (t table) set(d *digest) []atomic.Pointer[digest] {
	first := int(binary.LittleEndian.Uint32(d[:])) & (len(t.slots) - ways)
	return t.slots[first : first+ways]
}
