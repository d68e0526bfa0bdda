package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const longWait = 120 * time.Millisecond // longer than l7 waits before it watches the client

// The issue: a client that resets its connection cancels the exchange at once, wherever it is. The connection to the server is closed, since RFC 9112 section 9.3 knows
// no other way to take a request back, and it is not the server's fault.
func TestAClientThatResetsCancelsTheExchange(t *testing.T) {
	f := func(name, request string, serve func(c *peerConn), see func(t *testing.T, c *peerConn)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun, ended := make(chan struct{}, 1), make(chan time.Time, 1)
			p := inFront(t, newOrigin(t, func(c *peerConn) {
				c.readHead()
				serve(c)
				begun <- struct{}{}
				c.ended()
				ended <- time.Now()
			}))
			c := p.dial()
			c.send(request)
			receive(t, begun)
			if see != nil {
				see(t, c)
			}
			time.Sleep(longWait)
			reset := time.Now()
			c.reset()
			require.Less(t, receive(t, ended).Sub(reset), time.Second)
			p.awaitQuiet(0)
			p.awaitCause("client_gone")
		})
	}

	f("while the server thinks", get, func(*peerConn) {}, nil)
	f("behind a small body", postLength+"0123456789", func(c *peerConn) { c.readN(10) }, nil)
	f("behind an interim response", get, func(c *peerConn) { c.send("HTTP/1.1 103 Early Hints\r\n\r\n") }, func(t *testing.T, c *peerConn) {
		require.Contains(t, c.readHead(), "103")
	})
	f("in the middle of the response's head", get, func(c *peerConn) { c.send("HTTP/1.1 200 OK\r\nConte") }, nil)
	f("in the silence of an event stream", get, func(c *peerConn) { c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n") }, func(t *testing.T, c *peerConn) {
		require.Contains(t, c.readHead(), "200")
		require.Equal(t, "x", c.readChunk())
	})
	f("in the silence of a body with a length", get, func(c *peerConn) { c.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx") }, func(t *testing.T, c *peerConn) {
		require.Contains(t, c.readHead(), "200")
	})
	f("while the server is asked for 100", postExpect, func(*peerConn) {}, nil)
}

// The same behind an upload that came in pieces: the goroutine that sent it had ended, and nobody watched the client from then on.
func TestAClientThatResetsBehindItsUploadCancelsTheExchange(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}, 1), make(chan time.Time, 1)
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		c.readHead()
		c.readN(10)
		begun <- struct{}{}
		c.ended()
		ended <- time.Now()
	}))
	c := p.dial()
	c.send(postLength)
	time.Sleep(longWait)
	c.send("0123456789")
	receive(t, begun)
	time.Sleep(longWait)
	reset := time.Now()
	c.reset()
	require.Less(t, receive(t, ended).Sub(reset), time.Second)
	p.awaitQuiet(0)
	p.awaitCause("client_gone")
}

// Issue item 16 and RFC 9112 section 9.6: a client that has said all it has to say is still there to listen.
func TestAHalfClosedClientGetsItsAnswer(t *testing.T) {
	f := func(name, request string, serve func(c *peerConn), want string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := inFront(t, newOrigin(t, serve))
			c := p.dial()
			c.send(request)
			_ = c.CloseWrite()
			got, err := c.readAll()
			require.NoError(t, err)
			require.Equal(t, want, got)
			p.awaitQuiet(1)
		})
	}
	slowly := func(parts ...string) func(c *peerConn) {
		return func(c *peerConn) {
			c.readHead()
			for _, part := range parts {
				time.Sleep(longWait)
				c.send(part)
			}
			c.ended()
		}
	}

	f("at once", get, func(c *peerConn) { c.readHead(); c.send(plainOK); c.ended() }, plainOK)
	f("after a while", get, slowly(plainOK), plainOK)
	f("in parts", get, slowly("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", "\r\nab", "cd"), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd")
	f("in events", get, slowly("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
	f("with a body", postLength+"0123456789", func(c *peerConn) {
		c.readHead()
		c.readN(10)
		time.Sleep(longWait)
		c.send(plainOK)
		c.ended()
	}, plainOK)
}

// A server that answers while the client is being watched leaves both connections fit for the next request.
func TestWatchingTheClientLeavesNoTrace(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *peerConn) {
		for c.readHead() != "" {
			time.Sleep(longWait)
			c.send(plainOK)
		}
	})
	p := inFront(t, o)
	c := p.dial()
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n") // the second is there while the first is being answered
	for range 2 {
		require.Equal(t, plainOK, c.readN(len(plainOK)))
	}
	c.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	time.Sleep(longWait / 2)
	c.send("GET /4 HTTP/1.1\r\nHost: a\r\n\r\n")
	for range 2 {
		require.Equal(t, plainOK, c.readN(len(plainOK)))
	}
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}
