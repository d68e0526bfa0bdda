package balancer

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
	"l7/exchange"
	"l7/http1"
	"l7/socket"
)

// patience bounds every wait of a test that goes wrong.
const patience = 10 * time.Second

// scripted is a server that does as told with each request, and counts them.
type scripted struct {
	config.Server
	requests atomic.Int64
}

// script runs a server. Each request is handed over with its whole body; the connection ends when do returns false.
func script(t *testing.T, do func(c *net.TCPConn, body string) bool) *scripted {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &scripted{Server: config.Server{Address: address(t, ln.Addr().String()), Weight: 1}}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			conns.Go(func() {
				defer c.Close()
				s.serve(c.(*net.TCPConn), do)
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); conns.Wait() })
	return s
}

func (s *scripted) serve(c *net.TCPConn, do func(c *net.TCPConn, body string) bool) {
	for r := bufio.NewReader(c); ; {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		s.requests.Add(1)
		body, err := io.ReadAll(request.Body)
		if err != nil || !do(c, string(body)) {
			return
		}
	}
}

func answering(status string) func(*net.TCPConn, string) bool {
	return func(c *net.TCPConn, _ string) bool {
		_, err := io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		return err == nil
	}
}

func resetting(c *net.TCPConn, _ string) bool {
	_ = c.SetLinger(0)
	return false
}

// failing is a backend that asks its servers in the order given.
func failing(t *testing.T, change func(*config.Backend), servers ...config.Server) *Backend {
	t.Helper()
	cfg := section(servers...)
	cfg.Policy = "first"
	if change != nil {
		change(&cfg)
	}
	b := activated(t, newRegistry(), cfg, nil)
	t.Cleanup(func() {
		for _, m := range b.members {
			require.Zero(t, m.InFlight())
			require.Zero(t, m.PendingInFlight())
			require.Equal(t, m.Idle(), m.Connections())
		}
		require.Zero(t, b.shared.inFlight.Load())
		require.True(t, b.shared.queue.isEmpty())
		b.Close()
	})
	return b
}

// posting is a request that must not be sent twice.
func posting(t *testing.T) *Request {
	t.Helper()
	x := asking(t)
	x.Out, x.Method, x.Repeatable = []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), []byte("POST"), false
	x.Head = len(x.Out)
	return x
}

// causeOf is the cause of the failure that is expected.
func causeOf(t *testing.T, err error) cause.Cause {
	t.Helper()
	var failure *cause.Error
	require.ErrorAs(t, err, &failure)
	return failure.Cause
}

// tried are the causes of the attempts of a request.
func tried(x *Request) (list []cause.Cause) {
	for _, a := range x.Attempts() {
		list = append(list, a.Cause)
	}
	return list
}

// What may be sent again after what. The first server fails as it is told, the second one would answer.
func TestRetries(t *testing.T) {
	f := func(name string, x func(*testing.T) *Request, first func(*net.TCPConn, string) bool, change func(*config.Backend), retried bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			bad, good := script(t, first), script(t, answering("200 OK"))
			b := failing(t, change, bad.Server, good.Server)
			r := x(t)
			err := b.Do(r)
			require.EqualValues(t, 1, bad.requests.Load())
			if retried {
				require.NoError(t, err)
				require.Equal(t, 200, r.Response.Status)
				require.EqualValues(t, 1, good.requests.Load())
				require.Same(t, b.members[1], r.Member())
				require.Len(t, r.Attempts(), 2)
			} else {
				require.Zero(t, good.requests.Load())
				require.Len(t, r.Attempts(), 1)
			}
			if err == nil {
				r.Finish()
			}
		})
	}
	on := func(cfg *config.Backend) { cfg.Retry.On = []config.StatusRange{{First: 502, Last: 504}} }
	garbage := func(c *net.TCPConn, _ string) bool { _, _ = io.WriteString(c, "garbage\r\n\r\n"); return false }
	half := func(c *net.TCPConn, _ string) bool { _, _ = io.WriteString(c, "HTTP/1.1 200 O"); return false }
	interim := func(c *net.TCPConn, _ string) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
		return false
	}
	interimBad := func(c *net.TCPConn, body string) bool { interim(c, body); return answering("503 No")(c, body) }

	f("GET, reset", asking, resetting, nil, true)
	f("GET, garbage", asking, garbage, nil, true)
	f("GET, half a head", asking, half, nil, true)
	f("GET, after a 1xx", asking, interim, nil, false)
	f("GET, status after a 1xx", asking, interimBad, on, false)
	f("GET, status to retry", asking, answering("503 No"), on, true)
	f("GET, other status", asking, answering("500 No"), on, false)
	f("GET, status, none to retry", asking, answering("503 No"), nil, false)
	f("GET, reset, no retries", asking, resetting, func(cfg *config.Backend) { cfg.Retry.Retries = 0 }, false)
	f("POST, reset", posting, resetting, nil, false)
	f("POST, garbage", posting, garbage, nil, false)
	f("POST, status to retry", posting, answering("503 No"), on, false)
}

// What was sent nowhere is tried elsewhere whatever its method, and not all servers can have failed where one is left.
func TestARefusedConnectIsTriedElsewhere(t *testing.T) {
	good := script(t, answering("200 OK"))
	b := failing(t, nil, dead(t), dead(t), good.Server)
	x := posting(t)
	require.NoError(t, b.Do(x))
	require.Equal(t, []cause.Cause{cause.ConnectRefused, cause.ConnectRefused, cause.None}, tried(x))
	require.EqualValues(t, 1, good.requests.Load())
	x.Finish()
}

// Retries are bounded, no server is asked twice, and the last failure is what the request ends with.
func TestRetriesAreBounded(t *testing.T) {
	f := func(retries, servers, attempts int) {
		t.Helper()
		var list []*scripted
		var all []config.Server
		for range servers {
			s := script(t, resetting)
			list, all = append(list, s), append(all, s.Server)
		}
		b := failing(t, func(cfg *config.Backend) { cfg.Retry.Retries = retries }, all...)
		x := asking(t)
		require.Equal(t, cause.ServerClosed, causeOf(t, b.Do(x)))
		require.Len(t, x.Attempts(), attempts)
		for i, s := range list {
			require.EqualValues(t, min(1, max(attempts-i, 0)), s.requests.Load())
		}
	}
	f(2, 5, 3)
	f(0, 3, 1)
	f(10, 3, 3)
	f(10, 1, 1)
}

// A retry is counted when it is made. A failure after which no server was left counted as one.
func TestRetriesAreCountedWhenTheyAreMade(t *testing.T) {
	f := func(servers []config.Server, attempts int, retries uint64) {
		t.Helper()
		b := failing(t, nil, servers...)
		x := asking(t)
		if b.Do(x) == nil {
			x.Finish()
		}
		require.Len(t, x.Attempts(), attempts)
		require.Equal(t, Counts{Requests: 1, Retries: retries}, b.Counts())
	}
	bad, good := script(t, resetting).Server, script(t, answering("200 OK")).Server
	f([]config.Server{good}, 1, 0)
	f([]config.Server{bad}, 1, 0)
	f([]config.Server{dead(t)}, 1, 0)
	f([]config.Server{bad, script(t, resetting).Server}, 2, 1)
	f([]config.Server{dead(t), bad, good}, 3, 2)
}

// The last answer is passed on although its status calls for a retry: a bad answer is better than none.
func TestTheLastAnswerIsPassedOn(t *testing.T) {
	one, two := script(t, answering("503 One")), script(t, answering("503 Two"))
	b := failing(t, func(cfg *config.Backend) { cfg.Retry.On = []config.StatusRange{{First: 503, Last: 503}} }, one.Server, two.Server)
	x := asking(t)
	require.NoError(t, b.Do(x))
	require.Equal(t, "Two", string(x.Response.Reason()))
	require.Len(t, x.Attempts(), 2)
	x.Finish()
	require.EqualValues(t, 1, one.requests.Load())
	require.EqualValues(t, 1, two.requests.Load())
}

// In an outage the retries are a share of the requests, and the few that there may be in any case.
func TestTheBudgetBoundsRetries(t *testing.T) {
	one, two := script(t, answering("503 One")), script(t, answering("503 Two"))
	b := failing(t, func(cfg *config.Backend) {
		cfg.Retry.On, cfg.Retry.Budget = []config.StatusRange{{First: 503, Last: 503}}, 20
	}, one.Server, two.Server)
	const requests = 100
	started := time.Now()
	retries := 0
	for range requests {
		x := asking(t)
		require.NoError(t, b.Do(x))
		retries += len(x.Attempts()) - 1
		x.Finish()
	}
	require.GreaterOrEqual(t, retries, requests*20/100+floorBurst-1)
	require.LessOrEqual(t, retries, requests*20/100+floorBurst+int(time.Since(started).Seconds()*floorRate)+1)
}

// What could not be sent takes nothing out of the budget: it is no server's work yet.
func TestWhatCouldNotBeSentIsNoRetry(t *testing.T) {
	b := failing(t, func(cfg *config.Backend) { cfg.Retry.Budget, cfg.Eject.After, cfg.Policy = 0, 0, "first" }, dead(t), script(t, answering("200 OK")).Server)
	for range 2 * floorBurst {
		_, x := asked(t, b)
		require.Len(t, x.Attempts(), 2)
		x.Finish()
	}
}

// The share of the first requests counts as much as that of later ones. A bug had it divided by the age of the process.
func TestTheBudgetOfANewBackend(t *testing.T) {
	b := newBudget()
	b.requests[3].Add(1000)
	n := 0
	for at := now(); b.take(at, 0.2); {
		n++
	}
	require.InDelta(t, 200+floorBurst, n, 1)
}

// The share is saved up for some seconds and no longer.
func TestTheBudgetForgets(t *testing.T) {
	take := func(b *budget, at time.Duration) (n int) {
		for b.take(at, 0.2) {
			n++
		}
		return n
	}
	b := &budget{}
	require.Equal(t, floorBurst, take(b, time.Hour))
	require.Zero(t, take(b, time.Hour))
	require.Equal(t, 5, take(b, time.Hour+time.Second/2))
	b.requests[3].Add(1000)
	require.Equal(t, 200, take(b, time.Hour+time.Second/2))
	b.requests[3].Add(1000)
	require.LessOrEqual(t, take(b, 2*time.Hour), floorBurst+1, "requests of an hour ago say nothing of now")
}

// All attempts together take no longer than the backend allows.
func TestAllAttemptsAreBoundedTogether(t *testing.T) {
	silent := func(c *net.TCPConn, _ string) bool { _, _ = c.Read(make([]byte, 1)); return false }
	one, two, three := script(t, silent), script(t, silent), script(t, silent)
	cfg := section(one.Server, two.Server, three.Server)
	cfg.Policy = "first"
	bounded := options
	bounded.Request = 600 * time.Millisecond // a socket's bounds are kept to a quarter
	b := New("b", cfg, newRegistry(), bounded)
	defer b.Close()
	x := asking(t)
	x.Timeouts.ResponseHeader = 200 * time.Millisecond
	started := time.Now()
	require.Equal(t, cause.ServerTimeout, causeOf(t, b.Do(x)))
	require.Less(t, time.Since(started), 2*time.Second)
	require.GreaterOrEqual(t, time.Since(started), 500*time.Millisecond)
	require.Equal(t, []cause.Cause{cause.ServerTimeout, cause.ServerTimeout}, tried(x), x.Attempts())
	require.Zero(t, three.requests.Load())
}

// streaming is a PUT whose body comes in pieces after its head. Each piece is sent when it is told so.
func streaming(t *testing.T, size int) (*Request, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	far, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	near, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	x := asking(t)
	x.Out = []byte("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	x.Head, x.Method, x.Chunked = len(x.Out), []byte("PUT"), true
	x.Client = client{socket.New(near)}
	x.Body.Start(x.Client.Conn(), exchange.NewPools().Body(), exchange.Incoming{Framing: http1.BodyLength, Length: int64(size), Silence: patience})
	return x, far.(*net.TCPConn)
}

// A body that was sent is sent again whole, when all of it was kept, and never in part.
func TestABodyIsReplayedWholeOrNotAtAll(t *testing.T) {
	f := func(name string, size int, retried bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var got atomic.Value
			bad := script(t, resetting)
			good := script(t, func(c *net.TCPConn, body string) bool { got.Store(body); return answering("200 OK")(c, body) })
			b := failing(t, func(cfg *config.Backend) { cfg.Retry.Buffer = 4 << 10 }, bad.Server, good.Server)
			x, far := streaming(t, size)
			sent := make([]byte, size)
			for i := range sent {
				sent[i] = 'a' + byte(i%23)
			}
			var sending sync.WaitGroup
			sending.Go(func() {
				for i := 0; i < size; i += 1000 {
					_, _ = far.Write(sent[i:min(i+1000, size)])
					time.Sleep(time.Millisecond) // so that they come apart
				}
			})
			err := b.Do(x)
			sending.Wait()
			if !retried {
				require.Equal(t, cause.ServerClosed, causeOf(t, err))
				require.Zero(t, good.requests.Load())
				return
			}
			require.NoError(t, err)
			require.Equal(t, string(sent), got.Load())
			x.Finish()
		})
	}
	f("one piece", 900, true)
	f("three pieces", 3000, true)
	f("more than is kept", 8000, false)
}

// A server that fails while the client still sends: the next one gets what was sent before, and the rest as it comes.
func TestABodyIsReplayedWhileItComes(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(c)
		request, err := http.ReadRequest(r)
		if err == nil {
			_, _ = io.ReadFull(request.Body, make([]byte, 500))
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}()
	var got atomic.Value
	good := script(t, func(c *net.TCPConn, body string) bool { got.Store(body); return answering("200 OK")(c, body) })
	b := failing(t, nil, config.Server{Address: address(t, ln.Addr().String()), Weight: 1}, good.Server)
	x, far := streaming(t, 1500)
	var sending sync.WaitGroup
	body := make([]byte, 1500)
	for i := range body {
		body[i] = 'a' + byte(i%23)
	}
	sending.Go(func() {
		_, _ = far.Write(body[:500])
		for start := time.Now(); good.requests.Load() == 0 && time.Since(start) < patience; {
			time.Sleep(time.Millisecond) // until it has the head, and what was sent before
		}
		_, _ = far.Write(body[500:])
	})
	err = b.Do(x)
	sending.Wait()
	require.NoError(t, err)
	require.Equal(t, string(body), got.Load())
	x.Finish()
}
