package exchange

import (
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"l7/config"
	"l7/http1"
	"l7/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test that goes wrong.
const patience = 10 * time.Second

// recorder is a connection that keeps each write apart.
type recorder struct {
	net.Conn
	mu     sync.Mutex
	writes []string
	fail   error
	closed bool
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return 0, r.fail
	}
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

func (r *recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

func (r *recorder) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func (*recorder) SetReadDeadline(time.Time) error  { return nil }
func (*recorder) SetWriteDeadline(time.Time) error { return nil }

// pieces is a receiver of given pieces, and of an error at their end.
type pieces struct {
	list []string
	err  error
}

func (p *pieces) Receive(pool *socket.Pool, _ time.Duration) (*socket.Buffer, int, error) {
	if len(p.list) == 0 {
		return nil, 0, p.err
	}
	b := pool.Get()
	n := copy(b.Bytes(), p.list[0])
	p.list = p.list[1:]
	return b, n, nil
}

// testClient is a client on a real connection. The other end is in hand.
type testClient struct {
	sock    *socket.Conn
	far     *net.TCPConn
	interim func(r *http1.Response) error
	watched func() // called when it is about to be watched, and in other cases; nil: nobody is told
}

func (c *testClient) Conn() *socket.Conn {
	if c.watched != nil {
		c.watched()
	}
	return c.sock
}

func (c *testClient) Ends() (source, target net.Addr) { return c.sock.RemoteAddr(), c.sock.LocalAddr() }

func (c *testClient) Interim(r *http1.Response) error {
	if c.interim == nil {
		return nil
	}
	return c.interim(r)
}

func newClient(t *testing.T) *testClient {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	far, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	near, err := ln.Accept()
	require.NoError(t, err)
	_ = far.SetDeadline(time.Now().Add(patience))
	c := &testClient{sock: socket.New(near), far: far.(*net.TCPConn)}
	t.Cleanup(func() { _ = c.sock.Close(); _ = far.Close() })
	return c
}

// serve runs a scripted server and returns it as the exchange package sees it.
func serve(t *testing.T, script func(c *net.TCPConn)) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var scripts sync.WaitGroup
	scripts.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			scripts.Go(func() {
				defer c.Close()
				script(c.(*net.TCPConn))
			})
		}
	})
	var addr config.Address
	require.NoError(t, addr.UnmarshalText([]byte(ln.Addr().String())))
	s := NewServer(addr, Transport{}, NewPools(), time.Minute)
	t.Cleanup(func() {
		require.Zero(t, s.PendingRequests())
		s.Close()
		_ = ln.Close()
		scripts.Wait()
	})
	return s
}

// request makes x ask for something with a body of which nothing has arrived yet.
func request(x *Exchange, c *testClient, head string, body Incoming) *Exchange {
	x.Reset()
	x.Body = &Source{}
	x.Body.Start(c.sock, socket.NewPool(bodySize), body)
	x.Out, x.Head, x.Method, x.Client = []byte(head), len(head), []byte("GET"), c
	x.Chunked = body.Framing == http1.BodyChunked
	x.Timeouts = Timeouts{Connect: patience, Write: patience, ResponseHeader: patience, Response: patience, Tunnel: patience}
	x.Repeatable = true
	return x
}

const (
	getHead = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	okHead  = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
)

func readN(c net.Conn, n int) string {
	b := make([]byte, n)
	m, _ := io.ReadFull(c, b)
	return string(b[:m])
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for start := time.Now(); !f(); time.Sleep(time.Millisecond) {
		require.Less(t, time.Since(start), patience, "waiting for %s", what)
	}
}

var errTimeout = os.ErrDeadlineExceeded
