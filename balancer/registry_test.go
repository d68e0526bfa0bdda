package balancer

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
)

// A thousand reloads, each with other servers than the one before, leave nothing behind: no entry here, and no goroutine,
// which TestMain looks for.
func TestReloadsLeaveNothing(t *testing.T) {
	registry := newRegistry()
	var current *Backend
	for i := range 1000 {
		cfg := section(somewhere(t, i), somewhere(t, i+1), somewhere(t, i+2))
		cfg.Policy = policyNames[i%len(policyNames)]
		if i%7 == 0 {
			cfg.Policy = "consistent_hash"
		}
		next := New("b", cfg, registry, options)
		next.Activate()
		if current != nil {
			require.Same(t, current.members[1].Standing, next.members[0].Standing)
			current.Close()
		}
		require.Equal(t, 3, registry.Len())
		require.Len(t, registry.standings, 3)
		require.Len(t, registry.backends, 1)
		current = next
	}
	current.Close()
	require.Zero(t, registry.Len())
	require.Empty(t, registry.standings)
	require.Empty(t, registry.backends)
}

// Checks start and stop with the configs that want them.
func TestReloadsLeaveNoChecks(t *testing.T) {
	registry := newRegistry()
	server := serving(t, "1")
	for i := range 50 {
		cfg := section(server)
		cfg.Health.Path, cfg.Health.Interval = "/", time.Duration(1+i%2)*time.Minute
		b := New("b", cfg, registry, options)
		b.Activate()
		require.Equal(t, 1, registry.checks.Len())
		b.Close()
		require.Zero(t, registry.checks.Len())
	}
}

// What a server that is let go has in flight is ended after grace, and not before.
func TestGrace(t *testing.T) {
	asked := make(chan struct{})
	silent := script(t, func(c *net.TCPConn, _ string) bool { close(asked); _, _ = c.Read(make([]byte, 1)); return false })
	short := options
	short.Grace = 200 * time.Millisecond
	cfg := config.DefaultBackend()
	cfg.Servers, cfg.Retry.Retries = []config.Server{silent.Server}, 0
	b := New("b", cfg, newRegistry(), short)
	x := asking(t)
	ended := make(chan error, 1)
	go func() { ended <- b.Do(x) }()
	<-asked
	closed := time.Now()
	b.Close()
	require.Contains(t, []cause.Cause{cause.ServerClosed, cause.ServerTimeout}, causeOf(t, <-ended))
	require.GreaterOrEqual(t, time.Since(closed), short.Grace)
	require.Less(t, time.Since(closed), x.Timeouts.ResponseHeader)
	require.Zero(t, b.members[0].Connections())
	require.Zero(t, b.members[0].PendingInFlight())
}
