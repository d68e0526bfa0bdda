package metrics

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// The layout of a histogram is log-linear: each power of two of nanoseconds is cut into subSteps equal steps, and there is
// one step below the first power and one from the last on. A step is at most an eighth as wide as its lower end is high, so
// its middle is at most a sixteenth (6.25 %) off.
//
// Bounds that people read are decimal and fall inside a step, never on its end. Such a step is two cells, cut at the bound.
// So the buckets of Prometheus are whole cells added up, exact, and a request is counted in one cell and not in two that
// could disagree. It costs a cell for each bound and one look into a table that nobody writes.
const (
	minBits   = 14 // the first step ends at 16 µs
	maxBits   = 37 // the last one starts at 137 s
	subBits   = 3
	subSteps  = 1 << subBits
	stepCount = (maxBits-minBits)*subSteps + 2
	cellCount = stepCount + len(bounds)
)

// bounds are the upper ends of the buckets for Prometheus, each included in its bucket. The last bucket, that of all that
// took longer, has none.
var bounds = [...]time.Duration{
	500 * time.Microsecond,
	1 * time.Millisecond,
	2500 * time.Microsecond,
	5 * time.Millisecond,
	10 * time.Millisecond,
	25 * time.Millisecond,
	50 * time.Millisecond,
	100 * time.Millisecond,
	250 * time.Millisecond,
	500 * time.Millisecond,
	1 * time.Second,
	2500 * time.Millisecond,
	5 * time.Second,
	10 * time.Second,
	30 * time.Second,
	60 * time.Second,
}

// A step says which cell is its own. What takes longer than the cut belongs to the next cell.
type step struct {
	cut  time.Duration // a bound, or longer than any time of the step
	cell int
}

// steps finds the cell of a time, and ends the time of a cell: each holds what took longer than the end before it, up to
// and including its own. Nobody writes them once they are made.
var steps, ends = newLayout()

func newLayout() (steps [stepCount]step, ends [cellCount]time.Duration) {
	cell, bound := 0, 0
	for i := range steps {
		end := stepEnd(i)
		steps[i] = step{cut: math.MaxInt64, cell: cell}
		if bound < len(bounds) && bounds[bound] < end {
			steps[i].cut = bounds[bound]
			ends[cell] = bounds[bound]
			bound++
			cell++
		}
		ends[cell] = end
		cell++
	}
	return steps, ends
}

// stepEnd is the longest time that falls into a step.
func stepEnd(i int) time.Duration {
	if i == stepCount-1 {
		return math.MaxInt64
	}
	power, sub := i/subSteps, i%subSteps
	return time.Duration(subSteps+sub) << (minBits - subBits + power)
}

// cellOf is the cell in which a time is counted.
func cellOf(took time.Duration) int {
	s := &steps[stepOf(took)]
	if took > s.cut {
		return s.cell + 1
	}
	return s.cell
}

// stepOf is the inverse of stepEnd. Ends belong to the step below them, as Prometheus has it, hence the nanosecond less.
func stepOf(took time.Duration) int {
	switch {
	case took <= 1<<minBits:
		return 0
	case took > 1<<maxBits:
		return stepCount - 1
	}
	under := uint64(took - 1)
	power := bits.Len64(under) - 1
	sub := int(under>>(power-subBits)) - subSteps
	return (power-minBits)*subSteps + sub + 1
}

// latency are the cells of one histogram in one shard. The sum is in microseconds: 10,000 requests in flight at any time
// would wear out nanoseconds within weeks.
type latency struct {
	micros atomic.Uint64
	cells  [cellCount]atomic.Uint64
}

func (l *latency) observe(took time.Duration) {
	l.cells[cellOf(took)].Add(1)
	l.micros.Add((uint64(max(took, 0)) + 500) / 1000)
}

func (l *latency) addTo(h *Histogram) {
	h.micros += l.micros.Load()
	for i := range l.cells {
		h.cells[i] += l.cells[i].Load()
	}
}

// Histogram says how many requests took how long: what was counted up to a moment, added up. Nothing writes to it any more.
// The zero value is empty.
type Histogram struct {
	micros uint64
	cells  [cellCount]uint64
}

// Count is how many were counted.
func (h *Histogram) Count() uint64 {
	sum := uint64(0)
	for _, n := range &h.cells {
		sum += n
	}
	return sum
}

// Sum is the time that all of them took, each rounded to a microsecond. More than the longest Duration, 292 years, is cut
// to that: a total that may be older than a few days is better asked for by Seconds.
func (h *Histogram) Sum() time.Duration {
	return time.Duration(min(h.micros, math.MaxInt64/1000)) * time.Microsecond
}

// Seconds is Sum without an end.
func (h *Histogram) Seconds() float64 { return float64(h.micros) / 1e6 }

// Quantile is the time within which a share q of all, from 0 to 1, has ended: 0.5 is the median. It is 0 when the histogram
// is empty. It is at most 6.25 % off, except outside of 16 µs to 137 s: below, all times are taken for 8 µs, and above for
// 137 s.
func (h *Histogram) Quantile(q float64) time.Duration {
	count := h.Count()
	if count == 0 {
		return 0
	}
	rank := min(max(uint64(math.Ceil(max(q, 0)*float64(count))), 1), count)
	cell, seen := 0, h.cells[0]
	for seen < rank {
		cell++
		seen += h.cells[cell]
	}
	return middle(cell)
}

// middle stands for all the times of a cell. The last one has no middle.
func middle(cell int) time.Duration {
	switch cell {
	case 0:
		return ends[0] / 2
	case cellCount - 1:
		return ends[cell-1]
	}
	return (ends[cell-1] + ends[cell]) / 2
}

func (h *Histogram) add(other *Histogram) {
	h.micros += other.micros
	for i, n := range &other.cells {
		h.cells[i] += n
	}
}

// Sub is what h has counted since older, an earlier histogram of the same cells. If older is of others and has counted
// more, the difference is 0 and not a huge number.
func (h *Histogram) Sub(older *Histogram) Histogram {
	since := Histogram{micros: h.micros - min(older.micros, h.micros)}
	for i, n := range &h.cells {
		since.cells[i] = n - min(older.cells[i], n)
	}
	return since
}

// Buckets yields the buckets for Prometheus: the upper bound in seconds, and how many took at most that long. The last
// bound is +Inf, and its number is Count.
func (h *Histogram) Buckets(yield func(bound float64, count uint64) bool) {
	count, next := uint64(0), 0
	for cell, n := range &h.cells {
		count += n
		if next == len(bounds) || ends[cell] != bounds[next] {
			continue
		}
		if !yield(bounds[next].Seconds(), count) {
			return
		}
		next++
	}
	yield(math.Inf(1), count)
}
