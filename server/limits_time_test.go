package server

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// short is the timeout that is tried; all others keep their defaults, of seconds.
const short = 100 * time.Millisecond

func withTimeout(name string) string { return "timeouts: {" + name + ": 100ms}" }

// silent is a server that reads, and answers what has come when it is told to.
func silent(t *testing.T, first string) net.Addr {
	return scripted(t, func(c *peerConn) {
		c.readHead()
		c.send(first)
		_, _ = io.Copy(io.Discard, c.r)
	})
}

// TestHeaderTimeout has a request's head stop, and come in drops: 408 when timeouts.header is over, counted from its first byte.
// RFC 9110 section 15.5.9.
func TestHeaderTimeout(t *testing.T) {
	t.Parallel()
	w := witnessing(t)
	p := inFront(t, w, withTimeout("header"))
	f := func(c *peerConn, every time.Duration, sent string) {
		t.Helper()
		stop := make(chan struct{})
		defer close(stop)
		took(t, short, func() {
			c.send(sent)
			go func() {
				for every > 0 && !isClosed(stop) {
					time.Sleep(every)
					c.send("x")
				}
			}()
			requireRefused(t, refused{status: 408}, c.tail())
		})
	}
	f(p.dial(), 0, "G")
	f(p.dial(), 0, "\r\n")
	f(p.dial(), 0, "GET / HTTP/1.1\r\nHost: a\r\n")
	f(p.dial(), 20*time.Millisecond, "GET /")
	f(p.dial(), 20*time.Millisecond, "GET / HTTP/1.1\r\nHost: a\r\nX: ")
	c := p.dial()
	c.send(good + "GET / HT") // the start of a request may come with the one before
	require.Equal(t, 200, c.readReply("GET").StatusCode)
	f(c, 0, "")
	p.logged(caused("client_timeout"), `"status":408`)
	require.Len(t, w.taken(p), 1)
}

// TestIdleTimeout has a connection on which nothing is asked: it is closed without a word (RFC 9112 section 9.5), also when it
// has fallen asleep in between.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{500 * time.Millisecond, 1100 * time.Millisecond} {
		p := inFront(t, answering(t, plainOK), fmt.Sprintf("timeouts: {idle: %s}", limit))
		fresh := p.dial()
		took(t, limit, func() { // the response is sent later than this starts, and read later than that
			c := p.dial()
			c.send(good)
			require.Equal(t, 200, c.readReply("GET").StatusCode)
			require.Empty(t, c.tail())
		})
		require.Empty(t, fresh.tail())
		require.NotContains(t, p.log.String(), "client_timeout")
	}
}

// TestBodyTimeout has an upload fall silent: 408 when timeouts.body is over, and the server's connection is cut.
func TestBodyTimeout(t *testing.T) {
	t.Parallel()
	w := witnessing(t)
	p := inFront(t, w, withTimeout("body"))
	for _, sent := range []string{lengthPost, lengthPost + "abc", chunkedPost, chunkedPost + "3\r\nabc\r\n", chunkedPost + "3\r\nabc\r\n0\r\n"} {
		took(t, short, func() {
			c := p.dial()
			c.send(sent)
			requireRefused(t, refused{status: 408}, c.tail())
		})
		requireCut(p, w, "")
	}
	p.logged(caused("client_timeout"), `"status":408`)
	require.NotContains(t, p.log.String(), "server_")
}

// TestConnectTimeout has a server that does not answer to a connect: 504.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	p := inFront(t, unreachable(t), withTimeout("connect"))
	took(t, short, func() { require.Equal(t, 504, p.get("/").StatusCode) })
	p.logged(caused("connect_timeout"), `"status":504`)
}

// unreachable is an address where connects are not answered: a listener whose queue is full.
func unreachable(t *testing.T) net.Addr {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}
	for {
		c, err := net.DialTimeout("tcp", addr.String(), 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

// TestResponseHeaderTimeout has a server that does not answer, or goes on for ever with the head of an answer: 504. The time counts
// from the end of the request.
func TestResponseHeaderTimeout(t *testing.T) {
	t.Parallel()
	f := func(origin net.Addr, request string) {
		t.Helper()
		p := inFront(t, origin, withTimeout("response_header"))
		c := p.dial()
		took(t, short, func() {
			c.send(request)
			require.Equal(t, 504, c.readReply("GET").StatusCode)
		})
		p.logged(caused("server_timeout"), `"status":504`)
		p.settle()
		require.Zero(t, p.kept())
	}
	f(silent(t, ""), good)
	f(silent(t, "HTTP/1.1 200 OK\r\nX: "), good)
	f(silent(t, ""), lengthPost+"0123456789")
	f(dripping(t, "HTTP/1.1 200 OK\r\nX: "), good)
	f(dripping(t, ""), good)

	// A slow upload takes its own time.
	p := inFront(t, silent(t, ""), withTimeout("response_header"))
	c := p.dial()
	c.send(lengthPost)
	for range 10 {
		time.Sleep(short / 4)
		c.send("x")
	}
	took(t, short, func() { require.Equal(t, 504, c.readReply("POST").StatusCode) })
}

// dripping is a server that sends a head, and no end of it.
func dripping(t *testing.T, start string) net.Addr {
	return scripted(t, func(c *peerConn) {
		c.readHead()
		c.send(start)
		if start == "" { // the first byte comes late, and must not make the time begin anew
			time.Sleep(short * 3 / 4)
			c.send("HTTP/1.1 200 OK\r\nX: ")
		}
		for range 200 {
			time.Sleep(10 * time.Millisecond)
			c.send("x")
		}
	})
}

// TestResponseTimeout has a response fall silent in its body: the client is cut off so that it can tell.
func TestResponseTimeout(t *testing.T) {
	t.Parallel()
	f := func(version, response string) {
		t.Helper()
		p := inFront(t, silent(t, response), withTimeout("response"))
		took(t, short, func() {
			c := p.dial()
			c.send("GET / HTTP/" + version + "\r\nHost: a\r\n\r\n")
			r := c.readReply("GET")
			require.Equal(t, 200, r.StatusCode)
			require.Equal(t, "abc", r.body)
			require.Error(t, r.err)
		})
		p.logged(caused("server_timeout"), "response cut off")
		p.settle()
		require.Zero(t, p.kept())
	}
	for _, version := range []string{"1.0", "1.1"} {
		f(version, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		f(version, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		f(version, "HTTP/1.1 200 OK\r\n\r\nabc")
	}
}

// endless is a server whose response does not end, while it is read.
func endless(t *testing.T, ended chan<- struct{}) net.Addr {
	return scripted(t, func(c *peerConn) {
		_ = c.SetDeadline(time.Now().Add(2 * patience))
		c.readHead()
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
		piece := times(64<<10, "x")
		for {
			if _, err := io.WriteString(c.TCPConn, piece); err != nil {
				close(ended)
				return
			}
		}
	})
}

// TestWriteTimeout has a client stop reading: it is given up after timeouts.write, or two of them (package socket says why),
// and the server's connection is closed.
func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	p := inFront(t, endless(t, ended), withTimeout("write"))
	c := p.dial()
	_ = c.SetReadBuffer(32 << 10)
	c.send(good)
	require.Equal(t, "HTTP/1.1 200 OK\r\n", c.readN(17))
	start := time.Now()
	until(t, func() bool { return isClosed(ended) }, "it is not given up")
	require.GreaterOrEqual(t, time.Since(start), short)
	require.LessOrEqual(t, time.Since(start), short*5/2+busy)
	p.logged(caused("client_timeout"), "response cut off")
	p.settle()
	_, err := c.readAll()
	require.True(t, isNetwork(err) && !ranOut(err), "%v", err)
}

// TestSlowReaderIsNotCut has a client read so slowly that the whole takes many times timeouts.write.
func TestSlowReaderIsNotCut(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	p := inFront(t, endless(t, ended), "timeouts: {write: 500ms}")
	c := p.dial()
	_ = c.SetReadBuffer(32 << 10)
	c.send(good)
	b := make([]byte, 4<<10)
	for start := time.Now(); time.Since(start) < 1500*time.Millisecond; time.Sleep(10 * time.Millisecond) {
		_, err := io.ReadFull(c.r, b)
		require.NoError(t, err)
	}
	require.False(t, isClosed(ended))
	c.abort()
	until(t, func() bool { return isClosed(ended) }, "the server's connection stays open")
	p.logged(caused("client_gone"))
}

// TestWriteTimeoutToTheServer has a server take nothing of an upload: 504, although it might answer for a long time yet.
func TestWriteTimeoutToTheServer(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	defer close(stop)
	p := inFront(t, scripted(t, func(c *peerConn) { <-stop }), withTimeout("write"))
	c := p.dial()
	start := time.Now()
	go func() {
		c.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
		piece := times(64<<10, "x")
		for {
			if _, err := io.WriteString(c.TCPConn, piece); err != nil {
				return
			}
		}
	}()
	require.Equal(t, 504, c.readReply("POST").StatusCode)
	require.GreaterOrEqual(t, time.Since(start), short)
	require.LessOrEqual(t, time.Since(start), short*5/2+busy)
	p.logged(caused("server_timeout"), `"status":504`)
	p.settle()
}

// TestSlowStreamsOutliveAllTimeouts has an upload and a download whose parts come faster than any timeout, and take many times
// as long together. No timeout is one for the whole.
func TestSlowStreamsOutliveAllTimeouts(t *testing.T) {
	t.Parallel()
	const all = "timeouts: {header: 500ms, body: 500ms, idle: 500ms, write: 500ms, connect: 500ms, response_header: 500ms, response: 500ms, server_idle: 500ms}"
	const parts, pause = 20, 60 * time.Millisecond
	drip := func(c *peerConn, last string) {
		for range parts {
			c.send("1\r\nx\r\n")
			time.Sleep(pause)
		}
		c.send(last)
	}
	stream := func(head string) net.Addr {
		return scripted(t, func(c *peerConn) {
			c.readHead()
			go func() { _, _ = io.Copy(io.Discard, c.r) }()
			c.send(head)
			drip(c, "0\r\n\r\n")
		})
	}
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	want := times(parts, "x")
	t.Run("download", func(t *testing.T) {
		t.Parallel()
		r := inFront(t, stream(chunked), all).get("/")
		require.NoError(t, r.err)
		require.Equal(t, want, r.body)
	})
	t.Run("upload", func(t *testing.T) {
		t.Parallel()
		w := witnessing(t)
		p := inFront(t, w, all)
		c := p.dial()
		c.send(chunkedPost)
		drip(c, "0\r\n\r\n")
		require.Equal(t, 200, c.readReply("POST").StatusCode)
		require.Equal(t, want, w.taken(p)[0].body)
	})
	t.Run("both at once", func(t *testing.T) {
		t.Parallel()
		c := inFront(t, stream(chunked), all).dial()
		go func() {
			c.send(chunkedPost)
			drip(c, "0\r\n\r\n")
		}()
		r := c.readReply("POST")
		require.NoError(t, r.err)
		require.Equal(t, want, r.body)
	})
	t.Run("download after a short upload", func(t *testing.T) {
		t.Parallel()
		c := inFront(t, stream(chunked), all).dial()
		c.send(chunkedPost + "1\r\nx\r\n")
		time.Sleep(pause)
		c.send("0\r\n\r\n")
		r := c.readReply("POST")
		require.NoError(t, r.err)
		require.Equal(t, want, r.body)
	})
	t.Run("download while the upload pauses", func(t *testing.T) {
		t.Parallel()
		c := inFront(t, stream(chunked), all).dial()
		c.send(chunkedPost + "1\r\nx\r\n") // and nothing more before the response is over
		r := c.readReply("POST")
		require.NoError(t, r.err)
		require.Equal(t, want, r.body)
	})
	t.Run("answers in pieces", func(t *testing.T) {
		t.Parallel()
		p := inFront(t, scripted(t, func(c *peerConn) {
			c.readHead()
			for range 10 { // each 1xx response is a sign of life
				c.send("HTTP/1.1 102 Processing\r\n\r\n")
				time.Sleep(pause)
			}
			c.send(plainOK)
		}), all)
		require.Equal(t, "ok", p.get("/").body)
	})
}

// TestServerIdleTimeout has a kept connection to a server closed when timeouts.server_idle is over.
func TestServerIdleTimeout(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	p := inFront(t, scripted(t, func(c *peerConn) {
		c.readHead()
		c.send(plainOK)
		require.Empty(t, c.tail())
		close(ended)
	}), withTimeout("server_idle"))
	took(t, short, func() {
		require.Equal(t, "ok", p.get("/").body)
		until(t, func() bool { return isClosed(ended) }, "it stays open")
	})
	require.Zero(t, p.kept())
}
