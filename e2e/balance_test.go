package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	balanced = 3000 // requests
	clients  = 64
)

// TestSequentialRequestsSpreadEvenly is the uniformity that was promised: each server within 10 % of its share.
func TestSequentialRequestsSpreadEvenly(t *testing.T) {
	t.Parallel()
	l, servers := threeServers(t)
	requireEvenShares(t, l.serverNames("http://example.com/", balanced), servers)
}

// TestConcurrentRequestsSpreadEvenly has every request take a time that is the same everywhere: what is balanced is what is in flight, and a server
// that the machine lets run less is slower.
func TestConcurrentRequestsSpreadEvenly(t *testing.T) {
	t.Parallel()
	l, servers := threeServers(t)

	var mu sync.Mutex
	counts := map[string]int{}
	var failed []string
	work := make(chan struct{}, balanced)
	for range balanced {
		work <- struct{}{}
	}
	close(work)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for range work {
				got, err := l.try(call{url: "http://example.com/?delay=50ms"})
				mu.Lock()
				if err != nil || got.StatusCode != http.StatusOK {
					failed = append(failed, fmt.Sprint(err, got.Response))
				} else {
					counts[got.server()]++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	require.Empty(t, failed)
	requireEvenShares(t, counts, servers)
}

func threeServers(t *testing.T) (*l7, []*upstream) {
	t.Helper()
	servers := startUpstreams(t, 3)
	var args []string
	for _, server := range servers {
		args = append(args, "example.com="+server.address)
	}
	return startArgs(t, args...), servers
}

// requireEvenShares compares what the clients saw, and what the servers did, with even shares.
func requireEvenShares(t *testing.T, counts map[string]int, servers []*upstream) {
	t.Helper()
	share := float64(balanced) / float64(len(servers))
	total := 0
	for _, server := range servers {
		assert.InDelta(t, share, counts[server.name], share/10, "server %s of %v", server.name, counts)
		assert.Equal(t, counts[server.name], server.stats().Requests, "server %s", server.name)
		total += counts[server.name]
	}
	assert.Equal(t, balanced, total)
}
