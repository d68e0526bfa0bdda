package balancer

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/config"
	"l7/exchange"
	"l7/health"
)

// held is a server that answers nothing until it is told to.
func held(t *testing.T) (server config.Server, asked <-chan struct{}, release func()) {
	t.Helper()
	arrived, let := make(chan struct{}, 10), make(chan struct{})
	server = script(t, func(c *net.TCPConn, _ string) bool {
		arrived <- struct{}{}
		<-let
		_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		return true
	}).Server
	return server, arrived, func() { close(let) }
}

// underWay starts a request at a backend, and returns what comes of it.
func underWay(t *testing.T, b *Backend, asked <-chan struct{}) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	r := asking(t)
	r.Timeouts.ResponseHeader = time.Minute
	go func() {
		err := b.Do(r)
		if err == nil {
			r.Finish()
		}
		done <- err
	}()
	<-asked
	return done
}

// An address that is gone for a moment, as a name's may be from one answer to the next, loses nothing: neither what it has in flight, nor
// its connections, nor that somebody has drained it.
func TestAnAddressThatComesBack(t *testing.T) {
	registry, short := newRegistry(), options
	short.Grace = 50 * time.Millisecond
	server, asked, release := held(t)
	other := serving(t, "other")
	first := New("b", section(server), registry, short)
	first.Activate()
	done := underWay(t, first, asked)
	standing, at := first.members[0].Standing, first.members[0].Server
	without := New("b", section(other), registry, short)
	without.Activate()
	first.Close()
	standing.Drain(true)
	again := New("b", section(server, other), registry, short)
	again.Activate()
	without.Close()
	require.Same(t, at, again.members[0].Server)
	require.Same(t, standing, again.members[0].Standing)
	require.True(t, again.members[0].IsDrained())
	require.Never(t, func() bool { return len(done) > 0 }, 4*short.Grace, 10*time.Millisecond, "what it had in flight was ended")
	release()
	require.NoError(t, <-done)
	require.Eventually(t, func() bool { return at.Idle() == 1 }, 10*time.Second, time.Millisecond, "its connection was not kept")
	again.Close()
	require.Eventually(t, func() bool { registry.mu.Lock(); defer registry.mu.Unlock(); return len(registry.standings) == 0 }, 10*time.Second, time.Millisecond)
	require.Zero(t, registry.Len())
}

// A server that is connected to in another way from now on (its ca_file has changed, say) is the same one: what is known of it stays, and what it has in
// flight goes on for as long as it takes. When the address is gone altogether that ends too.
func TestAnotherTransport(t *testing.T) {
	registry, short := newRegistry(), options
	short.Grace = 50 * time.Millisecond
	server, asked, release := held(t)
	defer release()
	before := New("b", section(server), registry, short)
	before.Activate()
	done := underWay(t, before, asked)
	before.members[0].Drain(true)

	changed := short
	changed.Transport = exchange.Transport{Announce: 1, TLS: func(string) *tls.Config { return nil }}
	after := New("b", section(server), registry, changed)
	after.Activate()
	before.Close()
	require.NotSame(t, before.members[0].Server, after.members[0].Server)
	require.Same(t, before.members[0].Standing, after.members[0].Standing)
	require.True(t, after.members[0].IsDrained())
	require.Never(t, func() bool { return len(done) > 0 }, 4*short.Grace, 10*time.Millisecond, "what it had in flight was ended")
	after.Close()
	require.Error(t, <-done)
	require.Eventually(t, func() bool { return registry.Len() == 0 }, 10*time.Second, time.Millisecond)
}

// The grace of an absence counts from its own beginning, whatever was before.
func TestEachAbsenceHasItsOwnGrace(t *testing.T) {
	registry, short := newRegistry(), options
	short.Grace = 300 * time.Millisecond
	server := serving(t, "1")
	b := New("b", section(server), registry, short)
	standing := b.members[0].Standing
	standing.Drain(true)
	b.Close()
	first := time.Now()
	again := New("b", section(server), registry, short)
	time.Sleep(short.Grace / 2) // into the grace of the first absence
	second := time.Now()
	again.Close()
	require.Eventually(t, func() bool { registry.mu.Lock(); defer registry.mu.Unlock(); return len(registry.standings) == 0 }, 10*time.Second, time.Millisecond)
	require.GreaterOrEqual(t, time.Since(second), short.Grace)
	require.Greater(t, second.Sub(first), short.Grace/3)
}

// What the checks of a config find that is not in force any more is not believed: nobody would take it back.
func TestOldChecksAreNotListenedTo(t *testing.T) {
	registry := newRegistry()
	server := serving(t, "1")
	old := New("b", section(server), registry, options)
	old.Activate()
	next := New("b", section(server), registry, options)
	next.Activate()
	old.members[0].Report(health.Verdict{Reason: "status 404"})
	old.members[0].Checked(health.Result{Reason: "status 404"})
	require.Equal(t, Available, next.members[0].State(now()))
	require.Nil(t, next.members[0].LastCheck())
	next.members[0].Report(health.Verdict{Reason: "status 404"})
	require.Equal(t, Unhealthy, next.members[0].State(now()))
	old.Close()
	next.Close()
}
