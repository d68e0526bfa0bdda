package exchange

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/http1"
	"l7/socket"
)

// An exchange is counted until Finish, and leaves its connection for the next.
func TestExchangeIsCountedUntilFinish(t *testing.T) {
	var conns atomic.Int64
	s := serve(t, func(c *net.TCPConn) {
		conns.Add(1)
		for readN(c, len(getHead)) == getHead {
			_, _ = io.WriteString(c, okHead+"ok")
		}
	})
	lb := s
	c, x := newClient(t), New()
	for range 3 {
		request(x, c, getHead, Incoming{})
		require.NoError(t, lb.Do(x))
		require.Same(t, s, x.Server())
		require.Equal(t, 1, lb.PendingRequests())
		require.Equal(t, 200, x.Response.Status)
		require.Zero(t, s.Idle())
		require.NoError(t, x.Relay([]byte("HEAD\r\n\r\n"), false, 0))
		require.Equal(t, "HEAD\r\n\r\nok", readN(c.far, 10))
		require.EqualValues(t, 2, x.Written())
		require.Equal(t, 1, lb.PendingRequests())
		x.Finish()
		require.Zero(t, lb.PendingRequests())
		require.Equal(t, 1, s.Idle())
	}
	require.EqualValues(t, 1, conns.Load())
}

// An attempt that fails leaves nothing: no count, no connection. What it was is in the error.
func TestAFailedExchangeLeavesNothing(t *testing.T) {
	f := func(want cause.Cause, script func(c *net.TCPConn)) {
		t.Helper()
		s := serve(t, func(c *net.TCPConn) { readN(c, len(getHead)); script(c) })
		x := request(New(), newClient(t), getHead, Incoming{})
		x.Timeouts.ResponseHeader = 100 * time.Millisecond
		err := s.Do(x)
		var typed *cause.Error
		require.ErrorAs(t, err, &typed)
		require.Equal(t, want, typed.Cause, err)
		require.False(t, typed.Unsent)
		require.Zero(t, s.PendingRequests())
		require.Zero(t, s.Idle())
		x.Abort() // has nothing left to do
		require.Zero(t, s.PendingRequests())
	}
	f(cause.ServerClosed, func(*net.TCPConn) {})
	f(cause.ServerClosed, func(c *net.TCPConn) { _ = c.SetLinger(0) })
	f(cause.ServerClosed, func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n") })
	f(cause.BadResponse, func(c *net.TCPConn) { _, _ = io.WriteString(c, "garbage\r\n\r\n") })
	f(cause.BadResponse, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim+1)+okHead)
	})
	f(cause.ServerTimeout, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })

	s := serve(t, func(*net.TCPConn) {})
	s.addr.Host, s.addr.Port = "127.0.0.1", 1
	var typed *cause.Error
	require.ErrorAs(t, s.Do(request(New(), newClient(t), getHead, Incoming{})), &typed)
	require.Equal(t, cause.ConnectRefused, typed.Cause)
	require.True(t, typed.Unsent)
}

// A caller that has lost its way in the middle, by a panic, can end the exchange from wherever it was.
func TestAbortEndsAnExchangeAnywhere(t *testing.T) {
	f := func(name string, script func(c *net.TCPConn), lose func(x *Exchange, c *testClient, s *Server)) {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			s := serve(t, func(c *net.TCPConn) {
				script(c)
				_, _ = io.Copy(io.Discard, c)
				close(ended)
			})
			c := newClient(t)
			x := request(New(), c, getHead, Incoming{})
			func() {
				defer func() { require.Equal(t, "lost", recover()) }()
				lose(x, c, s)
			}()
			require.Equal(t, 1, s.PendingRequests())
			x.Abort()
			x.Abort()
			require.Zero(t, s.PendingRequests())
			require.Zero(t, s.Idle())
			<-ended
		})
	}
	answer := func(text string) func(c *net.TCPConn) {
		return func(c *net.TCPConn) { readN(c, len(getHead)); _, _ = io.WriteString(c, text) }
	}
	f("in Do", answer("HTTP/1.1 103 Early Hints\r\n\r\n"), func(x *Exchange, c *testClient, s *Server) {
		c.interim = func(*http1.Response) error { panic("lost") }
		_ = s.Do(x)
	})
	f("before the body", answer(okHead), func(x *Exchange, _ *testClient, s *Server) {
		_ = s.Do(x)
		panic("lost")
	})
	f("in an upload", answer(okHead), func(x *Exchange, c *testClient, s *Server) {
		request(x, c, getHead, Incoming{Framing: http1.BodyLength, Length: 5})
		_ = s.Do(x)
		panic("lost")
	})
	watched := make(chan struct{})
	f("while the client is watched", func(c *net.TCPConn) {
		readN(c, len(getHead))
		<-watched
		_, _ = io.WriteString(c, okHead)
	}, func(x *Exchange, c *testClient, s *Server) {
		c.watched = sync.OnceFunc(func() { close(watched) })
		_ = s.Do(x)
		require.True(t, x.watch.running)
		panic("lost")
	})
}

// A panic in the goroutine that sends the body would have ended the process: no caller can recover it. It goes on in the caller's goroutine.
func TestAPanicOfTheUploadReachesTheCaller(t *testing.T) {
	s := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	c := newClient(t)
	x := request(New(), c, getHead, Incoming{Framing: http1.BodyLength, Length: 5})
	x.Body.from = nil
	func() {
		defer func() { require.ErrorContains(t, recover().(error), "nil pointer") }()
		_ = s.Do(x)
	}()
	x.Abort()
	require.Zero(t, s.PendingRequests())
}

// RFC 9112 section 9.3.1: a kept connection that turns out to be closed is replaced, and each that is left is looked at before.
func TestStaleConnectionsAreReplaced(t *testing.T) {
	var conns atomic.Int64
	closing := make(chan struct{})
	s := serve(t, func(c *net.TCPConn) {
		conns.Add(1)
		readN(c, len(getHead))
		_, _ = io.WriteString(c, okHead+"ok")
		if conns.Load() <= 3 {
			<-closing
			return
		}
		_, _ = io.Copy(io.Discard, c)
	})
	c := newClient(t)
	var open []*Exchange
	for range 3 {
		x := request(New(), c, getHead, Incoming{})
		require.NoError(t, s.Do(x))
		open = append(open, x)
	}
	for _, x := range open {
		require.NoError(t, x.Relay([]byte("H"), false, 0))
		x.Finish()
	}
	require.Equal(t, 3, s.Idle())
	close(closing)
	eventually(t, "the ends to arrive", func() bool {
		stale := 0
		for _, c := range s.idle.conns {
			if c.Stale() {
				stale++
			}
		}
		return stale == 3
	})
	x := request(New(), c, getHead, Incoming{})
	x.Repeatable = false // nothing was sent on them
	require.NoError(t, s.Do(x))
	require.EqualValues(t, 4, conns.Load())
	require.Zero(t, s.Idle())
	require.NoError(t, x.Relay([]byte("H"), false, 0))
	x.Finish()
	require.Equal(t, 1, s.Idle())
}

// A server that has been let go finishes what it has, and keeps no connection.
func TestAClosedServerKeepsNoConnection(t *testing.T) {
	ended := make(chan struct{})
	s := serve(t, func(c *net.TCPConn) {
		readN(c, len(getHead))
		_, _ = io.WriteString(c, okHead+"ok")
		_, _ = io.Copy(io.Discard, c)
		close(ended)
	})
	x := request(New(), newClient(t), getHead, Incoming{})
	require.NoError(t, s.Do(x))
	s.Close()
	require.NoError(t, x.Relay([]byte("H"), false, 0))
	x.Finish()
	<-ended
	require.Zero(t, s.Idle())
}

// RFC 9110 section 10.1.1: 100 that comes again, or late, starts no second upload.
func TestContinueStartsTheUploadOnce(t *testing.T) {
	got := make(chan string, 1)
	var sent atomic.Bool
	noticed := make(chan struct{})
	over := sync.OnceFunc(func() { close(noticed) })
	s := serve(t, func(c *net.TCPConn) {
		readN(c, len(getHead))
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		first := readN(c, len("5\r\nhello\r\n0\r\n\r\n"))
		sent.Store(true)
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
		<-noticed // that the upload is over: the client is watched from then on
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"+okHead+"ok")
		rest, _ := io.ReadAll(c)
		got <- first + string(rest)
	})
	c := newClient(t)
	c.watched = func() {
		if sent.Load() {
			over()
		}
	}
	interims := 0
	c.interim = func(*http1.Response) error {
		if interims++; interims == 1 {
			_, _ = io.WriteString(c.far, "5\r\nhello\r\n0\r\n\r\n")
		}
		return nil
	}
	x := request(New(), c, getHead, Incoming{Framing: http1.BodyChunked})
	x.Expect = true
	require.NoError(t, s.Do(x))
	require.Equal(t, 4, interims)
	require.True(t, x.Continues)
	require.NoError(t, x.Relay([]byte("H"), false, 0))
	x.FinishUpload()
	x.Finish()
	require.Equal(t, 1, s.Idle())
	s.Close()
	require.Equal(t, "5\r\nhello\r\n0\r\n\r\n", <-got)
}

// A stream in both directions ends when both sides have been silent for longer than they may. A bug had no bound for it at all once the server had
// begun to answer, so that a client that had vanished held its place for ever.
func TestAStreamThatIsSilentBothWaysEnds(t *testing.T) {
	const limit = 200 * time.Millisecond
	f := func(name string, silence, response time.Duration) {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(c *net.TCPConn) {
				readN(c, len(getHead))
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
				_, _ = io.Copy(io.Discard, c)
			})
			c := newClient(t)
			x := request(New(), c, getHead, Incoming{Framing: http1.BodyChunked, Silence: silence})
			x.Timeouts.Response = response
			require.NoError(t, s.Do(x))
			ended := make(chan error, 1)
			go func() { ended <- x.Relay([]byte("H"), false, 0) }()
			select {
			case err := <-ended:
				var failure *cause.Error
				require.ErrorAs(t, err, &failure)
				require.Equal(t, cause.ClientTimeout, failure.Cause)
				require.EqualValues(t, 1, x.Written())
			case <-time.After(patience / 2):
				t.Error("it goes on")
				_ = c.far.Close()
				require.Error(t, <-ended)
			}
			x.Finish()
			require.Zero(t, s.Idle())
		})
	}
	f("both alike", limit, limit)
	f("the server may be silent for longer", limit/4, limit)
	f("the client may be silent for longer", limit, limit/4)
}

// A client that is gone is nobody else's fault, whichever goroutine finds out.
func TestAClientThatIsGoneIsTheCause(t *testing.T) {
	s := serve(t, func(c *net.TCPConn) {
		readN(c, len(getHead))
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	f := func(in Incoming, lose func(c *testClient)) {
		t.Helper()
		c := newClient(t)
		lose(c)
		err := s.Do(request(New(), c, getHead, in))
		var typed *cause.Error
		require.ErrorAs(t, err, &typed)
		require.Equal(t, cause.ClientGone, typed.Cause)
		require.Zero(t, s.PendingRequests())
		require.Zero(t, s.Idle())
	}
	reset := func(c *testClient) { _ = c.far.SetLinger(0); _ = c.far.Close() }
	upload := Incoming{Framing: http1.BodyLength, Length: 5}
	f(Incoming{}, reset)
	f(Incoming{}, func(c *testClient) { _ = c.sock.Close() })
	f(Incoming{}, func(c *testClient) { c.interim = func(*http1.Response) error { return errors.New("cannot write") } })
	f(upload, reset)
	f(upload, func(c *testClient) { _ = c.far.CloseWrite() })
}

// Issue item 2: a request whose body has arrived goes out in one write, and a response whose body came with its head goes on in one. A write more is a segment and a wake-up more.
func TestSmallMessagesPassInOneWrite(t *testing.T) {
	f := func(framing http1.Framing, body, response, head string, chunked bool, wantOut, wantIn string) {
		t.Helper()
		s := serve(t, func(*net.TCPConn) {})
		server, far := &replier{response: response}, &recorder{}
		s.idle.put(&serverConn{Conn: socket.New(server), open: &s.open}, 0)
		c := &testClient{sock: socket.New(far)}
		x := request(New(), c, getHead, Incoming{Framing: framing, Length: int64(len(body)), Ahead: []byte(body)})
		out, err := AppendReceived(x.Out, x.Body, x.Chunked, 0, 1<<20)
		require.NoError(t, err)
		x.Out = out
		require.NoError(t, s.Do(x))
		require.NoError(t, x.Relay([]byte(head), chunked, 0))
		x.Finish()
		require.Equal(t, []string{getHead + wantOut}, server.writes)
		require.Equal(t, []string{wantIn}, far.writes)
		require.Equal(t, 1, s.Idle())
	}
	f(http1.BodyNone, "", okHead+"ok", "HEAD\r\n", false, "", "HEAD\r\nok")
	f(http1.BodyLength, "hello", okHead+"ok", "HEAD\r\n", false, "hello", "HEAD\r\nok")
	f(http1.BodyChunked, "5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", "HEAD\r\n", true, "5\r\nhello\r\n0\r\n\r\n", "HEAD\r\n2\r\nok\r\n0\r\n\r\n")
	f(http1.BodyNone, "", okHead+"ok", strings.Repeat("h", 2*socket.Headroom), false, "", strings.Repeat("h", 2*socket.Headroom)+"ok")
	f(http1.BodyNone, "", "HTTP/1.1 204 No Content\r\n\r\n", "HEAD\r\n", false, "", "HEAD\r\n")
}

// replier is a connection that has an answer ready.
type replier struct {
	recorder
	response string
}

func (r *replier) Read(p []byte) (int, error) {
	n := copy(p, r.response)
	r.response = r.response[n:]
	return n, nil
}
