package server

import (
	"errors"
	"flag"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"l7/exchange"
)

// TestMain fails when a goroutine outlives the tests: one that waits on a connection nobody closes, for example. Parallel tests here
// wait rather than compute, so that more of them fit than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" {
		_ = flag.Set("test.parallel", "8")
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"), // sleeps up to 10 s after its pool was stopped
	)
}

// origin is a scripted server that counts its connections. Those that a script leaves are closed.
type origin struct {
	net.Addr
	accepted atomic.Int64
	open     atomic.Int64
}

func newOrigin(t *testing.T, script func(c *peerConn)) *origin {
	t.Helper()
	o := &origin{}
	o.Addr = scripted(t, func(c *peerConn) {
		o.accepted.Add(1)
		o.open.Add(1)
		defer o.open.Add(-1)
		script(c)
	})
	return o
}

// replying is an origin that answers every request without a body with the same bytes.
func replying(t *testing.T, response string) *origin {
	t.Helper()
	return newOrigin(t, func(c *peerConn) {
		for c.readHead() != "" {
			c.send(response)
		}
	})
}

// eventually waits for something that comes about without a message to the test.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for start := time.Now(); !f(); time.Sleep(time.Millisecond) {
		require.Less(t, time.Since(start), patience, "waiting for %s", what)
	}
}

// servers are all servers of the snapshot in force.
func (p *proxy) servers() (all []*exchange.Server) {
	for _, b := range p.Snapshot().backends {
		for _, m := range b.Members() {
			all = append(all, m.Server.Server)
		}
	}
	return all
}

func (p *proxy) inFlight() (n int) {
	for _, s := range p.servers() {
		n += s.PendingRequests()
	}
	return n
}

func (p *proxy) pooled() (n int) {
	for _, s := range p.servers() {
		n += s.Idle()
	}
	return n
}

// requireQuiet fails a test after which something is still counted: a request in flight, a client's connection.
func requireQuiet(t *testing.T, s *Server) {
	t.Helper()
	p := &proxy{Server: s}
	open := func() int { return s.conns.each(all, func(*conn) {}) }
	for start := time.Now(); p.inFlight() != 0 || open() != 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			t.Errorf("%d requests in flight and %d connections open after the test", p.inFlight(), open())
			return
		}
	}
}

// awaitQuiet waits until no request is in flight, and checks how many connections to servers are kept then.
func (p *proxy) awaitQuiet(pooled int) {
	p.t.Helper()
	eventually(p.t, "no request in flight", func() bool { return p.inFlight() == 0 })
	require.Equal(p.t, pooled, p.pooled(), "connections in the pool")
}

func (p *proxy) awaitCause(word string) {
	p.t.Helper()
	eventually(p.t, "the cause "+word, func() bool { return strings.Contains(p.log.String(), `"cause":"`+word+`"`) })
}

// get sends a request on a connection and returns the response's head.
func (c *peerConn) ask(request string) string {
	c.send(request)
	return c.readHead()
}

// reset closes the connection with a reset.
func (c *peerConn) reset() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// ended is true when the other side has closed the connection, cleanly or not, and sent nothing more.
func (c *peerConn) ended() bool {
	text, err := c.readAll()
	return text == "" && !errors.Is(err, os.ErrDeadlineExceeded)
}

// readChunk reads one chunk and returns its data; "" for the last one, or when the connection ends.
func (c *peerConn) readChunk() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return ""
	}
	size := 0
	for _, digit := range strings.TrimSuffix(line, "\r\n") {
		size = size*16 + strings.IndexRune("0123456789abcdef", digit)
	}
	data := c.readN(size)
	if size > 0 {
		c.readN(2)
	}
	return data
}

// readChunked reads a whole chunked body and the trailer section that follows.
func (c *peerConn) readChunked() (body, trailer string) {
	var b strings.Builder
	for {
		data := c.readChunk()
		if data == "" {
			return b.String(), c.readHead()
		}
		b.WriteString(data)
	}
}

// receive takes what a script has to say, with a bound.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came in time")
		panic("unreachable")
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
