package server

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// awaitParked waits until no goroutine of fasthttp's serves a connection.
func (p *proxy) awaitParked() {
	p.t.Helper()
	eventually(p.t, "all connections to be parked", func() bool { return p.http.GetCurrentConcurrency() == 0 })
}

// An idle connection gives up its goroutine after a second. It must serve again as if nothing had been, each time.
func TestAParkedConnectionServesAgain(t *testing.T) {
	t.Parallel()
	o := replying(t, plainOK)
	p := inFront(t, o)
	c := p.dial()
	for range 2 {
		c.send(get + get)
		require.Equal(t, plainOK+plainOK, c.readN(2*len(plainOK)))
		p.awaitParked()
	}
	c.send(get[:10])
	time.Sleep(10 * time.Millisecond)
	c.send(get[10:])
	require.Equal(t, plainOK, c.readN(len(plainOK)))
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}

// RFC 9112 section 9.6: a client may leave a connection that it does not use, and nothing of it is kept then.
func TestAParkedConnectionEndsWithItsClient(t *testing.T) {
	t.Parallel()
	p := inFront(t, replying(t, plainOK))
	c := p.dial()
	require.Equal(t, plainOK[:len(plainOK)-2], c.ask(get))
	p.awaitParked()
	c.reset()
	eventually(t, "the connection to be forgotten", func() bool { return p.conns.each(all, func(*conn) {}) == 0 })
}

// RFC 9112 section 9.5: timeouts.idle bounds how long a connection waits for its next request, parked or not, and also for its first.
func TestIdleConnectionsAreClosedInTime(t *testing.T) {
	f := func(name, idle string, least time.Duration, request string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := inFront(t, replying(t, plainOK), "timeouts: {idle: "+idle+"}\n")
			start := time.Now()
			c := p.dial()
			c.send(request)
			got, err := c.readAll()
			require.NoError(t, err)
			require.Equal(t, strings.Repeat(plainOK, strings.Count(request, "GET")), got)
			require.GreaterOrEqual(t, time.Since(start), least)
			require.Less(t, time.Since(start), least*5/4+time.Second)
		})
	}
	f("soon", "200ms", 200*time.Millisecond, get)
	f("soon, without a request", "200ms", 200*time.Millisecond, "")
	f("parked", "1500ms", 1500*time.Millisecond, get)
	f("parked, without a request", "1500ms", 1500*time.Millisecond, "")
}

// RFC 9112 section 9.6: in a drain the requests in flight are answered, and each client is told that it was the last.
func TestADrainFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}, 2), make(chan struct{})
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		head := c.readHead()
		if strings.HasPrefix(head, "GET /begun") {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
		}
		begun <- struct{}{}
		<-goOn
		if strings.HasPrefix(head, "GET /begun") {
			c.send("cd")
			return
		}
		c.send(plainOK)
	}))
	waiting, reading := p.dial(), p.dial()
	waiting.send(get)
	reading.send("GET /begun HTTP/1.1\r\nHost: a\r\n\r\n")
	receive(t, begun)
	receive(t, begun)
	require.Contains(t, reading.readHead(), "200 OK")
	drained := make(chan error, 1)
	go func() { drained <- p.Drain(t.Context()) }()
	eventually(t, "the listener to close", func() bool {
		for _, l := range p.listeners {
			return l.closing.Load()
		}
		return false
	})
	close(goOn)
	got, err := waiting.readAll()
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", got)
	_ = waiting.Close()
	got, err = reading.readAll() // its head had been sent before the drain
	require.NoError(t, err)
	require.Equal(t, "abcd", got)
	_ = reading.Close()
	require.NoError(t, receive(t, drained))
	p.awaitQuiet(2)
}

// DESIGN 5.14: a request that was on its way when the drain began is answered, on a connection that waits and on one that is parked. The others close.
func TestADrainAnswersWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	p := inFront(t, replying(t, plainOK))
	parked, silent := p.dial(), p.dial()
	parked.send(get)
	require.Equal(t, plainOK, parked.readN(len(plainOK)))
	p.awaitParked()
	waiting := p.dial()
	waiting.send(get)
	require.Equal(t, plainOK, waiting.readN(len(plainOK)))
	drained := make(chan error, 1)
	start := time.Now()
	go func() { drained <- p.Drain(t.Context()) }()
	time.Sleep(200 * time.Millisecond)
	const last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	for _, c := range []*peerConn{waiting, parked} {
		c.send(get)
		got, err := c.readAll()
		require.NoError(t, err)
		require.Equal(t, last, got)
		_ = c.Close()
	}
	require.True(t, silent.ended())
	require.NoError(t, receive(t, drained))
	require.Less(t, time.Since(start), 3*time.Second)
}

// RFC 9112 section 9.6: a request that comes while the last response is on its way must not cost the client that response. To close with bytes unread is to reset.
func TestTheLastResponseSurvivesALaterRequest(t *testing.T) {
	f := func(name, request, response string, drain bool) {
		t.Run(name, func(t *testing.T) {
			goOn := make(chan struct{})
			p := inFront(t, newOrigin(t, func(c *peerConn) {
				c.readHead()
				<-goOn
				c.send(response)
			}))
			c := p.dial()
			c.send(request)
			eventually(t, "the request", func() bool { return p.inFlight() == 1 })
			if drain {
				go func() { _ = p.Drain(t.Context()) }()
				eventually(t, "the drain", func() bool {
					for _, l := range p.listeners {
						return l.closing.Load()
					}
					return false
				})
			}
			c.send(get)
			time.Sleep(10 * time.Millisecond)
			close(goOn)
			got, err := c.readAll()
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(got, "\r\nConnection: close\r\n\r\nok"), got)
			_ = c.Close()
		})
	}
	f("in a drain", get, plainOK, true)
	f("to HTTP/1.0, without a length", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nok", false)
}

// A drain that runs out of time cuts what is left, and nothing stays counted.
func TestADrainThatRunsOutOfTimeCuts(t *testing.T) {
	ended := make(chan struct{})
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		c.readHead()
		c.ended()
		close(ended)
	}))
	c := p.dial()
	c.send(get)
	eventually(t, "the request", func() bool { return p.inFlight() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, p.Drain(ctx), "cannot finish 1 connections")
	require.True(t, c.ended())
	receive(t, ended)
	p.awaitQuiet(0)
}

// A request counts until the last byte of its response has been passed on, which is what least_loaded goes by.
func TestARequestIsInFlightUntilItsResponseHasPassed(t *testing.T) {
	goOn := make(chan struct{})
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		for c.readHead() != "" {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
			<-goOn
			c.send("cd")
		}
	}))
	require.Zero(t, p.inFlight())
	c := p.dial()
	for range 2 {
		require.Contains(t, c.ask(get), "200 OK")
		require.Equal(t, "ab", c.readN(2))
		require.Equal(t, 1, p.inFlight())
		goOn <- struct{}{}
		require.Equal(t, "cd", c.readN(2))
		p.awaitQuiet(1)
	}
}

// Whatever goes wrong, no request stays counted and no broken connection is kept.
func TestNothingStaysInFlightAfterAFailure(t *testing.T) {
	f := func(name string, serve func(c *peerConn), request, want string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := inFront(t, newOrigin(t, serve), "timeouts: {response_header: 150ms, response: 150ms, write: 150ms, body: 150ms}\n")
			got := p.exchange(strings.Replace(request, "Host", "Connection: close\r\nHost", 1))
			require.True(t, strings.HasPrefix(got, want), got)
			p.awaitQuiet(0)
		})
	}
	after := func(text string) func(c *peerConn) {
		return func(c *peerConn) { c.readHead(); c.send(text) }
	}
	silent := func(text string) func(c *peerConn) {
		return func(c *peerConn) { c.readHead(); c.send(text); c.ended() }
	}
	f("closed on accept", func(*peerConn) {}, get, "HTTP/1.1 502 ")
	f("reset on accept", func(c *peerConn) { c.reset() }, get, "HTTP/1.1 502 ")
	f("closed", after(""), get, "HTTP/1.1 502 ")
	f("reset", func(c *peerConn) { c.readHead(); c.reset() }, get, "HTTP/1.1 502 ")
	f("closed in the head", after("HTTP/1.1 200"), get, "HTTP/1.1 502 ")
	f("garbage", after("\x16\x03\x01\r\n\r\n"), get, "HTTP/1.1 502 ")
	f("silence", silent(""), get, "HTTP/1.1 504 ")
	f("silence in the head", silent("HTTP/1.1 200 OK\r\n"), get, "HTTP/1.1 504 ")
	f("silence in the body", silent("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), get, "HTTP/1.1 200 ")
	f("silence behind an interim response", silent("HTTP/1.1 103 Early Hints\r\n\r\n"), get, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 504 ")
	f("closed in the body", after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), get, "HTTP/1.1 200 ")
	f("bad chunk", after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabX"), get, "HTTP/1.1 ")
	f("upload to a closed connection", after(""), postLength+"0", "HTTP/1.1 502 ")
	f("upload that stops", silent(""), postLength+"0", "HTTP/1.1 408 ")
	f("chunked upload that stops", silent(""), postChunked+"5\r\nab", "HTTP/1.1 408 ")
	f("chunked upload that is wrong", silent(""), postChunked+"5\r\nabcdefg", "HTTP/1.1 400 ")
}

// A fault of ours costs one request: it is answered 500, the connection closes, the process and the counts go on.
func TestAPanicAnswers500(t *testing.T) {
	o := replying(t, plainOK)
	p := inFront(t, o)
	fine := p.Snapshot()
	broken := *fine
	broken.table = nil
	p.Swap(&broken)
	got := p.exchange(get)
	require.Contains(t, got, "HTTP/1.1 500 Internal Server Error\r\n")
	require.Contains(t, got, "Connection: close\r\n")
	require.NotContains(t, got, "nil pointer", "the text is for the log")
	p.awaitCause("internal")
	require.Contains(t, p.log.String(), "nil pointer")
	p.Swap(fine)
	c := p.dial()
	require.Equal(t, plainOK[:len(plainOK)-2], c.ask(get), "the next request is served")
	require.Equal(t, "ok", c.readN(2))
	p.awaitQuiet(1)
}

// RFC 9112 section 8: when a fault of ours comes in the middle of a response, the client must not take the part that it got for the whole.
func TestAPanicWithinAResponseCutsIt(t *testing.T) {
	p := inFront(t, replying(t, plainOK))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	far, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	near, err := ln.Accept()
	require.NoError(t, err)
	ss := newSession(p.Server)
	ss.snapshot = p.Snapshot()
	for _, l := range p.listeners {
		ss.conn = newConn(near, l)
	}
	keep := true
	func() {
		defer ss.recovered(&keep)
		require.NoError(t, ss.conn.sock.Write([]byte("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart"), patience))
		ss.answered = true
		panic("lost")
	}()
	require.False(t, keep)
	got, err := newPeerConn(t, far).readAll()
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NotContains(t, got, "500")
	_ = near.Close()
}

// Who has connected before the drain is answered, although nobody had taken the connection yet, and also when the request comes a moment later:
// the system resets what waits in the queue of a socket that is closed.
func TestADrainAnswersWhoHasConnected(t *testing.T) {
	for range 3 {
		p := inFront(t, answering(t, plainOK))
		drained := make(chan error, 1)
		early, late := p.dial(), p.dial()
		early.send(good)
		go func() { drained <- p.Drain(t.Context()) }()
		require.Equal(t, 200, early.readReply("GET").StatusCode)
		late.send(good)
		r := late.readReply("GET")
		require.NoError(t, r.err)
		require.Equal(t, 200, r.StatusCode)
		require.True(t, r.Close)
		_, _ = early.Close(), late.Close()
		require.NoError(t, receive(t, drained))
	}
}

// Whoever comes after Leave is the other process's that has the socket; who is connected is served on.
func TestLeaveTakesNobodyFromTheNextProcess(t *testing.T) {
	p := inFront(t, answering(t, plainOK))
	var file *os.File
	for _, l := range p.Sockets() {
		var err error
		file, err = l.(*net.TCPListener).File()
		require.NoError(t, err)
	}
	next, err := net.FileListener(file)
	require.NoError(t, err)
	defer next.Close()
	require.NoError(t, file.Close())

	early := p.dial()
	early.send(good)
	require.Equal(t, 200, early.readReply("GET").StatusCode)
	p.Leave()
	for range 3 {
		late := p.dial()
		c, err := next.Accept()
		require.NoError(t, err)
		require.Equal(t, late.LocalAddr(), c.RemoteAddr())
		_, _ = c.Close(), late.Close()
	}
	early.send(good)
	require.Equal(t, 200, early.readReply("GET").StatusCode)
	require.NoError(t, p.Drain(t.Context()))
}
