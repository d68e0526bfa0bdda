package exchange

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
)

func replying(t *testing.T) *Server {
	t.Helper()
	return serve(t, func(c *net.TCPConn) {
		for readN(c, len(getHead)) == getHead {
			_, _ = io.WriteString(c, okHead+"ok")
		}
	})
}

// answered has a server answer and leaves the response to be read.
func answered(t *testing.T, s *Server, caps Caps) *Exchange {
	t.Helper()
	x := request(New(), newClient(t), getHead, Incoming{})
	x.Caps = caps
	require.NoError(t, s.Do(x))
	return x
}

func finish(t *testing.T, x *Exchange) {
	t.Helper()
	require.NoError(t, x.Relay([]byte("HEAD\r\n\r\n"), false, 0))
	x.Finish()
}

// One connection more than max_connections is not opened: the exchange does not wait, nothing is sent, and any request may be tried
// elsewhere. As soon as one is free it is used.
func TestFullIsToldAtOnce(t *testing.T) {
	s := replying(t)
	caps := Caps{Connections: 2}
	one, two := answered(t, s, caps), answered(t, s, caps)
	require.Equal(t, 2, s.Connections())
	x := request(New(), newClient(t), getHead, Incoming{})
	x.Caps = caps
	started := time.Now()
	err := s.Do(x)
	var failure *cause.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, cause.Full, failure.Cause)
	require.True(t, failure.Unsent)
	require.False(t, x.Wrote())
	require.ErrorContains(t, err, "max_connections (2)")
	require.Less(t, time.Since(started), time.Second)
	require.Equal(t, 2, s.PendingRequests())
	finish(t, one)
	require.NoError(t, s.Do(x))
	require.Equal(t, 2, s.Connections())
	finish(t, two)
	finish(t, x)
	require.Equal(t, 2, s.Idle())
	require.Equal(t, 2, s.Connections())
	s.Close()
	require.Zero(t, s.Connections())
}

// Not more than max_idle connections are kept.
func TestMaxIdle(t *testing.T) {
	s := replying(t)
	var open []*Exchange
	for range 5 {
		open = append(open, answered(t, s, Caps{Idle: 2}))
	}
	require.Equal(t, 5, s.Connections())
	for _, x := range open {
		finish(t, x)
	}
	require.Equal(t, 2, s.Idle())
	require.Equal(t, 2, s.Connections())
}

// Who needs a fresh connection gets it in the place of an idle one.
func TestAnIdleConnectionMakesRoom(t *testing.T) {
	s := replying(t)
	finish(t, answered(t, s, Caps{}))
	require.Equal(t, 1, s.Idle())
	require.True(t, s.makeRoom(1))
	require.Zero(t, s.Idle())
	require.Equal(t, 1, s.Connections(), "the place that was reserved")
	require.False(t, s.makeRoom(1))
	s.open.cancel()
	require.Zero(t, s.Connections())
}

// A server that failed, a connect that was refused and a response that nobody wanted leave no place taken.
func TestPlacesAreGivenBack(t *testing.T) {
	caps := Caps{Connections: 1}
	s := serve(t, func(c *net.TCPConn) { readN(c, len(getHead)) })
	for range 3 {
		x := request(New(), newClient(t), getHead, Incoming{})
		x.Caps = caps
		require.ErrorContains(t, s.Do(x), "server_closed")
		require.Zero(t, s.Connections())
	}
	s = replying(t)
	for range 3 {
		answered(t, s, caps).Discard()
		require.Zero(t, s.Connections())
		require.Zero(t, s.PendingRequests())
	}
	s.addr.Port = 1
	for range 3 {
		x := request(New(), newClient(t), getHead, Incoming{})
		x.Caps = caps
		require.ErrorContains(t, s.Do(x), "connect")
		require.Zero(t, s.Connections())
	}
}

// Interrupt ends what is under way, on connections that stand and on those that are opened later.
func TestInterrupt(t *testing.T) {
	asked := make(chan struct{}, 2)
	s := serve(t, func(c *net.TCPConn) {
		readN(c, len(getHead))
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
	})
	ended := make(chan error, 2)
	ask := func() {
		x := request(New(), newClient(t), getHead, Incoming{})
		x.Timeouts.ResponseHeader = time.Minute
		ended <- s.Do(x)
	}
	go ask()
	<-asked
	s.Interrupt()
	require.Error(t, <-ended)
	ask()
	require.Error(t, <-ended)
	require.Zero(t, s.Connections())
}

// Opened counts connections and not exchanges, and goes on counting when they are closed. One that could not be opened is none.
func TestOpened(t *testing.T) {
	s := replying(t)
	require.Zero(t, s.Opened())
	for range 3 {
		finish(t, answered(t, s, Caps{}))
	}
	require.Equal(t, uint64(1), s.Opened(), "it was used again")
	one, two := answered(t, s, Caps{}), answered(t, s, Caps{Idle: 1})
	require.Equal(t, uint64(2), s.Opened())
	finish(t, one)
	finish(t, two) // is one idle connection too many, and closed
	finish(t, answered(t, s, Caps{Idle: 1}))
	require.Equal(t, uint64(2), s.Opened())
	s.Close()
	require.Equal(t, uint64(2), s.Opened())
}
