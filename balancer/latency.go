package balancer

import (
	"math"
	"sync/atomic"
	"time"
)

// latency is a peak-sensitive moving average of the time to a response's head: it jumps up and comes down slowly, also while
// nothing is measured, so that a server that was slow is tried again. One slow answer is chance, four in a row are a trend.
type latency struct {
	average atomic.Int64    // ns
	at      atomic.Int64    // of the last sample
	last    [4]atomic.Int64 // samples, ns; the oldest is overwritten
	next    atomic.Uint64
}

// decay is the time in which the average falls to 37 %.
const decay = 10 * time.Second

// noise is the latency below which servers are alike: the network's and the scheduler's whims.
const noise = time.Millisecond

func (l *latency) observe(at, took time.Duration) {
	l.last[l.next.Add(1)%uint64(len(l.last))].Store(int64(took))
	sample := took
	for i := range l.last {
		sample = min(sample, time.Duration(l.last[i].Load()))
	}
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
