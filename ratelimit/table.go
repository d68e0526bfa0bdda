package ratelimit

import (
	"math/bits"
	"sync"
)

// The sizes. A table of all shards at their bound is 28 MiB and has room for 1.8 million keys; of a million keys that are
// all live, two in a thousand find their bucket full.
const (
	shardCount   = 64
	bucketSlots  = 16
	startBuckets = 7 // in a shard; with the slots, just a size class of the allocator
	maxBuckets   = startBuckets << 8
)

// A shard is one part of the table, with a lock of its own so that requests of different keys rarely meet.
type shard struct {
	mu      sync.Mutex // guards buckets and all in them
	buckets []bucket   // none at first; then doubled up to maxBuckets, never shrunk

	_ [32]byte // fills a cache line, so that neighbours do not slow each other down
}

// A bucket holds the keys whose hashes fall into it: a key is there or nowhere. An entry whose time has passed says the
// same as no entry, so nothing is ever deleted, and an empty slot is one of time 0. No hash marks it: slots are filled from
// the first on, so find meets the entry of hash 0 before an empty slot, and if it meets that one, it is a slot to take.
type bucket struct {
	hashes [bucketSlots]uint64
	until  [bucketSlots]stamp
}

// find returns the bucket and the slot of a hash, or nil.
func (s *shard) find(h uint64) (*bucket, int) {
	if len(s.buckets) == 0 {
		return nil, 0
	}
	b := &s.buckets[place(h, len(s.buckets))]
	for i := range b.hashes {
		if b.hashes[i] == h {
			return b, i
		}
	}
	return nil, 0
}

// room gives a slot to a hash that has none. It takes that of the earliest time, which is an expired one if there is any;
// if there is none, the shard grows, and at its bound the entry is forgotten. So nobody is refused for want of room, and
// who owes most, that is who sends most, is remembered longest.
func (s *shard) room(h uint64, now stamp) (*bucket, int) {
	if len(s.buckets) == 0 {
		s.buckets = make([]bucket, startBuckets)
	}
	for {
		b := &s.buckets[place(h, len(s.buckets))]
		i := b.earliest()
		if b.until[i] <= now || len(s.buckets) == maxBuckets {
			b.hashes[i], b.until[i] = h, 0
			return b, i
		}
		s.grow(now)
	}
}

// grow doubles the buckets and leaves the expired entries behind. Bucket i becomes 2i and 2i+1 (see place), so each new
// bucket has room for all it gets.
func (s *shard) grow(now stamp) {
	next := make([]bucket, 2*len(s.buckets))
	for n := range s.buckets {
		old := &s.buckets[n]
		for i, h := range old.hashes {
			if old.until[i] <= now {
				continue
			}
			b := &next[place(h, len(next))]
			free := b.earliest()
			b.hashes[free], b.until[free] = h, old.until[i]
		}
	}
	s.buckets = next
}

// peek returns by how much one more request of a hash would be over the limit.
func (s *shard) peek(h uint64, l *Limiter, now stamp) stamp {
	s.mu.Lock()
	defer s.mu.Unlock()
	var until stamp
	if b, i := s.find(h); b != nil {
		until = b.until[i]
	}
	_, over := l.charge(until, now)
	return over
}

func (b *bucket) earliest() int {
	first := 0
	for i := range b.until {
		if b.until[i] < b.until[first] {
			first = i
		}
	}
	return first
}

// place maps a hash to one of n buckets by its high bits, as the fraction h/2^64 of n: unlike a mask it does not ask for
// a power of two. The shard was chosen by the low bits.
func place(h uint64, n int) uint64 {
	high, _ := bits.Mul64(h, uint64(n))
	return high
}

// mix spreads keys that are plain numbers over all bits (the end of splitmix64). It is one to one: equal hashes are equal
// keys. It keeps out no attacker; a key that a client can choose has to be a seeded hash already, as AddrKey is.
func mix(key uint64) uint64 {
	key = (key ^ key>>30) * 0xbf58476d1ce4e5b9
	key = (key ^ key>>27) * 0x94d049bb133111eb
	return key ^ key>>31
}
