package health

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/config"
)

// patience bounds every wait of a test that goes wrong.
const patience = 10 * time.Second

// quick is a check as it is by default, as often as can be.
func quick() config.Health {
	h := config.DefaultBackend().Health
	h.Path, h.Interval, h.Timeout = "/healthz", time.Millisecond, patience
	return h
}

// verdicts is a Reporter that hands on what it is told.
type verdicts struct{ told chan Verdict }

func newVerdicts() *verdicts { return &verdicts{make(chan Verdict, 1000)} }

func (v *verdicts) Report(verdict Verdict) { v.told <- verdict }
func (*verdicts) Checked(Result)           {}

// receive waits for one of a channel.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case one := <-c:
		return one
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("BUG: unreachable")
	}
}

// peer runs a real HTTP server for as long as the test.
func peer(t *testing.T, h http.HandlerFunc) (address string, dial Dial) {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return dialing("tcp", srv.Listener.Addr().String())
}

func dialing(network, address string) (string, Dial) {
	return address, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// Each case is the statuses of the checks one after the other, and after which of them what is told.
func TestChecksFlip(t *testing.T) {
	f := func(rise, fall int, statuses []int, want ...string) {
		t.Helper()
		var asked atomic.Int64
		over := make(chan struct{})
		address, dial := peer(t, func(w http.ResponseWriter, _ *http.Request) {
			n := int(asked.Add(1))
			if n == len(statuses)+2 { // more of the last one flip nothing
				close(over)
			}
			w.WriteHeader(statuses[min(n, len(statuses))-1])
		})
		settings := quick()
		settings.Rise, settings.Fall = rise, fall
		told := make(chan string, 1000)
		stop := NewChecks().Start(Key{Address: address, Check: settings}, dial, reporter(func(v Verdict) {
			told <- fmt.Sprintf("%d: %t %s", asked.Load(), v.Healthy, v.Reason)
		}))
		for _, w := range want {
			require.Equal(t, w, receive(t, told))
		}
		receive(t, over)
		stop()
		require.Empty(t, told)
	}
	f(2, 3, []int{200}, "1: true ")
	f(9, 9, []int{503, 503}, "1: false status 503, want 200-399")
	f(2, 3, []int{200, 500, 500, 302, 500, 500, 500, 204, 500, 204, 204, 204}, "1: true ", "7: false status 500, want 200-399", "11: true ")
	f(1, 1, []int{500, 200, 404, 200}, "1: false status 500, want 200-399", "2: true ", "3: false status 404, want 200-399", "4: true ")
}

// reporter makes a Reporter of a function.
type reporter func(Verdict)

func (r reporter) Report(v Verdict) { r(v) }
func (reporter) Checked(Result)     {}

// verdictOf makes one check.
func verdictOf(t *testing.T, address string, dial Dial, settings config.Health) Verdict {
	t.Helper()
	v := newVerdicts()
	stop := NewChecks().Start(Key{Address: address, Check: settings}, dial, v)
	defer stop()
	return receive(t, v.told)
}

// What is sent is a plain request that ends its connection, and follows no redirect.
func TestChecksRequest(t *testing.T) {
	requests := make(chan *http.Request, 1000)
	address, dial := peer(t, func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	f := func(edit func(h *config.Health), address, method, uri, host string) {
		t.Helper()
		settings := quick()
		settings.Interval = time.Hour
		edit(&settings)
		require.Equal(t, Verdict{Healthy: true}, verdictOf(t, address, dial, settings))
		r := receive(t, requests)
		require.Equal(t, []string{method, uri, host}, []string{r.Method, r.RequestURI, r.Host})
		require.Equal(t, http.Header{"User-Agent": {"l7-health"}, "Connection": {"close"}}, r.Header)
		require.True(t, r.Close)
		require.Empty(t, requests)
	}
	f(func(*config.Health) {}, address, "GET", "/healthz", address)
	f(func(*config.Health) {}, "http://"+address, "GET", "/healthz", address)
	f(func(*config.Health) {}, "[::1]:8080", "GET", "/healthz", "[::1]:8080")
	f(func(*config.Health) {}, "[fe80::1%eth0]:8080", "GET", "/healthz", "[fe80::1]:8080") // a zone means nothing to others (RFC 6874 section 1)
	f(func(*config.Health) {}, "unix:/run/app.sock", "GET", "/healthz", "localhost")
	f(func(h *config.Health) { h.Host = "example.com" }, address, "GET", "/healthz", "example.com")
	f(func(h *config.Health) { h.Method, h.Path = "HEAD", "/a%2fb?full=1&x" }, address, "HEAD", "/a%2fb?full=1&x", address)
}

func TestChecksOverUnixSocket(t *testing.T) {
	path := t.TempDir() + "/app.sock"
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.NotFoundHandler()}}
	srv.Start()
	defer srv.Close()
	_, dial := dialing("unix", path)
	settings := quick()
	settings.Status = config.StatusRange{First: 404, Last: 404}
	require.Equal(t, Verdict{Healthy: true}, verdictOf(t, "unix:"+path, dial, settings))
	settings.Status.Last = 403
	require.False(t, verdictOf(t, "unix:"+path, dial, settings).Healthy)
}

func TestChecksBody(t *testing.T) {
	var body atomic.Pointer[string]
	address, dial := peer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(*body.Load())) })
	f := func(text, pattern, reason string) {
		t.Helper()
		body.Store(&text)
		settings := quick()
		settings.Body = pattern
		require.Equal(t, Verdict{reason == "", reason}, verdictOf(t, address, dial, settings))
	}
	f("ok\n", "^ok", "")
	f("ok", "", "")
	f("all ok", "^ok", "body does not match")
	f("", "^ok", "body does not match")
	f("", "^$", "")
	f(strings.Repeat("x", longestBody-2)+"ok", "ok", "")
	f(strings.Repeat("x", longestBody-1)+"ok", "ok", "body does not match") // what comes later is not looked at
	f("ok", "(", "cannot match body: error parsing regexp: missing closing ): `(`")
}

func TestChecksPath(t *testing.T) {
	address, dial := peer(t, func(http.ResponseWriter, *http.Request) {})
	settings := quick()
	settings.Path = "healthz"
	require.Equal(t, Verdict{Reason: `cannot ask for path "healthz"`}, verdictOf(t, address, dial, settings))
}

// scripted is a raw peer: it reads some of a request, says its piece, and closes.
func scripted(t *testing.T, piece string) (string, Dial) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4<<10))
			_, _ = conn.Write([]byte(piece))
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return dialing("tcp", ln.Addr().String())
}

func TestChecksOddResponses(t *testing.T) {
	f := func(piece, want string) {
		t.Helper()
		address, dial := scripted(t, piece)
		settings := quick()
		settings.Body = "."
		v := verdictOf(t, address, dial, settings)
		require.False(t, v.Healthy)
		require.Contains(t, v.Reason, want)
		require.LessOrEqual(t, len(v.Reason), longestReason)
	}
	f("", "connection closed without a response")
	f("nonsense\r\n\r\n", `malformed HTTP response "nonsense"`)
	f(strings.Repeat("\x01ä", 2000)+"\r\n\r\n", "malformed HTTP response")
	f("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "body: unexpected EOF")
	f("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", longestHeader), "exceeded 65536 bytes")
}

func TestChecksNoConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address, dial := dialing("tcp", ln.Addr().String())
	require.NoError(t, ln.Close())
	require.Equal(t, Verdict{Reason: "connect: connection refused"}, verdictOf(t, address, dial, quick()))

	settings := quick()
	settings.Timeout = 20 * time.Millisecond
	hangs := func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	require.Equal(t, Verdict{Reason: "no connection within 20ms"}, verdictOf(t, address, hangs, settings))
}

// hanging is a server that answers nothing until the client goes.
func hanging(t *testing.T) (address string, dial Dial, came chan struct{}) {
	came = make(chan struct{}, 1000)
	address, dial = peer(t, func(_ http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		<-r.Context().Done()
	})
	return address, dial, came
}

// A server that hangs has one check to answer, however much longer it takes than the interval.
func TestChecksDoNotPileUp(t *testing.T) {
	address, dial, came := hanging(t)
	var open, most atomic.Int64
	counted := func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		most.Store(max(most.Load(), open.Add(1)))
		return &countedConn{Conn: conn, open: &open}, nil
	}
	settings := quick()
	settings.Timeout = 30 * time.Millisecond
	v := newVerdicts()
	stop := NewChecks().Start(Key{Address: address, Check: settings}, counted, v)
	require.Contains(t, receive(t, v.told).Reason, "within 30ms") // a busy machine may not even have connected
	for range 4 {
		receive(t, came)
	}
	stop()
	require.EqualValues(t, 1, most.Load())
	require.Empty(t, v.told)
}

type countedConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// Whoever stops waits for no check, and the server is rid of it at once.
func TestChecksStopEndsAHangingCheck(t *testing.T) {
	gone := make(chan struct{})
	came := make(chan struct{})
	address, dial := peer(t, func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
		close(gone)
	})
	v := newVerdicts()
	c := NewChecks()
	stop := c.Start(Key{Address: address, Check: quick()}, dial, v)
	receive(t, came)
	stop()
	require.Zero(t, c.Len())
	receive(t, gone)
	require.Empty(t, v.told)
	stop() // again does nothing
	require.Zero(t, c.Len())
}
