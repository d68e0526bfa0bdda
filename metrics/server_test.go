package metrics

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestServerSumsUp(t *testing.T) {
	s := new(Server)
	var mu sync.Mutex // guards want and times
	want, times, errors := ServerSum{}, []time.Duration{}, uint64(0)
	count := func(shard uint, r *rand.Rand) {
		for range 2000 {
			q, failed := randomRequest(r), r.IntN(3) == 0
			s.Observe(shard, q.Status, failed, q.Took)
			mu.Lock()
			if failed {
				want.Failed[q.Status/100]++
			} else {
				want.Answered[q.Status/100]++
			}
			if failed || q.Status >= 500 {
				errors++
			}
			if q.Status != 0 {
				times = append(times, q.Took)
			}
			mu.Unlock()
		}
	}
	var before, sum ServerSum
	together(count, func() {
		s.Sum(&sum)
		require.GreaterOrEqual(t, sum.Attempts(), before.Attempts())
		require.GreaterOrEqual(t, sum.Attempts(), sum.Errors())
		before = sum
	})
	s.Sum(&sum)
	want.Latency = *histogram(times...)
	require.Equal(t, want, sum)
	require.Equal(t, uint64(goroutines*2000), sum.Attempts())
	require.Equal(t, errors, sum.Errors())
	require.Equal(t, Sample{Requests: goroutines * 2000, Errors: errors, Latency: &sum.Latency}, sum.Sample())
}

// A server that refuses every connection at once must not look like the fastest.
func TestNoHeadIsNoLatency(t *testing.T) {
	s := new(Server)
	s.Observe(0, 0, true, time.Microsecond)
	s.Observe(1, 200, true, time.Second) // the response broke off later
	var sum ServerSum
	s.Sum(&sum)
	require.Equal(t, *histogram(time.Second), sum.Latency)
	require.Equal(t, uint64(2), sum.Errors())
}
