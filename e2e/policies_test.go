package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryPolicySpreadsEvenly: three equal servers, each within 10 % of its share, whether requests come one by one or many at once. Those take
// a time that the machine, which lets one process run less than another, matters little beside.
func TestEveryPolicySpreadsEvenly(t *testing.T) {
	for _, policy := range []string{
		"policy: round_robin", "policy: least_loaded", "policy: random_two", "policy: least_time",
		"policy: consistent_hash, hash: 'header:X-User'",
	} {
		f := func(name string, senders int, target string) {
			t.Run(policy+" "+name, func(t *testing.T) {
				servers := startUpstreams(t, 3)
				l := startPolicy(t, policy, servers)
				requireEvenShares(t, spread(t, l, senders, target), servers)
			})
		}
		f("sequential", 1, "/")
		f("concurrent", clients, "/?delay=50ms")
	}
}

// TestFirstKeepsToTheFirstServer: the policy that is not meant to spread.
func TestFirstKeepsToTheFirstServer(t *testing.T) {
	l := startPolicy(t, "policy: first", startUpstreams(t, 3))
	assert.Equal(t, map[string]int{"a": balanced}, spread(t, l, clients, "/"))
}

// TestConsistentHashKeepsAUserAtAServer: the same value, the same server.
func TestConsistentHashKeepsAUserAtAServer(t *testing.T) {
	l := startPolicy(t, "policy: consistent_hash, hash: 'header:X-User'", startUpstreams(t, 3))
	for user := range 100 {
		first := l.as(t, user, "/")
		for range 3 {
			require.Equal(t, first, l.as(t, user, "/"), "user %d", user)
		}
	}
}

func startPolicy(t testing.TB, policy string, servers []*upstream) *l7 {
	t.Helper()
	return startFile(t, listenAnywhere, fmt.Sprintf("backends: {example.com: {%s, servers: [%s, %s, %s]}}",
		policy, servers[0].address, servers[1].address, servers[2].address))
}

// spread has senders send requests, each in the name of a user of its own, and counts who answers.
func spread(t testing.TB, l *l7, senders int, target string) map[string]int {
	t.Helper()
	work := make(chan int, balanced)
	for user := range balanced {
		work <- user
	}
	close(work)
	var mu sync.Mutex
	counts := map[string]int{}
	var group sync.WaitGroup
	for range senders {
		group.Go(func() {
			for user := range work {
				server := l.as(t, user, target)
				mu.Lock()
				counts[server]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return counts
}

// as sends a request in a user's name and returns the server that answered, or what went wrong.
func (c *client) as(t testing.TB, user int, target string) string {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com"+target, http.NoBody)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("X-User", fmt.Sprintf("user-%d", user))
	resp, err := c.http.Do(req)
	if err != nil {
		return err.Error()
	}
	got, err := readReply(c, resp)
	if failure := problem(got, err); failure != "" {
		return failure
	}
	return got.server()
}
