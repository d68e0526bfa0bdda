package exchange

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"l7/cause"
	"l7/config"
	"l7/socket"
)

// Server is one server address: its connections and its requests in flight. It outlives reloads.
// All methods may be called at the same time from several goroutines.
type Server struct {
	addr     config.Address
	tls      *tls.Config // nil: plain
	announce byte        // see Transport
	pools    *Pools
	idle     idleConns
	open     openConns
	inFlight atomic.Int64
}

// Pools are the buffers that all exchanges of a process share.
type Pools struct {
	head  *socket.Pool // takes a usual head with a small body
	body  *socket.Pool // what bodies are copied through
	large *socket.Pool // what bodies are copied through that fill the others
}

// NewPools returns empty pools.
func NewPools() *Pools {
	return &Pools{head: socket.NewPool(headSize), body: socket.NewPool(bodySize), large: socket.NewPool(largeSize)}
}

// The sizes. One copy through a large buffer costs half of what the same bytes cost in pieces of 64 KiB, because each call
// wakes the other side (docs/performance.md); a slow body never fills one, and is not given any.
const (
	headSize  = 66 << 10 // a head with a body of 64 KiB in one read
	bodySize  = 72 << 10 // more than a head's, so that what comes with a head can be framed in one
	largeSize = 256 << 10
)

// Head hands out buffers that take a usual head with a small body in one read.
func (p *Pools) Head() *socket.Pool { return p.head }

// Body hands out buffers that bodies are copied through.
func (p *Pools) Body() *socket.Pool { return p.body }

// NewServer returns the Server of an address. It connects on the first request; connections that are not used for
// longer than idle are closed.
func NewServer(addr config.Address, via Transport, pools *Pools, idle time.Duration) *Server {
	s := &Server{addr: addr, announce: via.Announce, pools: pools}
	if addr.Scheme == "https" {
		s.tls = via.TLS(addr.Host)
	}
	s.idle.keep(idle)
	return s
}

// Address is where the server is reached.
func (s *Server) Address() config.Address { return s.addr }

// KeepIdle changes how long an unused connection is kept.
func (s *Server) KeepIdle(d time.Duration) { s.idle.keep(d) }

// Idle is the number of connections that wait for a request.
func (s *Server) Idle() int { return s.idle.len() }

// Connections is the number of open connections, those in use and those that wait for a request.
func (s *Server) Connections() int { return s.open.len() }

// Opened is the number of connections that were ever opened. What attempts are more than that found one waiting.
func (s *Server) Opened() uint64 { return s.open.total() }

// Interrupt ends what is under way, tunnels included, as if the server had gone away.
func (s *Server) Interrupt() { s.open.interrupt() }

// Close closes the connections that are not in use, and those in use as soon as their exchange ends.
func (s *Server) Close() { s.idle.close() }

// Reopen takes Close back.
func (s *Server) Reopen() { s.idle.reopen() }

// PendingRequests is the number of requests in flight, until the last byte of their response has been passed on.
func (s *Server) PendingRequests() int { return int(s.inFlight.Load()) }

// Do sends the request and reads the response's head. The error is a *cause.Error; after it nothing is left to finish.
func (s *Server) Do(x *Exchange) error {
	s.inFlight.Add(1)
	x.server, x.busy = s, true
	x.whole = x.Body.Done() && !x.spilled
	x.heard, x.Continues, x.cutShort, x.tunneled = false, false, false, false
	x.Connecting = 0
	err := s.attempt(x)
	if err != nil {
		x.busy = false
		s.inFlight.Add(-1)
	}
	return err
}

// attempt goes through the kept connections until one is alive, and dials when there is none left. A request
// that a kept connection took and then closed without a word is sent on a fresh one, if that is safe.
func (s *Server) attempt(x *Exchange) error {
	var lost *cause.Error // of a kept connection that took the request; without a fresh one it is what has become of the request
	for kept := true; ; {
		var c *serverConn
		if kept {
			c = s.idle.take()
		}
		kept = c != nil
		if c == nil {
			fresh, failure := s.connect(x)
			switch {
			case failure != nil && failure.Cause == cause.Full && lost != nil:
				return lost
			case failure != nil:
				failure.Unsent = !x.wrote // on a connection before
				return failure
			}
			c = fresh
		}
		x.conn = c
		before := x.wrote // to another server
		x.wrote = false
		err := x.roundTrip()
		sent := x.wrote
		x.wrote = sent || before
		if err == nil {
			return nil
		}
		again := kept && x.untouched(err)
		kept = again && !sent // the other kept ones may be alive; after a write only a fresh one will do
		failure := x.failed(err)
		x.abandon()
		if !again {
			return failure
		}
		if sent {
			lost = failure
		}
	}
}

// connect opens a connection, if there may be one more. It never waits for that: when the most are open it says so.
func (s *Server) connect(x *Exchange) (*serverConn, *cause.Error) {
	if !s.makeRoom(x.Caps.Connections) {
		return nil, &cause.Error{Cause: cause.Full, Err: fmt.Errorf("%s: max_connections (%d) are open", s.addr, x.Caps.Connections)}
	}
	started := time.Now()
	nc, err := s.dial(x.Client, x.Timeouts.Connect)
	x.Connecting += time.Since(started)
	if err != nil {
		s.open.cancel()
		return nil, failedConnect(s.addr, err)
	}
	c := &serverConn{Conn: socket.New(nc), open: &s.open}
	s.open.add(c)
	return c, nil
}

// makeRoom reserves a connection. An idle one makes room for it: whoever wants a fresh one cannot use it.
func (s *Server) makeRoom(most int) bool {
	for !s.open.reserve(most) {
		c := s.idle.take()
		if c == nil {
			return false
		}
		_ = c.Close() // nobody waits for it
	}
	return true
}

// release is done with a connection that nothing more will come on.
func (s *Server) release(x *Exchange) {
	switch {
	case s.announce > 0 && !x.upload.begun && len(x.Out) == x.Head: // it is this client's alone, and the server has answered all there was
		_ = x.conn.Reset()
	case s.announce > 0 || !s.idle.put(x.conn, x.Caps.Idle):
		_ = x.conn.Close() // nobody waits for it
	}
}
