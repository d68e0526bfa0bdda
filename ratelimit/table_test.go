package ratelimit

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

const million = 1_000_000

// bytes is what the limiter holds, by the capacity of its tables.
func (l *Limiter) bytes() uintptr {
	sum := unsafe.Sizeof(*l)
	for n := range l.shards {
		sum += uintptr(cap(l.shards[n].buckets)) * unsafe.Sizeof(bucket{})
	}
	return sum
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryBound fills the table with live keys: a million, which are remembered, and then more than there is room for.
func TestMemoryBound(t *testing.T) {
	const bound = 32 << 20
	before := heap()
	l := New(1, time.Hour, 1)
	require.Zero(t, refused(l, 0, million))
	forgotten := 0
	for key := range uint64(million) {
		if _, ok := l.Peek(key, 0); ok {
			forgotten++
		}
	}
	used := heap() - before
	t.Logf("a million keys: %.2f MiB by capacity, %.2f MiB of heap, %d forgotten", mib(int64(l.bytes())), mib(used), forgotten)
	require.LessOrEqual(t, l.bytes(), uintptr(bound))
	require.LessOrEqual(t, used, int64(bound))
	require.Less(t, forgotten, million/200)

	full := unsafe.Sizeof(*l) + shardCount*maxBuckets*unsafe.Sizeof(bucket{})
	require.LessOrEqual(t, full, uintptr(bound), "with every shard at its bound")
	require.Zero(t, refused(l, million, million), "a new key is never refused for want of room")
	require.Equal(t, full, l.bytes())
	require.LessOrEqual(t, heap()-before, int64(bound))
	runtime.KeepAlive(l)
}

// refused takes once for each of n keys and counts the refusals.
func refused(l *Limiter, first, n uint64) int {
	sum := 0
	for key := first; key < first+n; key++ {
		if _, ok := l.Take(key, 0); !ok {
			sum++
		}
	}
	return sum
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// TestStartsSmall checks what a limiter of few keys costs, for there may be one per route.
func TestStartsSmall(t *testing.T) {
	l := New(1, time.Hour, 1)
	require.Less(t, l.bytes(), uintptr(5<<10))
	for key := range uint64(1000) {
		l.Take(key, 0)
	}
	require.Less(t, l.bytes(), uintptr(128<<10))
}

// TestEvictionKeepsOffenders checks that a flood of other keys does not wash away the debt of those who send most. To be
// quick it floods one shard, with twice as many keys as it has room for.
func TestEvictionKeepsOffenders(t *testing.T) {
	const offenders, burst, flood = 100, 10, 2 * maxBuckets * bucketSlots
	l := New(1, time.Hour, burst)
	var keys []uint64
	for key := uint64(0); len(keys) < offenders+flood; key++ {
		if mix(key)%shardCount == 0 {
			keys = append(keys, key)
		}
	}
	accepted := 0
	for n, fresh := range keys[offenders:] {
		if n%500 == 0 {
			for _, key := range keys[:offenders] {
				accepted += takeAll(l, key, 0, burst+1)
			}
		}
		if _, ok := l.Take(fresh, 0); !ok {
			t.Fatalf("new key %d is refused", fresh)
		}
	}
	require.Len(t, l.shards[0].buckets, maxBuckets)
	require.Equal(t, offenders*burst, accepted)
}

// TestExpiredAreReused checks that keys which come and go do not make the table grow.
func TestExpiredAreReused(t *testing.T) {
	l := New(1, time.Second, 1)
	var key uint64
	for now := time.Duration(0); now < 1000*time.Second; now += time.Second {
		for range 1000 {
			key++
			l.Take(key, now)
		}
	}
	require.Less(t, l.bytes(), uintptr(512<<10))
}

// TestAgainstMap plays random requests of few and many keys on the table and on a plain map, which has no bound.
func TestAgainstMap(t *testing.T) {
	f := func(seed, keys uint64, l *Limiter) {
		t.Helper()
		rnd := rand.New(rand.NewPCG(seed, keys))
		model := map[uint64]stamp{}
		var now time.Duration
		for range 300_000 {
			now += time.Duration(rnd.Uint64N(uint64(time.Millisecond)))
			key := rnd.Uint64N(keys)
			next, over := l.charge(model[key], toStamp(now))
			if over == 0 {
				model[key] = next
			}
			wait, ok := l.Take(key, now)
			if ok != (over == 0) || wait != toDuration(over) {
				t.Fatalf("key %d at %s: got %s, %t; want %s", key, now, wait, ok, toDuration(over))
			}
		}
	}
	f(1, 1, New(100, time.Second, 3))
	f(2, 10, New(100, time.Second, 3))
	f(3, 10_000, New(1, time.Second, 2))
	f(4, 200_000, New(1, time.Hour, 1))
}

// TestGrowKeepsAll checks that doubling loses no live entry and leaves the expired ones behind.
func TestGrowKeepsAll(t *testing.T) {
	var s shard
	const now = stamp(100)
	want := map[uint64]stamp{}
	for key := uint64(1); key <= 5000; key++ { // not 0, which an empty slot stands for as well
		h := mix(key)
		b, i := s.room(h, now)
		b.until[i] = now + 1 + stamp(key)
		want[h] = b.until[i]
	}
	before := len(s.buckets)
	s.grow(now + 1000)
	require.Len(t, s.buckets, 2*before)
	for h, until := range want {
		b, i := s.find(h)
		if until <= now+1000 {
			require.Nil(t, b)
			continue
		}
		require.NotNil(t, b)
		require.Equal(t, until, b.until[i])
	}
}
