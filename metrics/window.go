package metrics

import (
	"sync"
	"time"
)

// Window keeps the sums of the last while, so that rates over it can be asked for at any time. Whoever keeps one takes a
// Sum at regular times, usually each second, and adds it. It is no part of the request path. All methods may be called
// concurrently.
//
// It keeps many points, of 40 bytes, for rates and charts, and few histograms, of 808 bytes, for quantiles.
type Window struct {
	mu     sync.Mutex // guards all below
	start  time.Time  // when the first sample was taken
	added  int        // how many samples there were; sample n is kept at n modulo the length, in both rings
	points []point
	shots  []shot
}

// A point is a sample without its histogram.
type point struct {
	at               time.Duration // since Window.start
	requests, errors uint64        // in total
	p50, p99         time.Duration // of what came after the sample before
}

// A shot is a histogram of which only differences are wanted. They survive that the cells overflow, unless one counts
// four thousand million requests while the shot is kept.
type shot [cellCount]uint32

// Sample is what a Window wants to know: all requests (or attempts) and errors ever counted, and how long they took.
type Sample struct {
	Requests, Errors uint64
	Latency          *Histogram // is not kept
}

// Rates say what came in a time.
type Rates struct {
	At               time.Time // the end of that time
	Requests, Errors float64   // per second
	P50, P99         time.Duration
}

// NewWindow keeps the last points samples, of which the last histograms have one: both are at least two, for nothing can
// be said of one alone. A window of n seconds takes n+1 samples of one second: NewWindow(301, 12) charts five minutes, and
// has quantiles over 10 seconds with one to spare, in 22 KiB. For 10,000 servers, NewWindow(3, 3) fed every 5 seconds
// answers for 10 seconds in 2.7 KiB.
func NewWindow(points, histograms int) *Window {
	return &Window{points: make([]point, max(points, 2)), shots: make([]shot, max(histograms, 2))}
}

// Add adds what was counted until a time. A sample that is no later than the last one is dropped. One that has counted less
// is of other cells: the window starts over with it.
func (w *Window) Add(at time.Time, s Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.added > 0 {
		last := w.point(w.added - 1)
		if at.Sub(w.start) <= last.at {
			return
		}
		if s.Requests < last.requests || s.Errors < last.errors {
			w.added = 0
		}
	}
	w.add(at, s)
}

// add is Add of a sample that is wanted. w.mu is held.
func (w *Window) add(at time.Time, s Sample) {
	if w.added == 0 {
		w.start = at
	}
	n := w.added
	w.added++
	shot := w.shot(n)
	for i, count := range &s.Latency.cells {
		shot[i] = uint32(count) // cut on purpose, see shot
	}
	p := point{at: at.Sub(w.start), requests: s.Requests, errors: s.Errors}
	if n > 0 {
		p.p50, p.p99 = w.quantiles(n-1, n)
	}
	*w.point(n) = p
}

// Over returns the rates of the last while, counted back from the last sample to the one that is nearest to d before it:
// less than d if the window does not hold that much, and one sample at least. Quantiles go back only as far as there are
// histograms. It is not ok until there are two samples.
func (w *Window) Over(d time.Duration) (r Rates, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.added < 2 {
		return Rates{}, false
	}
	last := w.added - 1
	from := w.back(d)
	r = w.rates(from, last)
	r.P50, r.P99 = w.quantiles(max(from, w.added-len(w.shots)), last)
	return r, true
}

// Series appends to into what came between each two samples, from the oldest on, for a chart.
func (w *Window) Series(into []Rates) []Rates {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := w.oldest() + 1; n < w.added; n++ {
		r := w.rates(n-1, n)
		r.P50, r.P99 = w.point(n).p50, w.point(n).p99
		into = append(into, r)
	}
	return into
}

func (w *Window) point(n int) *point { return &w.points[n%len(w.points)] }

func (w *Window) shot(n int) *shot { return &w.shots[n%len(w.shots)] }

func (w *Window) oldest() int { return max(w.added-len(w.points), 0) }

// back finds the sample nearest to d before the last one, which it is not. Samples come a little early or late, so the
// first that is at least d older would often be one too far. There are two at least.
func (w *Window) back(d time.Duration) int {
	n := w.added - 1
	wanted := w.point(n).at - d
	n--
	for n > w.oldest() && (w.point(n-1).at-wanted).Abs() < (w.point(n).at-wanted).Abs() {
		n--
	}
	return n
}

// rates are those between two samples, without the quantiles.
func (w *Window) rates(from, to int) Rates {
	a, b := w.point(from), w.point(to)
	seconds := (b.at - a.at).Seconds()
	return Rates{
		At:       w.start.Add(b.at),
		Requests: float64(b.requests-a.requests) / seconds,
		Errors:   float64(b.errors-a.errors) / seconds,
	}
}

// quantiles are those of what came between two samples whose histograms are kept.
func (w *Window) quantiles(from, to int) (p50, p99 time.Duration) {
	a, b := w.shot(from), w.shot(to)
	var h Histogram
	for i := range b {
		h.cells[i] = uint64(b[i] - a[i])
	}
	return h.Quantile(0.5), h.Quantile(0.99)
}
