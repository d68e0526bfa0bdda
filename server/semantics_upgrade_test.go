package server

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	askUpgrade = "GET /ws?x=y HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n"
	answer101  = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
	relayed101 = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)

// RFC 9110 section 7.8: the askUpgrade goes to the server with Upgrade written anew, its 101 to the client. What either side sends in one segment with its head is not lost.
func TestTunnelsAfterAnUpgrade(t *testing.T) {
	heads := make(chan string, 1)
	o := newOrigin(t, func(c *peerConn) {
		heads <- c.readHead()
		c.send(answer101 + "early from the server")
		_, _ = io.Copy(c.TCPConn, c.r) // what is buffered included
	})
	p := inFront(t, o)
	c := p.dial()
	c.send(askUpgrade + "early from the client")
	require.Equal(t, "GET /ws?x=y HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n"+added("a")+"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", receive(t, heads))
	require.Equal(t, relayed101, c.readHead())
	require.Equal(t, "early from the serverearly from the client", c.readN(42))
	require.Equal(t, 1, p.inFlight(), "a tunnel is in flight")
	for range 3 {
		c.send("ping")
		require.Equal(t, "ping", c.readN(4))
	}
	_ = c.CloseWrite()
	rest, err := c.readAll()
	require.NoError(t, err)
	require.Empty(t, rest)
	p.awaitQuiet(0)
	eventually(t, "the server's connection to end", func() bool { return o.open.Load() == 0 })
}

// RFC 9110 section 7.8: names of protocols know no case; neither do options of Connection. A client that wrote WebSocket got a 502.
func TestUpgradesWhateverTheCase(t *testing.T) {
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		c.readHead()
		c.send(strings.Replace(answer101, "websocket", "WEBSocket", 1))
		_, _ = io.Copy(c.TCPConn, c.r)
	}))
	c := p.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\nCONNECTION: keep-alive, uPGRADE\r\nupgrade: WebSocket\r\n\r\nhi")
	require.Equal(t, strings.Replace(relayed101, "websocket", "WEBSocket", 1), c.readHead())
	require.Equal(t, "hi", c.readN(2))
}

// A server that takes its time with 101 has l7 watch the client, which must not keep the tunnel from reading it.
func TestTunnelsAfterASlowUpgrade(t *testing.T) {
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		c.readHead()
		time.Sleep(longWait)
		c.send("HTTP/1.1 103 Early Hints\r\n\r\n")
		time.Sleep(longWait)
		c.send(answer101)
		_, _ = io.Copy(c.TCPConn, c.r)
	}))
	c := p.dial()
	require.Contains(t, c.ask(askUpgrade), "103")
	require.Equal(t, relayed101, c.readHead())
	c.send("ping")
	require.Equal(t, "ping", c.readN(4))
	c.reset()
	p.awaitQuiet(0)
}

// RFC 9112 section 9.6 in a tunnel: one direction may end before the other, and the end is passed on.
func TestATunnelEndsOneDirectionAtATime(t *testing.T) {
	t.Run("the client's first", func(t *testing.T) {
		p := inFront(t, newOrigin(t, func(c *peerConn) {
			c.readHead()
			c.send(answer101)
			got, _ := c.readAll()
			time.Sleep(longWait)
			c.send("after the end: " + got)
		}))
		c := p.dial()
		c.send(askUpgrade + "bye")
		require.Equal(t, relayed101, c.readHead())
		_ = c.CloseWrite()
		got, err := c.readAll()
		require.NoError(t, err)
		require.Equal(t, "after the end: bye", got)
		p.awaitQuiet(0)
	})
	t.Run("the server's first", func(t *testing.T) {
		got := make(chan string, 1)
		p := inFront(t, newOrigin(t, func(c *peerConn) {
			c.readHead()
			c.send(answer101 + "bye")
			_ = c.CloseWrite()
			text, _ := c.readAll()
			got <- text
		}))
		c := p.dial()
		require.Equal(t, relayed101, c.ask(askUpgrade))
		rest, err := c.readAll()
		require.NoError(t, err)
		require.Equal(t, "bye", rest)
		time.Sleep(longWait)
		c.send("after the end")
		_ = c.Close()
		require.Equal(t, "after the end", receive(t, got))
		p.awaitQuiet(0)
	})
}

// A side that is gone altogether ends the tunnel, also where it had ended its own direction before and the other side is silent.
func TestATunnelEndsWithEitherSide(t *testing.T) {
	f := func(name string, leave func(client, server *peerConn)) {
		t.Run(name, func(t *testing.T) {
			servers, done := make(chan *peerConn, 1), make(chan struct{})
			p := inFront(t, newOrigin(t, func(c *peerConn) {
				c.readHead()
				c.send(answer101)
				servers <- c
				receive(t, done)
			}))
			defer close(done)
			c := p.dial()
			require.Equal(t, relayed101, c.ask(askUpgrade))
			leave(c, receive(t, servers))
			p.awaitQuiet(0)
		})
	}
	f("the client resets", func(client, _ *peerConn) { client.reset() })
	f("the server resets", func(_, server *peerConn) { server.reset() })
	f("the client half-closes, then resets", func(client, server *peerConn) {
		_ = client.CloseWrite()
		require.True(t, server.ended())
		client.reset()
	})
	f("the server half-closes, then resets", func(client, server *peerConn) {
		_ = server.CloseWrite()
		require.True(t, client.ended())
		server.reset()
	})
	f("both close", func(client, server *peerConn) { _ = client.Close(); _ = server.Close() })
}

// timeouts.tunnel is for both directions together: one that is used keeps the other.
func TestAnIdleTunnelEnds(t *testing.T) {
	t.Parallel()
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		c.readHead()
		c.send(answer101)
		for range 13 {
			time.Sleep(100 * time.Millisecond)
			c.send("x")
		}
		c.ended()
	}), "timeouts: {tunnel: 1s}\n")
	c := p.dial()
	require.Equal(t, relayed101, c.ask(askUpgrade))
	got, _ := c.readAll()
	require.Equal(t, strings.Repeat("x", 13), got)
	p.awaitQuiet(0)
}

// RFC 9110 section 7.8: a server may stay with HTTP, and then everything is as usual, the connections included.
func TestAnUpgradeThatTheServerDeclinesIsAnOrdinaryRequest(t *testing.T) {
	o := replying(t, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno")
	p := inFront(t, o)
	c := p.dial()
	for range 3 {
		require.Equal(t, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\n", c.ask(askUpgrade))
		require.Equal(t, "no", c.readN(2))
	}
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}

// What is not passed on as an upgrade goes on without a word of it: other protocols, h2c above all, several, an upgrade with a body or of HTTP/1.0 (RFC 9110 section 7.8).
func TestPassesOnlyTheUpgradesOfTheConfig(t *testing.T) {
	f := func(extra, request, want string) {
		t.Helper()
		m := &mirror{heads: make(chan string, 1)}
		o := newOrigin(t, func(c *peerConn) {
			m.heads <- c.readHead()
			c.send(plainOK)
			c.ended()
		})
		m.proxy = start(t, "backends: {'*': {servers: ['"+o.String()+"']"+extra+"}}\n")
		head := m.forwarded(t, request)
		if want == "" {
			require.NotContains(t, strings.ToLower(head), "upgrade")
			require.NotContains(t, strings.ToLower(head), "connection")
			return
		}
		require.Contains(t, head, "\r\nConnection: Upgrade\r\nUpgrade: "+want+"\r\n\r\n")
	}
	get := func(protocol string) string {
		return "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + "\r\nHTTP2-Settings: x\r\n\r\n"
	}
	f("", get("websocket"), "websocket")
	f("", get("WebSocket"), "WebSocket")
	f("", get("h2c"), "")
	f("", get("foo"), "")
	f("", get("h2c, websocket"), "")
	f("", get("websocket\r\nUpgrade: h2c"), "")
	f("", strings.Replace(get("websocket"), "Upgrade, ", "", 1), "")
	f("", strings.Replace(get("websocket"), "1.1", "1.0", 1), "")
	f("", strings.Replace(get("websocket"), "Host", "Content-Length: 2\r\nHost", 1)+"hi", "")
	f("", strings.Replace(get("websocket"), "Host", "Transfer-Encoding: chunked\r\nHost", 1)+"0\r\n\r\n", "")
	f(", upgrade: []", get("websocket"), "")
	f(", upgrade: [foo]", get("Foo"), "Foo")
	f(", upgrade: [foo]", get("websocket"), "")
}

// RFC 9110 section 15.2.2: 101 is the answer to Upgrade. One that nobody asked for, or to another protocol, would have l7 pass on what it does not understand.
func TestRefusesASwitchThatNobodyAskedFor(t *testing.T) {
	f := func(request, response string) {
		t.Helper()
		p := inFront(t, replying(t, response+"GET / HTTP/1.1\r\n"))
		require.Contains(t, p.dial().ask(request), "HTTP/1.1 502 ")
		p.awaitQuiet(0)
		p.awaitCause("bad_response")
	}
	f("GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer101)
	f("GET / HTTP/1.0\r\nHost: a\r\n\r\n", answer101)
	f(strings.Replace(askUpgrade, "websocket", "h2c", 1), strings.Replace(answer101, "websocket", "h2c", 1))
	f(askUpgrade, strings.Replace(answer101, "websocket", "h2c", 1))
	f(askUpgrade, strings.Replace(answer101, "Upgrade: websocket\r\n", "", 1))
	f(askUpgrade, strings.Replace(answer101, "Connection: Upgrade\r\n", "", 1))
	f(askUpgrade, strings.Replace(answer101, "Upgrade: websocket\r\n", "Upgrade: websocket\r\nUpgrade: h2c\r\n", 1))
	f("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi", answer101)
}

// A tunnel is a stream like any other: much passes both ways at once, whole, and each side waits for the other.
func TestMuchPassesThroughATunnel(t *testing.T) {
	const size = 8 << 20
	pattern := bytes.Repeat([]byte("0123456789abcdefg"), size/17+1)[:size]
	verdicts := make(chan bool, 1)
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		c.readHead()
		c.send(answer101)
		go func() { _, _ = c.TCPConn.Write(pattern); _ = c.CloseWrite() }()
		got, _ := io.ReadAll(c.r)
		verdicts <- bytes.Equal(got, pattern)
	}))
	c := p.dial()
	require.Equal(t, relayed101, c.ask(askUpgrade))
	go func() { _, _ = c.TCPConn.Write(pattern); _ = c.CloseWrite() }()
	got, err := io.ReadAll(c.r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(got, pattern))
	require.True(t, receive(t, verdicts))
	p.awaitQuiet(0)
}

// A drain waits for tunnels as for requests, and cuts them when its time is over.
func TestADrainLeavesTunnelsUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		c.readHead()
		c.send(answer101)
		_, _ = io.Copy(c.TCPConn, c.r)
		<-t.Context().Done()
	}))
	c := p.dial()
	require.Equal(t, relayed101, c.ask(askUpgrade))
	half := p.dial() // has ended its own direction, so that l7 reads it no more
	require.Equal(t, relayed101, half.ask(askUpgrade))
	_ = half.CloseWrite()
	ctx, timeIsOver := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- p.Drain(ctx) }()
	for range 5 {
		time.Sleep(30 * time.Millisecond)
		c.send("ping")
		require.Equal(t, "ping", c.readN(4))
	}
	require.Equal(t, 2, p.inFlight())
	timeIsOver()
	require.ErrorContains(t, receive(t, drained), "cannot finish 2 connections")
	require.True(t, c.ended())
	p.awaitQuiet(0)
}
