package server

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/config"
)

// dialFrom connects to the proxy from an address of this machine.
func (p *proxy) dialFrom(ip string) *peerConn {
	p.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := dialer.Dial("tcp", p.addr)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = c.Close() })
	return newPeerConn(p.t, c)
}

// requireServed checks that a connection from there is served; it stays open.
func (p *proxy) requireServed(ip string) *peerConn {
	p.t.Helper()
	c := p.dialFrom(ip)
	c.send(good)
	require.Equal(p.t, 200, c.readReply("GET").StatusCode)
	return c
}

// untilServed waits until a connection that was closed does not count any more.
func (p *proxy) untilServed(ip string) *peerConn {
	p.t.Helper()
	var c *peerConn
	until(p.t, func() bool {
		c = p.dialFrom(ip)
		c.send(good)
		r := c.readReply("GET")
		return r.err == nil && r.StatusCode == 200
	}, "no connection becomes free")
	return c
}

// TestConnectionLimit has one connection more than limits.connections: it is answered 503 and closed, busy and idle ones count
// alike, and one that ends makes room.
func TestConnectionLimit(t *testing.T) {
	p := inFront(t, answering(t, plainOK), "limits: {connections: 3}")
	first := p.requireServed("127.0.0.1")
	p.requireServed("127.0.0.2")
	p.dialFrom("127.0.0.3") // says nothing, and counts all the same
	f := func(ip string) {
		t.Helper()
		c := p.dialFrom(ip)
		r := c.readReply("GET")
		require.NoError(t, r.err)
		require.Equal(t, 503, r.StatusCode)
		require.Equal(t, "1", r.Header.Get("Retry-After"))
		require.Contains(t, r.Header.Get("Proxy-Status"), "too_many_connections")
		require.True(t, r.Close)
		require.Empty(t, c.tail())
	}
	f("127.0.0.1")
	f("127.0.0.9")
	p.logged(caused("too_many_connections"), `"status":503`)
	_ = first.Close()
	p.untilServed("127.0.0.9")
	f("127.0.0.1")
}

// TestConnectionLimitPerClient has one connection more than limits.connections_per_client from one address: 429 (RFC 6585
// section 4), while other addresses are served.
func TestConnectionLimitPerClient(t *testing.T) {
	p := inFront(t, answering(t, plainOK), "limits: {connections_per_client: 2}")
	first := p.requireServed("127.0.0.1")
	p.requireServed("127.0.0.1")
	f := func(ip string) {
		t.Helper()
		c := p.dialFrom(ip)
		r := c.readReply("GET")
		require.NoError(t, r.err)
		require.Equal(t, 429, r.StatusCode)
		require.Contains(t, r.Header.Get("Proxy-Status"), "client_connections")
		require.Empty(t, c.tail())
	}
	f("127.0.0.1")
	f("127.0.0.1")
	p.logged(caused("client_connections"), `"status":429`)
	p.requireServed("127.0.0.2")
	p.requireServed("127.0.0.2")
	f("127.0.0.2")
	first.abort()
	p.untilServed("127.0.0.1")
	f("127.0.0.1")
}

// TestConnectionLimitUnderLoad opens and closes connections at the limit from many goroutines: the count is right in the end.
func TestConnectionLimitUnderLoad(t *testing.T) {
	p := inFront(t, answering(t, plainOK), "limits: {connections: 5, connections_per_client: 3}")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%2))}}
			for n := range 100 {
				nc, err := dialer.Dial("tcp", p.addr)
				if err != nil {
					t.Error(err)
					return
				}
				c := newPeerConn(t, nc)
				c.send(good)
				c.readReply("GET")
				if n%2 == 0 {
					c.abort()
				}
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	until(t, func() bool { return p.conns.each(all, func(*conn) {}) == 0 }, "connections are still counted")
	p.conns.mu.Lock()
	require.Empty(t, p.conns.byClient)
	p.conns.mu.Unlock()
	p.requireServed("127.0.0.1")
	p.requireServed("127.0.0.1")
	p.requireServed("127.0.0.1")
}

// flaky is a listener that fails a number of times for want of descriptors before it accepts.
type flaky struct {
	net.Listener
	mu   sync.Mutex // guards all below
	left []error
	when []time.Time
}

func (l *flaky) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.when = append(l.when, time.Now())
	if len(l.left) == 0 {
		l.mu.Unlock()
		defer l.mu.Lock()
		return l.Listener.Accept()
	}
	err := l.left[0]
	l.left = l.left[1:]
	return nil, err
}

// TestAcceptOutlivesErrors has accept fail for want of descriptors and memory, and for a client that was gone already. The
// listener waits longer each time, says so, and then goes on.
func TestAcceptOutlivesErrors(t *testing.T) {
	p := inFront(t, answering(t, plainOK))
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	faults := []error{
		&net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.ENFILE},
		&net.OpError{Op: "accept", Net: "tcp", Err: syscall.ENOBUFS}, syscall.ECONNABORTED, errors.New("something new"),
	}
	fake := &flaky{Listener: socket, left: append([]error(nil), faults...)}
	address := config.ListenAddress{Network: "tcp", Addr: "flaky"}
	l := newListener()
	l.Listener, l.server, l.address = fake, p.Server, address
	p.listeners[address] = l
	p.serve(l)
	c, err := net.Dial("tcp", socket.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	client := newPeerConn(t, c)
	client.send(good)
	require.Equal(t, 200, client.readReply("GET").StatusCode)
	p.logged("cannot accept a connection", "too many open files")
	p.logged("cannot accept a connection", "something new")
	fake.mu.Lock()
	defer fake.mu.Unlock()
	for i := range faults {
		require.GreaterOrEqual(t, fake.when[i+1].Sub(fake.when[i]), 5*time.Millisecond<<i)
	}
	require.Equal(t, 200, p.get("/").StatusCode) // the other listener knew nothing of it
}
