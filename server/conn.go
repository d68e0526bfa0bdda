package server

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"l7/socket"
)

// warmWait is how long a connection's goroutine waits for a further request before it lets go of everything but the
// connection itself. An idle one then costs a small goroutine.
const warmWait = time.Second

// drainGrace is how long an idle connection is still listened to once it is to end: a request that was
// already on its way is answered, with Connection: close.
const drainGrace = time.Second

// preface is what fasthttp reads as a request each time it takes a connection on. The real requests are read by
// the handler that it then calls, which serves the connection until it closes or falls idle; see docs/decisions.
const preface = "GET / HTTP/1.1\r\nHost: l7\r\n\r\n"

// conn is a client's connection: towards fasthttp a net.Conn that says its preface, for us the socket.
type conn struct {
	sock     *socket.Conn
	listener *listener
	peer     peer
	port     string             // that the client has reached; empty on a unix socket
	entered  bool               // it has passed what stands before its first request
	secure   bool               // it speaks TLS
	counted  netip.Addr         // whose connection it counts as; not valid: nobody's
	proxied  *proxyproto.Header // what came with the connection; nil: it is the client's own

	certificate string // what servers are told of the client's; empty: it has shown none

	small     []byte        // see first; nil for a plain connection
	announced int           // how much of the preface was read
	idleSince time.Duration // since the server's start; when the last response was finished
	parked    bool          // idle, with nobody serving it

	mu      sync.Mutex // guards all below
	waiting bool       // for the first byte of a request, or of what stands before the first one
	ending  bool       // no further request is waited for, but within the grace
	closed  bool
}

func newConn(nc net.Conn, l *listener) *conn {
	c := &conn{sock: socket.New(nc), listener: l, peer: newPeer(nc.RemoteAddr()), port: l.port}
	c.idleSince = l.server.now()
	return c
}

// Read gives fasthttp the preface.
func (c *conn) Read(p []byte) (int, error) {
	if c.announced == len(preface) {
		return 0, io.EOF
	}
	n := copy(p, preface[c.announced:])
	c.announced += n
	return n, nil
}

// Write drops what fasthttp answers to the preface.
func (c *conn) Write(p []byte) (int, error) { return len(p), nil }

// Close ends the connection; but one that has fallen idle is parked.
func (c *conn) Close() error {
	if c.parked {
		c.parked = false
		go c.wait()
		c.listener.server.tidier.park()
		return nil
	}
	return c.close()
}

func (c *conn) close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	sock := c.sock
	c.mu.Unlock()
	if !first {
		return nil
	}
	c.listener.server.conns.remove(c)
	return sock.Close()
}

// cut ends the connection from outside, whatever is under way.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.sock.Close() // there is nobody to tell
}

// receive waits for the first bytes of a request. When it is false the connection has ended, or is to be parked.
func (c *conn) receive() (*socket.Buffer, int, bool) {
	pool := c.listener.server.pools.Head()
	limit := c.idleLimit()
	if c.sock.CanAwait() && (limit == 0 || limit > warmWait) {
		limit = warmWait
	}
	last := !c.enterWait()
	if last {
		limit = drainGrace
	}
	b, n, err := c.first(pool, limit)
	ending := c.leaveWait()
	if ending && !last && socket.IsTimeout(err) { // interrupted
		b, n, err = c.first(pool, drainGrace)
	}
	c.parked = !ending && limit == warmWait && socket.IsTimeout(err)
	return b, n, err == nil
}

// smallRead is what a connection that cannot be awaited (TLS) waits with: it may be idle for long, and would hold a whole buffer all the
// while.
const smallRead = 2 << 10

// first receives the first bytes of a request.
func (c *conn) first(pool *socket.Pool, limit time.Duration) (*socket.Buffer, int, error) {
	if c.sock.CanAwait() {
		return c.sock.Receive(pool, limit)
	}
	if c.small == nil {
		c.small = make([]byte, smallRead)
	}
	n, err := c.sock.Read(c.small, limit)
	if err != nil {
		return nil, 0, err
	}
	b := pool.Get()
	return b, copy(b.Bytes(), c.small[:n]), nil
}

// wait is all that runs for an idle connection. When something arrives the connection goes through fasthttp anew.
func (c *conn) wait() {
	if c.awaitRequest(c.idleLimit()) {
		c.announced = 0
		_ = c.listener.server.http.ServeConn(c) // it closes the connection, whatever the error
		return
	}
	_ = c.close() // there is nobody to tell
}

// idleLimit is how much longer the connection may wait for a request; zero means for ever.
func (c *conn) idleLimit() time.Duration {
	s := c.listener.server
	limit := s.Snapshot().timeouts.Idle
	if limit <= 0 {
		return 0
	}
	return max(limit-(s.now()-c.idleSince), time.Millisecond)
}

// awaitRequest waits until there is something to read; false is the end of the connection.
func (c *conn) awaitRequest(limit time.Duration) bool {
	last := !c.enterWait()
	if last {
		limit = drainGrace
	}
	err := c.sock.Await(limit)
	if ending := c.leaveWait(); ending && !last && socket.IsTimeout(err) { // interrupted
		err = c.sock.Await(drainGrace)
	}
	return err == nil
}

// enterWait is false when the connection is ending.
func (c *conn) enterWait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = true
	return !c.ending
}

// leaveWait is true when the connection is ending.
func (c *conn) leaveWait() bool {
	c.mu.Lock()
	c.waiting = false
	ending := c.ending
	c.mu.Unlock()
	if ending {
		c.sock.Resume() // the wait may have been interrupted
	}
	return ending
}

// end has the connection close once it has answered what is on its way.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting && !c.ending { // or else it waits for its last request already
		c.sock.Interrupt()
	}
	c.ending = true
}

// isEnding is true when the response that is being made is the last one.
func (c *conn) isEnding() bool { return c.listener.closing.Load() }

// What fasthttp asks of a net.Conn beside. It sets no deadlines, since its timeouts are not used.

// LocalAddr is the listener's side.
func (c *conn) LocalAddr() net.Addr { return c.sock.LocalAddr() }

// RemoteAddr is the client's side.
func (c *conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }

// SetDeadline does nothing.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
