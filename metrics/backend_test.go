package metrics

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

const goroutines = 16

// together runs count in goroutines, each with random numbers of its own, and goes on looking until all have ended.
func together(count func(shard uint, r *rand.Rand), look func()) {
	var counting sync.WaitGroup
	for g := range uint64(goroutines) {
		counting.Go(func() { count(uint(g), rand.New(rand.NewPCG(g, 1))) })
	}
	done := make(chan struct{})
	go func() {
		counting.Wait()
		close(done)
	}()
	for {
		look()
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestBackendSumsUp(t *testing.T) {
	b := sharded(8)
	var mu sync.Mutex // guards want and times
	want, times := Sum{}, []time.Duration{}
	count := func(shard uint, r *rand.Rand) {
		for range 2000 {
			b.Start(shard)
			q := randomRequest(r)
			b.Observe(shard, q)
			b.End(shard)
			mu.Lock()
			want.Requests++
			want.Classes[q.Status/100]++
			want.Causes[q.Cause]++
			want.BytesIn += uint64(q.BytesIn)
			want.BytesOut += uint64(q.BytesOut)
			if q.Status != switchingProtocols {
				times = append(times, q.Took)
			}
			mu.Unlock()
		}
		b.Start(shard)
	}
	var before, s Sum
	together(count, func() {
		b.Sum(&s)
		require.Equal(t, s.Requests, total(s.Classes[:]))
		require.Equal(t, s.Requests, total(s.Causes[:]))
		require.GreaterOrEqual(t, s.Requests, before.Requests)
		require.LessOrEqual(t, s.Causes[0], s.Requests, "causes without their requests")
		require.GreaterOrEqual(t, s.InFlight, int64(0))
		require.LessOrEqual(t, s.InFlight, int64(goroutines))
		before = s
	})
	b.Sum(&s)
	want.Latency, want.InFlight = *histogram(times...), goroutines
	require.Equal(t, want, s)
	require.Equal(t, want.Classes[5], s.Errors())
	require.Equal(t, Sample{Requests: want.Requests, Errors: want.Classes[5], Latency: &s.Latency}, s.Sample())
}

// sharded is a Backend as on a machine with that many CPUs.
func sharded(shards int) *Backend {
	b, cells := NewBackend(), make([]backendShard, shards)
	b.cells.Store(&cells)
	return b
}

func randomRequest(r *rand.Rand) Request {
	return Request{
		Status:   []int{0, 101, 200, 301, 404, 503}[r.IntN(6)],
		Cause:    uint8(r.IntN(causeCount)),
		Took:     time.Duration(r.Int64N(int64(time.Second))),
		BytesIn:  r.Int64N(1000),
		BytesOut: r.Int64N(1_000_000),
	}
}

func total(counts []uint64) (sum uint64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

func TestClassOf(t *testing.T) {
	f := func(status, want int) {
		t.Helper()
		require.Equal(t, want, classOf(status))
	}
	f(0, 0)
	f(100, 1)
	f(200, 2)
	f(399, 3)
	f(499, 4)
	f(500, 5)
	f(599, 5)
	f(600, 5)
	f(999, 5)
	f(99, 5)
	f(-1, 5)
}

// Whatever the caller hands in is counted somewhere, for a request must not fail over its metrics.
func TestObserveTakesAnything(t *testing.T) {
	b := NewBackend()
	b.Observe(^uint(0), Request{Status: -5, Cause: 255, Took: -time.Second, BytesIn: -1, BytesOut: -1})
	var s Sum
	b.Sum(&s)
	want := Sum{Requests: 1, Latency: *histogram(0)}
	want.Classes[5], want.Causes[63] = 1, 1
	require.Equal(t, want, s)
}

func TestShards(t *testing.T) {
	f := func(procs, want int) {
		t.Helper()
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		require.Equal(t, want, Shards())
		require.Len(t, *NewBackend().first(), want)
	}
	f(1, 1)
	f(2, 2)
	f(3, 4)
	f(16, 16)
	f(17, 32)
	f(100, 32)
}

// TestSizes pins what a backend and a server cost, and that shards do not share a cache line.
func TestSizes(t *testing.T) {
	t.Logf("a backend: %d bytes and %d for each shard; a server: %d; a sum: %d and %d", unsafe.Sizeof(Backend{}),
		unsafe.Sizeof(backendShard{}), unsafe.Sizeof(Server{}), unsafe.Sizeof(Sum{}), unsafe.Sizeof(ServerSum{}))
	require.Equal(t, uintptr(2304), unsafe.Sizeof(backendShard{}))
	require.Zero(t, unsafe.Sizeof(backendShard{})%128)
	require.Zero(t, unsafe.Sizeof(serverShard{})%64)
	require.LessOrEqual(t, unsafe.Sizeof([serverShards]serverShard{}), uintptr(3456), "a size class of the allocator")
	for shards := 1; shards <= maxShards; shards *= 2 {
		require.Zero(t, uintptr(unsafe.Pointer(&(*sharded(shards).cells.Load())[0]))%64, "%d shards", shards)
	}
	for range 10 {
		require.Zero(t, uintptr(unsafe.Pointer(new(Server).first()))%64)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	b, s := NewBackend(), new(Server)
	w := NewWindow(3, 3)
	sum, serverSum := new(Sum), new(ServerSum)
	at := time.Now()
	series := make([]Rates, 0, 3)
	f := func(name string, do func()) {
		t.Helper()
		require.Zero(t, testing.AllocsPerRun(100, do), name)
	}
	f("Backend", func() {
		b.Start(3)
		b.Observe(3, Request{Status: 200, Cause: 1, Took: time.Millisecond, BytesIn: 1, BytesOut: 1})
		b.End(3)
	})
	f("Backend.Sum", func() { b.Sum(sum) })
	f("Server", func() { s.Observe(3, 200, false, time.Millisecond) })
	f("Server.Sum", func() { s.Sum(serverSum) })
	f("Histogram", func() {
		since := sum.Latency.Sub(&serverSum.Latency)
		since.Quantile(0.99)
		for range since.Buckets {
			continue
		}
	})
	f("Window", func() {
		at = at.Add(time.Second)
		w.Add(at, sum.Sample())
		w.Over(time.Second)
		series = w.Series(series[:0])
	})
}

// Cells that nobody counts in take no memory, and the first one to count makes them.
func TestEmpty(t *testing.T) {
	b, s := NewBackend(), &Server{}
	var sum Sum
	var attempts ServerSum
	b.Sum(&sum)
	s.Sum(&attempts)
	require.Zero(t, sum)
	require.Zero(t, attempts)
	require.True(t, b.IsEmpty())
	require.True(t, s.IsEmpty())
	require.LessOrEqual(t, unsafe.Sizeof(*b)+unsafe.Sizeof(*s), uintptr(16))
	var counting sync.WaitGroup
	for i := range uint(8) {
		counting.Go(func() {
			b.Observe(i, Request{Status: 200})
			s.Observe(i, 200, false, 0)
		})
	}
	counting.Wait()
	require.False(t, b.IsEmpty())
	require.False(t, s.IsEmpty())
	b.Sum(&sum)
	s.Sum(&attempts)
	require.EqualValues(t, 8, sum.Requests)
	require.EqualValues(t, 8, attempts.Attempts())
}

// Sums add up.
func TestAdd(t *testing.T) {
	b := NewBackend()
	b.Observe(0, Request{Status: 503, Cause: 3, Took: time.Second, BytesIn: 1, BytesOut: 2})
	b.Start(0)
	var one, both, twice Sum
	b.Sum(&one)
	both.Add(&one)
	both.Add(&one)
	b.Observe(0, Request{Status: 503, Cause: 3, Took: time.Second, BytesIn: 1, BytesOut: 2})
	b.Start(0)
	b.Sum(&twice)
	require.Equal(t, twice, both)
}
