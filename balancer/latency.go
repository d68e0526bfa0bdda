package balancer

import (
	"math"
	"sync/atomic"
	"time"
)

// latency is a peak-sensitive moving average of the time to a response's head: it jumps up and comes down slowly, also while
// nothing is measured, so that a server that was slow is tried again. One slow answer is chance, two in a row are a trend.
type latency struct {
	average atomic.Int64 // ns
	last    atomic.Int64 // the sample before, ns
	at      atomic.Int64 // of the last sample
}

// decay is the time in which the average falls to 37 %.
const decay = 10 * time.Second

// noise is the latency below which servers are alike: the network's and the scheduler's whims.
const noise = time.Millisecond

func (l *latency) observe(at, took time.Duration) {
	sample := min(took, time.Duration(l.last.Swap(int64(took))))
	average := l.now(at)
	if sample < average {
		weight := 1 - math.Exp(-float64(at-time.Duration(l.at.Load()))/float64(decay))
		sample = average - time.Duration(weight*float64(average-sample))
	}
	l.average.Store(int64(sample))
	l.at.Store(int64(at))
}

// now is the average as it has come down since.
func (l *latency) now(at time.Duration) time.Duration {
	average := l.average.Load()
	if average <= int64(noise) {
		return time.Duration(average)
	}
	return time.Duration(float64(average) * math.Exp(-float64(at-time.Duration(l.at.Load()))/float64(decay)))
}
