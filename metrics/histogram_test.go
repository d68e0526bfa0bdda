package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// histogram is the histogram of some times.
func histogram(times ...time.Duration) *Histogram {
	var l latency
	for _, took := range times {
		l.observe(took)
	}
	var h Histogram
	l.addTo(&h)
	return &h
}

// edges are times at which a cell could be mistaken for the next one.
func edges() []time.Duration {
	times := []time.Duration{math.MinInt64, -1, 0, 1, math.MaxInt64}
	for _, end := range ends[:cellCount-1] {
		times = append(times, end-1, end, end+1)
	}
	return times
}

// TestLayout checks what the comments promise: cells without a gap, narrow enough, and every bound the end of one.
func TestLayout(t *testing.T) {
	require.True(t, slices.IsSorted(ends[:]))
	require.Equal(t, 16384*time.Nanosecond, ends[0])
	require.Equal(t, time.Duration(1)<<37, ends[cellCount-2])
	require.Equal(t, time.Duration(math.MaxInt64), ends[cellCount-1])
	require.LessOrEqual(t, cellCount, 300)
	for i := 1; i < cellCount-1; i++ {
		require.LessOrEqual(t, ends[i]-ends[i-1], ends[i-1]/8, "cell %d", i)
	}
	for _, bound := range bounds {
		require.Contains(t, ends, bound)
	}
	for _, took := range edges() {
		cell := cellOf(took)
		require.LessOrEqual(t, took, ends[cell])
		require.True(t, cell == 0 || took > ends[cell-1], "%d in cell %d", took, cell)
	}
}

func TestBuckets(t *testing.T) {
	f := func(times ...time.Duration) {
		t.Helper()
		h := histogram(times...)
		n := 0
		for bound, count := range h.Buckets {
			want := uint64(len(times))
			if n < len(bounds) {
				require.Equal(t, bounds[n].Seconds(), bound)
				want = atMost(times, bounds[n])
			} else {
				require.True(t, math.IsInf(bound, 1))
			}
			require.Equal(t, want, count, "up to %v", bound)
			n++
		}
		require.Equal(t, len(bounds)+1, n)
		require.Equal(t, uint64(len(times)), h.Count())
	}
	f()
	f(0)
	f(time.Millisecond, time.Millisecond+1, time.Hour)
	f(edges()...)
	f(sorted(100_000, func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64()*3) * 0.02 })...)
}

func TestBucketsStop(t *testing.T) {
	yielded := 0
	for range histogram(time.Second).Buckets {
		yielded++
		break
	}
	require.Equal(t, 1, yielded)
}

// TestBoundsAreThoseOfTheDashboards pins the labels: to change one breaks every query that names it.
func TestBoundsAreThoseOfTheDashboards(t *testing.T) {
	var got []float64
	for bound := range histogram().Buckets {
		got = append(got, bound)
	}
	require.Equal(t, []float64{
		.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, math.Inf(1),
	}, got)
}

func atMost(times []time.Duration, bound time.Duration) (n uint64) {
	for _, took := range times {
		if took <= bound {
			n++
		}
	}
	return n
}

// sorted draws n times, given in seconds.
func sorted(n int, draw func(*rand.Rand) float64) []time.Duration {
	r := rand.New(rand.NewPCG(1, 2))
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = time.Duration(draw(r) * 1e9)
	}
	slices.Sort(times)
	return times
}

func TestQuantileError(t *testing.T) {
	f := func(name string, draw func(*rand.Rand) float64) {
		t.Helper()
		// Within 16 µs and 137 s, where the bound holds.
		times := sorted(50_000, func(r *rand.Rand) float64 { return min(max(draw(r), 17e-6), 137) })
		h := histogram(times...)
		worst := 0.0
		for _, q := range []float64{0, .001, .01, .1, .25, .5, .75, .9, .95, .99, .999, .9999, 1} {
			exact := times[max(int(math.Ceil(q*float64(len(times)))), 1)-1]
			off := math.Abs(float64(h.Quantile(q)-exact)) / float64(exact)
			require.LessOrEqual(t, off, 1.0/16, "%s: quantile %v is %v, not %v", name, q, h.Quantile(q), exact)
			worst = max(worst, off)
		}
		t.Logf("%s: at most %.2f %% off", name, 100*worst)
	}
	f("constant", func(*rand.Rand) float64 { return 0.0123 })
	f("uniform", func(r *rand.Rand) float64 { return r.Float64() })
	f("exponential", func(r *rand.Rand) float64 { return r.ExpFloat64() * 0.02 })
	f("lognormal", func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64()*2) * 0.005 })
	f("pareto", func(r *rand.Rand) float64 { return 1e-4 / math.Pow(1-r.Float64(), 1.2) })
	f("two peaks", func(r *rand.Rand) float64 {
		if r.IntN(100) < 97 {
			return 0.001 + r.Float64()*1e-4
		}
		return 5 + r.Float64()
	})
}

func TestQuantileAtTheEnds(t *testing.T) {
	f := func(want time.Duration, q float64, times ...time.Duration) {
		t.Helper()
		require.Equal(t, want, histogram(times...).Quantile(q))
	}
	f(0, 0.5)
	f(8192, 0.5, 0)
	f(8192, 0.5, -time.Hour)
	f(1<<37, 0.5, time.Hour)
	// A q that is none gives an end and does not run off it.
	f(8192, -1, 0, time.Hour)
	f(1<<37, 2, 0, time.Hour)
	require.NotPanics(t, func() { histogram(0, time.Hour).Quantile(math.NaN()) })
}

func TestHistogramSum(t *testing.T) {
	f := func(want time.Duration, times ...time.Duration) {
		t.Helper()
		h := histogram(times...)
		require.Equal(t, want, h.Sum())
		require.InDelta(t, want.Seconds(), h.Seconds(), 1e-9)
	}
	f(0)
	f(0, -time.Second, 499)
	f(time.Microsecond, 500)
	f(3*time.Second+2*time.Microsecond, time.Second, 2*time.Second+2*time.Microsecond)

	// Longer than a Duration can be.
	h := histogram(math.MaxInt64, math.MaxInt64)
	require.Equal(t, time.Duration(math.MaxInt64).Truncate(time.Microsecond), h.Sum())
	require.InEpsilon(t, 2*time.Duration(math.MaxInt64).Seconds(), h.Seconds(), 1e-9)
}

func TestSub(t *testing.T) {
	older, since := edges()[:200], edges()[200:]
	newer := histogram(append(slices.Clone(older), since...)...)
	require.Equal(t, histogram(since...).cells, newer.Sub(histogram(older...)).cells)
	require.Equal(t, Histogram{}, newer.Sub(newer))
	require.Equal(t, *newer, newer.Sub(&Histogram{}))
	require.Equal(t, Histogram{}, histogram().Sub(newer), "of other cells, which have counted more")

	got := histogram(time.Second, time.Minute).Sub(histogram(time.Second))
	require.Equal(t, time.Minute, got.Sum())
}
