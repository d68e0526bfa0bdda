package e2e

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readReply reads a response to its end.
func readReply(c *client, resp *http.Response) (reply, error) {
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp, c.t, string(text)}, err
}

// TestSlowServerGetsLess: a server that takes ten times as long gets less than a fifth of the requests, where the policy looks at
// load or time.
func TestSlowServerGetsLess(t *testing.T) {
	tail := map[string]time.Duration{}
	for _, policy := range []string{"round_robin", "random_two", "least_loaded", "least_time"} {
		t.Run(policy, func(t *testing.T) {
			actors := startActors(t, 3)
			for i, delay := range []string{"5ms", "5ms", "50ms"} {
				actors[i].tell("delay " + delay)
			}
			l := startReleased(t, backendOf(actors, "policy: "+policy)...)
			took := measure(t, l, 6000)
			share := float64(actors[2].stats().Requests) / float64(len(took))
			tail[policy] = percentile(took, 99)
			t.Logf("%s: the slow server has %.1f %%; p50 %s, p99 %s (round_robin: p99 %s)", policy, 100*share,
				percentile(took, 50), tail[policy], tail["round_robin"])
			if policy == "least_loaded" || policy == "least_time" {
				assert.Less(t, share, 0.2)
			}
			assert.NotZero(t, share, "it is never tried")
		})
	}
}

// measure sends n requests from many clients and returns how long each took, in order.
func measure(t testing.TB, l *l7, n int64) []time.Duration {
	t.Helper()
	var left atomic.Int64
	left.Store(n)
	var mu sync.Mutex
	var all []time.Duration
	var failures []string
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			var own []time.Duration
			for left.Add(-1) >= 0 {
				started := time.Now()
				failure := problem(l.try(call{url: "http://example.com/?size=100"}))
				own = append(own, time.Since(started))
				if failure != "" {
					mu.Lock()
					failures = append(failures, failure)
					mu.Unlock()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
		})
	}
	group.Wait()
	require.Empty(t, first(failures), "%d requests failed", len(failures))
	slices.Sort(all)
	return all
}

// percentile is the time in which so many percent were done.
func percentile(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)-1)*percent/100].Round(100 * time.Microsecond)
}
