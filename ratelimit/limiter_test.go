package ratelimit

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// takeAll takes at one time until it is refused, at most limit times.
func takeAll(l *Limiter, key uint64, now time.Duration, limit int) int {
	for n := range limit {
		if _, ok := l.Take(key, now); !ok {
			return n
		}
	}
	return limit
}

func TestBurstThenRate(t *testing.T) {
	// A client that always asks gets the burst at once, then one request per interval and no more, for `turns` intervals.
	f := func(count int, per time.Duration, burst, wantBurst, turns int) {
		t.Helper()
		l := New(count, per, burst)
		start := 3 * time.Hour
		require.Equal(t, wantBurst, takeAll(l, 1, start, wantBurst+1))
		accepted, now := 0, start
		for accepted < turns {
			wait, ok := l.Take(1, now)
			if ok {
				accepted++
				continue
			}
			require.Positive(t, wait)
			_, ok = l.Peek(1, now+wait-1)
			require.False(t, ok, "a nanosecond before the wait is over")
			again, ok := l.Peek(1, now+wait)
			require.True(t, ok, "when the wait is over")
			require.Zero(t, again)
			now += wait
		}
		want := float64(per) * float64(turns) / float64(count)
		require.InDelta(t, want, float64(now-start), want*1e-4+1)
	}
	f(1, time.Second, 0, 1, 100)
	f(10, time.Second, 0, 10, 1000)
	f(10, time.Second, 1, 1, 1000)
	f(10, time.Second, 50, 50, 1000)
	f(3, time.Second, 0, 3, 3000)
	f(7, time.Minute, 2, 2, 700)
	f(1, 24*time.Hour, 0, 1, 1000)
	f(1_000_000, time.Second, 10, 10, 10_000)
	f(1_000_000_000, time.Hour, 5, 5, 10_000)
	f(1_000_000_000, time.Second, 5, 5, 10_000)
	f(1, 1<<62, 1, 1, 0)          // a time longer than can be kept
	f(1, time.Hour, 1e4, 1e4, 10) // a burst that takes over a year to come back
}

// TestExactAtTheTurn checks that what was promised in a time is there when the time is over, also if the interval is no
// whole number.
func TestExactAtTheTurn(t *testing.T) {
	f := func(count int, per time.Duration) {
		t.Helper()
		l := New(count, per, 0)
		for turn := range time.Duration(100) {
			require.Equal(t, count, takeAll(l, 1, turn*per, count+1), "turn %d", turn)
		}
	}
	f(1, time.Second)
	f(3, time.Second)
	f(7, time.Second)
	f(300, time.Minute)
	f(9999, time.Hour)
}

// TestFinestIntervals checks that an interval below a nanosecond, and below the unit that is counted in, still limits.
func TestFinestIntervals(t *testing.T) {
	f := func(count int, per time.Duration) {
		t.Helper()
		l := New(count, per, 5)
		require.Positive(t, l.interval)
		require.Equal(t, 5, takeAll(l, 1, time.Hour, 100))
		require.Equal(t, 5, takeAll(l, 1, time.Hour+time.Second, 100))
	}
	f(1_000_000_000, 100*time.Millisecond)
	f(1_000_000_000, time.Millisecond)
	f(1_000_000_000, 1)
}

// TestNoOverflow checks the ends of the range: there a sum that wraps would refuse everybody or nobody.
func TestNoOverflow(t *testing.T) {
	f := func(count int, per time.Duration, burst int) {
		t.Helper()
		l := New(count, per, burst)
		const years27 = 27 * 365 * 24 * time.Hour
		for _, now := range []time.Duration{-time.Second, 0, 1, years27} {
			_, ok := l.Take(uint64(now), now)
			require.True(t, ok)
			require.LessOrEqual(t, l.span, maxSpan)
			require.Greater(t, toStamp(now)+l.span, toStamp(now))
			require.Positive(t, l.span)
		}
	}
	f(1, 1<<63-1, 1<<62)
	f(1, time.Hour, 1<<62)
	f(1<<62, 1, 0)
	f(1<<62, 1<<63-1, 0)
}

func TestNewRefusesNonsense(t *testing.T) {
	f := func(count int, per time.Duration, burst int) {
		t.Helper()
		require.Panics(t, func() { New(count, per, burst) })
	}
	f(0, time.Second, 0)
	f(-1, time.Second, 0)
	f(1, 0, 0)
	f(1, -1, 0)
	f(1, time.Second, -1)
}

// TestFairness checks that a greedy key takes nothing from the others, and gets no more than they could.
func TestFairness(t *testing.T) {
	const modest = 1000
	l := New(10, time.Second, 5)
	greedy := 0
	for now := time.Duration(0); now < time.Minute; now += 100 * time.Millisecond {
		greedy += takeAll(l, modest, now, 50)
		for key := range uint64(modest) {
			_, ok := l.Take(key, now) // exactly at the rate
			require.True(t, ok, "key %d at %s", key, now)
		}
	}
	require.Equal(t, 600+5-1, greedy) // the last interval of the minute is not over
}

func TestPeekTakesNothing(t *testing.T) {
	l := New(1, time.Second, 2)
	for range 100 {
		_, ok := l.Peek(1, 0)
		require.True(t, ok)
	}
	for n := range l.shards {
		require.Empty(t, l.shards[n].buckets)
	}
	require.Equal(t, 2, takeAll(l, 1, 0, 10))
	for range 100 { // nor does a refused Take
		wait, ok := l.Take(1, 0)
		require.False(t, ok)
		require.Equal(t, time.Second, wait)
		wait, ok = l.Peek(1, 0)
		require.False(t, ok)
		require.Equal(t, time.Second, wait)
	}
}

func TestAddrKey(t *testing.T) {
	l := New(1, time.Second, 0)
	key := func(s string) uint64 { return l.AddrKey(netip.MustParseAddr(s)) }
	same := func(a, b string) {
		t.Helper()
		require.Equal(t, key(a), key(b))
	}
	differ := func(a, b string) {
		t.Helper()
		require.NotEqual(t, key(a), key(b))
	}
	same("192.0.2.1", "192.0.2.1")
	same("192.0.2.1", "::ffff:192.0.2.1")
	same("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff")
	same("fe80::1%eth0", "fe80::2%eth1")
	differ("192.0.2.1", "192.0.2.2")
	differ("::ffff:192.0.2.1", "::ffff:192.0.2.2")
	differ("2001:db8::1", "2001:db8:0:1::1")
	differ("0.0.0.0", "::")

	addr := netip.MustParseAddr("192.0.2.1")
	require.NotEqual(t, l.AddrKey(addr), New(1, time.Second, 0).AddrKey(addr), "each limiter has its own seed")
}

// TestConcurrentTake checks that at a frozen clock goroutines together get just the burst of each key.
func TestConcurrentTake(t *testing.T) {
	const goroutines, keys, burst = 8, 100, 500
	l := New(1, time.Hour, burst)
	var accepted [keys]atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for n := range keys * burst / 4 {
				key := uint64(n*7+g) % keys
				if _, ok := l.Take(key, time.Second); ok {
					accepted[key].Add(1)
				}
				l.Peek(key, time.Second)
			}
		})
	}
	wg.Wait()
	for key := range accepted {
		require.EqualValues(t, burst, accepted[key].Load(), "key %d", key)
	}
}

func TestAllocations(t *testing.T) {
	l := New(10, time.Second, 0)
	addr4, addr6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	now := time.Duration(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now += time.Millisecond
		l.Take(l.AddrKey(addr4), now)
		l.Take(l.AddrKey(addr6), now)
		l.Peek(l.AddrKey(addr4), now)
	}))
}
