package metrics

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A feed counts requests and hands their sum to a window, on a clock of its own.
type feed struct {
	w   *Window
	now time.Time
	sum Sample
}

func newFeed(points, histograms int) *feed {
	return &feed{NewWindow(points, histograms), time.Unix(1_700_000_000, 0), Sample{Latency: new(Histogram)}}
}

// tick lets a time pass, in which requests of equal length come, and adds the sum.
func (f *feed) tick(pass time.Duration, requests, errors uint64, took time.Duration) {
	f.now = f.now.Add(pass)
	f.sum.Requests += requests
	f.sum.Errors += errors
	f.sum.Latency.cells[cellOf(took)] += requests
	f.w.Add(f.now, f.sum)
}

// rates are what is wanted of a Window.
func rates(requests, errors float64, p50, p99 time.Duration) Rates {
	return Rates{Requests: requests, Errors: errors, P50: p50, P99: p99}
}

// requireRates compares all but the time, and quantiles as far as cells are exact.
func requireRates(t *testing.T, got, want Rates) {
	t.Helper()
	require.InDelta(t, want.Requests, got.Requests, 1e-6)
	require.InDelta(t, want.Errors, got.Errors, 1e-6)
	require.InDelta(t, want.P50, got.P50, float64(want.P50)/16)
	require.InDelta(t, want.P99, got.P99, float64(want.P99)/16)
}

func TestWindowNeedsTwoSamples(t *testing.T) {
	f := newFeed(0, 0)
	_, ok := f.w.Over(time.Second)
	require.False(t, ok)
	require.Empty(t, f.w.Series(nil))
	f.tick(0, 1000, 10, time.Second)
	_, ok = f.w.Over(time.Second)
	require.False(t, ok, "what was counted before the window began is no rate")
	require.Empty(t, f.w.Series(nil))
	f.tick(time.Second, 10, 5, time.Millisecond)
	got, ok := f.w.Over(time.Second)
	require.True(t, ok)
	require.Equal(t, f.now, got.At)
	requireRates(t, got, rates(10, 5, time.Millisecond, time.Millisecond))
	require.Equal(t, []Rates{got}, f.w.Series(nil))
}

func TestWindowOver(t *testing.T) {
	feed := newFeed(61, 12)
	feed.tick(0, 1_000_000, 1_000_000, time.Hour)
	for range 190 {
		feed.tick(time.Second, 400, 4, 30*time.Millisecond)
	}
	for range 9 {
		feed.tick(time.Second, 100, 0, time.Millisecond)
	}
	feed.tick(time.Second, 100, 50, 2*time.Second)
	f := func(d time.Duration, requests, errors float64, p50, p99 time.Duration) {
		t.Helper()
		got, ok := feed.w.Over(d)
		require.True(t, ok)
		requireRates(t, got, rates(requests, errors, p50, p99))
	}
	f(-time.Second, 100, 50, 2*time.Second, 2*time.Second)
	f(0, 100, 50, 2*time.Second, 2*time.Second)
	f(time.Second, 100, 50, 2*time.Second, 2*time.Second)
	f(2*time.Second, 100, 25, time.Millisecond, 2*time.Second)
	f(10*time.Second, 100, 5, time.Millisecond, 2*time.Second)
	f(10*time.Second+400*time.Millisecond, 100, 5, time.Millisecond, 2*time.Second)
	// 20 seconds of rates, and the quantiles of the 11 for which there are histograms: 900 fast ones, 400 slower, 100 slow.
	f(20*time.Second, 250, 4.5, time.Millisecond, 2*time.Second)
	f(60*time.Second, 350, (50*4+50)/60., time.Millisecond, 2*time.Second)
	f(math.MaxInt64, 350, (50*4+50)/60., time.Millisecond, 2*time.Second)
}

// Samples come late or early, so 10 seconds are those between the samples that are nearest to 10 seconds apart.
func TestWindowTakesTheNearestSample(t *testing.T) {
	feed := newFeed(61, 12)
	for range 5 {
		for _, pass := range []time.Duration{1100, 700, 1000, 1250, 950} { // 5 seconds, in turn
			feed.tick(pass*time.Millisecond, uint64(pass), 0, time.Millisecond)
		}
	}
	for d := range 20 {
		got, ok := feed.w.Over(time.Duration(d) * time.Second)
		require.True(t, ok)
		requireRates(t, got, rates(1000, 0, time.Millisecond, time.Millisecond))
	}
	// A gap, as when the process was stopped: all that came in it is spread over it.
	feed.tick(100*time.Second, 1000, 100, time.Second)
	got, _ := feed.w.Over(10 * time.Second)
	requireRates(t, got, rates(10, 1, time.Second, time.Second))
}

func TestWindowSeries(t *testing.T) {
	f := newFeed(31, 2)
	for second := range uint64(100) {
		f.tick(time.Second, second, second/10, time.Duration(second)*time.Millisecond)
	}
	other := Rates{Requests: -1}
	got := f.w.Series([]Rates{other})
	require.Len(t, got, 31)
	require.Equal(t, other, got[0])
	for i, r := range got[1:] {
		second := 70 + i
		took := time.Duration(second) * time.Millisecond
		requireRates(t, r, rates(float64(second), float64(second/10), took, took))
		require.Equal(t, f.now.Add(time.Duration(second-99)*time.Second), r.At)
	}
	require.True(t, slices.IsSortedFunc(got[1:], func(a, b Rates) int { return a.At.Compare(b.At) }))
}

func TestWindowQuiet(t *testing.T) {
	f := newFeed(5, 5)
	for range 10 {
		f.tick(time.Second, 0, 0, 0)
	}
	got, ok := f.w.Over(3 * time.Second)
	require.True(t, ok)
	require.Equal(t, Rates{At: f.now}, got)
}

func TestWindowDropsWhatIsNoLater(t *testing.T) {
	f := newFeed(5, 5)
	f.tick(0, 1, 0, time.Second)
	f.tick(time.Second, 2, 0, time.Second)
	f.tick(0, 100, 0, time.Second)
	f.tick(-time.Hour, 100, 0, time.Second)
	require.Len(t, f.w.Series(nil), 1)
	f.tick(time.Hour+2*time.Second, 0, 0, time.Second)
	got, _ := f.w.Over(0)
	requireRates(t, got, rates(100, 0, time.Second, time.Second))
}

func TestWindowStartsOver(t *testing.T) {
	f := func(fewer Sample) {
		t.Helper()
		feed := newFeed(5, 5)
		for range 10 {
			feed.tick(time.Second, 100, 50, time.Second)
		}
		feed.sum = fewer
		feed.tick(time.Second, 0, 0, 0)
		_, ok := feed.w.Over(time.Second)
		require.False(t, ok)
		feed.tick(time.Second, 7, 1, time.Millisecond)
		got, ok := feed.w.Over(time.Minute)
		require.True(t, ok)
		require.Equal(t, feed.now, got.At)
		requireRates(t, got, rates(7, 1, time.Millisecond, time.Millisecond))
	}
	f(Sample{Latency: new(Histogram)})
	f(Sample{Requests: 2000, Errors: 1, Latency: new(Histogram)})
	f(Sample{Requests: 10, Errors: 500, Latency: new(Histogram)})
}

// The window keeps 32 bits of each cell, so that its differences have to survive that they overflow.
func TestWindowSurvivesOverflow(t *testing.T) {
	f := newFeed(5, 5)
	f.tick(0, math.MaxUint32-10, 0, time.Second)
	f.tick(time.Second, 10, 0, time.Millisecond)
	f.tick(time.Second, 20, 0, time.Second)
	got, ok := f.w.Over(2 * time.Second)
	require.True(t, ok)
	requireRates(t, got, rates(15, 0, time.Second, time.Second))
	f.tick(time.Second, math.MaxUint32, 0, time.Millisecond)
	got, _ = f.w.Over(0)
	requireRates(t, got, rates(math.MaxUint32, 0, time.Millisecond, time.Millisecond))
}

func TestWindowOfABackend(t *testing.T) {
	b, w := NewBackend(), NewWindow(301, 12)
	var sum Sum
	now := time.Unix(1_700_000_000, 0)
	for range 15 {
		b.Observe(0, Request{Status: 200, Took: 10 * time.Millisecond})
		b.Observe(1, Request{Status: 502, Took: 10 * time.Millisecond})
		b.Sum(&sum)
		now = now.Add(time.Second)
		w.Add(now, sum.Sample())
	}
	got, ok := w.Over(10 * time.Second)
	require.True(t, ok)
	requireRates(t, got, rates(2, 1, 10*time.Millisecond, 10*time.Millisecond))
}
