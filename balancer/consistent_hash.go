package balancer

import (
	"hash/fnv"
	"slices"
	"time"
)

// consistentHash picks the same server for the same key, and moves few keys when servers come and go: a Maglev table
// (Eisenbud et al., NSDI 2016) says whose a key is. A server that has more than its share in flight passes keys on
// (bounded load), each to a place that the key alone decides.
type consistentHash struct {
	group *group
	table []int32 // members by slot
}

// slotsPerMember is how even the table is: to about one percent.
const slotsPerMember = 100

// A table of another size has all keys move. So its size is not that of the backend, but one of few steps, and a server more or
// less changes it only at 655 and 10,485 servers.
const (
	smallest = 1 << 16
	larger   = 16
)

// rehashes is how often a key is passed on by the table before all servers are looked at.
const rehashes = 8

// overload is how much of its share of the requests in flight a server may have before it passes keys on.
const overload = 1.25

func newConsistentHash(g *group) policy {
	return consistentHash{g, maglev(g.members)}
}

func (p consistentHash) pick(r *Request, at time.Duration) *Member {
	if len(p.table) == 0 {
		return nil
	}
	key := r.Key
	for range rehashes {
		key = mix(key)
		m := p.group.members[p.table[key%uint64(len(p.table))]]
		if r.may(m, at) && !m.overloaded() {
			return m
		}
	}
	return p.group.least(r, at, (*Member).load)
}

// slack is how many requests in flight are never an overload.
const slack = 8

// overloaded counts the requests of all configs under which this policy was in force: they outlive a reload. What another one has given a server is
// no overload, or each would have too much while nobody has anything.
func (m *Member) overloaded() bool {
	own := m.counted.Load()
	if own < slack {
		return false
	}
	share := float64(m.config.Weight) / float64(m.group.weights)
	return float64(own) > overload*share*float64(m.group.inFlight.Load()+1)
}

// mix is the finalizer of SplitMix64: one step of a sequence that any key starts.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// HashKey is the key of some bytes.
func HashKey(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mix(h)
}

func identity(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // it never fails
	return mix(h.Sum64())
}

// maglev fills a table in which each member has slots by its weight. It depends on the members' addresses and weights alone, not on their
// order, so that several l7 agree.
func maglev(members []*Member) []int32 {
	var order []int32
	heaviest := 0
	for i, m := range members {
		if m.config.Weight > 0 {
			order = append(order, int32(i))
			heaviest = max(heaviest, m.config.Weight)
		}
	}
	if len(order) == 0 {
		return nil
	}
	slices.SortFunc(order, func(a, b int32) int { return compare(members[a].id, members[b].id) })
	size := smallest
	for size < len(order)*slotsPerMember {
		size *= larger
	}
	return fill(order, members, prime(uint64(size)), heaviest)
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// fill lets the members take turns, the heavier ones more often, each taking the next free slot of its own permutation.
func fill(order []int32, members []*Member, size uint64, heaviest int) []int32 {
	table := make([]int32, size)
	for i := range table {
		table[i] = -1
	}
	next := make([]uint64, len(order)) // the slot that each wants
	skip := make([]uint64, len(order))
	credit := make([]int, len(order))
	for i, n := range order {
		next[i] = members[n].id % size
		skip[i] = mix(members[n].id)%(size-1) + 1
	}
	for filled := uint64(0); ; {
		for i, n := range order {
			if credit[i] += members[n].config.Weight; credit[i] < heaviest {
				continue
			}
			credit[i] -= heaviest
			for table[next[i]] >= 0 {
				next[i] = (next[i] + skip[i]) % size
			}
			table[next[i]] = n
			if filled++; filled == size {
				return table
			}
		}
	}
}

// prime is the smallest odd prime that is at least n.
func prime(n uint64) uint64 {
	for n |= 1; ; n += 2 {
		isPrime := true
		for d := uint64(3); d*d <= n && isPrime; d += 2 {
			isPrime = n%d != 0
		}
		if isPrime {
			return n
		}
	}
}
