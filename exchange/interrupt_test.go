package exchange

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/http1"
)

// TestInterruptEndsATunnel: a tunnel ends with its server, however busy its client is. Before, it went on, with nothing in it but a loop.
func TestInterruptEndsATunnel(t *testing.T) {
	s := serve(t, func(c *net.TCPConn) {
		readN(c, len(getHead))
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, c)
	})
	client := newClient(t)
	x := request(New(), client, getHead, Incoming{Framing: http1.BodyNone})
	x.Upgrade = []byte("websocket")
	x.Timeouts.Tunnel = time.Hour
	require.NoError(t, s.Do(x))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.Tunnel([]byte("H"), nil)
	}()
	require.Equal(t, "H", readN(client.far, 1))
	for range 3 {
		_, _ = io.WriteString(client.far, "ping")
		require.Equal(t, "ping", readN(client.far, 4))
	}
	s.Interrupt()
	rest, err := io.ReadAll(client.far)
	require.Empty(t, rest)
	require.NoError(t, err)
	<-ended
	x.Finish()
}

// TestInterruptEndsAnUpload: a request whose body is still on its way ends with its server, which has failed and not been slow.
func TestInterruptEndsAnUpload(t *testing.T) {
	for name, expect := range map[string]bool{"at once": false, "after 100": true} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{})
			s := serve(t, func(c *net.TCPConn) {
				readN(c, len(getHead))
				close(asked)
				_, _ = io.Copy(io.Discard, c)
			})
			x := request(New(), newClient(t), getHead, Incoming{Framing: http1.BodyChunked})
			x.Expect = expect
			failed := make(chan error)
			go func() { failed <- s.Do(x) }()
			<-asked
			s.Interrupt()
			var failure *cause.Error
			require.ErrorAs(t, <-failed, &failure)
			require.Equal(t, cause.ServerClosed, failure.Cause)
		})
	}
}

// TestInterruptCutsABody: a response that ends with its server was cut, and nobody has been slow.
func TestInterruptCutsABody(t *testing.T) {
	s := serve(t, func(c *net.TCPConn) {
		readN(c, len(getHead))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
		_, _ = io.Copy(io.Discard, c)
	})
	client := newClient(t)
	x := request(New(), client, getHead, Incoming{})
	x.Timeouts.Response = time.Minute
	require.NoError(t, s.Do(x))
	failed := make(chan error)
	go func() { failed <- x.Relay([]byte("H"), false, 0) }()
	require.Equal(t, "Habc", readN(client.far, 4))
	s.Interrupt()
	var failure *cause.Error
	require.ErrorAs(t, <-failed, &failure)
	require.Equal(t, cause.ResponseCut, failure.Cause)
	x.Finish()
}
