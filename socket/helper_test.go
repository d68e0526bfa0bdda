package socket

import (
	"io"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// long is a limit that no test runs into unless something is lost.
const long = 20 * time.Second

// plain hides everything but net.Conn, as TLS does: what is under it cannot be used directly.
type plain struct{ net.Conn }

// kinds are the connections that each test of what all have in common runs over.
func kinds(t *testing.T, f func(t *testing.T, c *Conn, peer net.Conn)) {
	t.Helper()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			near, far := dial(t, network)
			f(t, New(near), far)
		})
	}
	t.Run("plain", func(t *testing.T) {
		near, far := dial(t, "tcp")
		f(t, New(plain{near}), far)
	})
}

// sockets are those of kinds that can be looked at.
func sockets(t *testing.T, f func(t *testing.T, c *Conn, peer net.Conn)) {
	t.Helper()
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		if c.CanAwait() {
			f(t, c, peer)
		}
	})
}

func pair(t testing.TB) (*Conn, *net.TCPConn) {
	t.Helper()
	near, far := dial(t, "tcp")
	return New(near), far.(*net.TCPConn)
}

// dial returns both ends of a real connection, closed when the test ends.
func dial(t testing.TB, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	must(t, err)
	defer l.Close()
	near, err = net.Dial(l.Addr().Network(), l.Addr().String())
	must(t, err)
	far, err = l.Accept()
	must(t, err)
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send writes at the peer; what it wrote is on its way when send returns.
func send(t testing.TB, peer io.Writer, text string) {
	t.Helper()
	_, err := io.WriteString(peer, text)
	must(t, err)
}

// expect reads len(want) bytes at the peer.
func expect(t testing.TB, peer io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(peer, got)
	if err != nil || string(got) != want {
		t.Fatalf("the peer got %q, %v; want %q", got[:n], err, want)
	}
}

func read(t testing.TB, c *Conn, want string) {
	t.Helper()
	p := make([]byte, 64)
	n, err := c.Read(p, long)
	if err != nil || string(p[:n]) != want {
		t.Fatalf("read %q, %v; want %q", p[:n], err, want)
	}
}

func timedOut(t testing.TB, err error) {
	t.Helper()
	if !IsTimeout(err) {
		t.Fatalf("got the error %v, want a timeout", err)
	}
}

// reset ends a connection with RST.
func reset(t testing.TB, peer net.Conn) {
	t.Helper()
	must(t, peer.(*net.TCPConn).SetLinger(0))
	must(t, peer.Close())
}

// halfClose sends the end and goes on reading.
func halfClose(t testing.TB, peer net.Conn) {
	t.Helper()
	must(t, peer.(interface{ CloseWrite() error }).CloseWrite())
}

// arrived waits until c has something to read; for a connection that cannot be looked at, the one underneath is.
func arrived(t testing.TB, c *Conn) {
	t.Helper()
	if w, ok := c.nc.(plain); ok {
		c = New(w.Conn)
		defer c.readBy.disarm()
	}
	must(t, c.Await(long))
}

// parking tells when a read of c is about to wait, having found nothing.
func parking(c *Conn) <-chan struct{} {
	p := &parked{RawConn: c.base, parks: make(chan struct{}, 1)}
	if c.base = p; c.raw != nil {
		c.raw = p
	}
	return p.parks
}

type parked struct {
	syscall.RawConn
	parks chan struct{}
}

func (p *parked) Read(f func(fd uintptr) bool) error {
	return p.RawConn.Read(func(fd uintptr) bool {
		if f(fd) {
			return true
		}
		select {
		case p.parks <- struct{}{}:
		default:
		}
		return false
	})
}

// background runs f and returns what waits for its end.
func background(f func()) (wait func()) {
	var wg sync.WaitGroup
	wg.Go(f)
	return wg.Wait
}
