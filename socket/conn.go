// Package socket is a connection whose reads, writes and timeouts cost as little as the system lets them.
//
// It knows nothing of what is read or written. Timeouts are given with each call, as the longest silence
// that is waited for; a plain net.Conn under it (TLS, a test's pipe) works as well and costs more.
package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Conn is one connection. Reading and writing may go on at the same time, each in one goroutine.
type Conn struct {
	nc  net.Conn
	raw syscall.RawConn // nil where the system's own calls cannot be used

	base syscall.RawConn // the socket, also one that is under TLS; nil: there is none to look at

	readBy  deadline
	writeBy deadline

	transfers // in and out; empty where the net package does all

	look   func(fd uintptr) // bound once, for Stale: a closure for each call would be an allocation
	found  presence         // what look saw
	under  *lean            // what TLS is on top of; nil: there is none
	heard  bool             // something was read, where the net package reads
	filled bool             // what was read last filled its memory: there may be more of it on top of the socket
}

// New returns the Conn of an open connection, which belongs to it from now on. An nc that is a syscall.Conn is read
// and written through its descriptor: a wrapper with a Read or Write of its own must not show the one underneath.
func New(nc net.Conn) *Conn {
	c := &Conn{nc: nc}
	c.readBy.set = nc.SetReadDeadline
	c.writeBy.set = nc.SetWriteDeadline
	if c.base, c.under = baseOf(nc); c.base != nil {
		c.look = func(fd uintptr) { c.found = peek(fd) }
	}
	if _, ok := nc.(syscall.Conn); ok {
		c.raw = c.base
	}
	c.transfers.bind(c)
	return c
}

// baseOf finds the socket under what was put on top of it, and the Lean in between; nil: there is none.
func baseOf(nc net.Conn) (base syscall.RawConn, between *lean) {
	for {
		if l, ok := nc.(*lean); ok {
			between = l
		}
		switch under := nc.(type) {
		case syscall.Conn:
			raw, err := under.SyscallConn()
			if err != nil {
				return nil, nil
			}
			return raw, between
		case interface{ NetConn() net.Conn }:
			nc = under.NetConn()
		default:
			return nil, nil
		}
	}
}

// NetConn is the connection underneath. Whoever reads or writes it directly must not use the Conn meanwhile, and
// leaves no deadline on it that the Conn does not know of.
func (c *Conn) NetConn() net.Conn { return c.nc }

// RemoteAddr is the address of the other side.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr is the address of our side.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// Read reads what has arrived, waiting up to limit for the first byte; zero waits for ever.
// The error is io.EOF at the end, and os.ErrDeadlineExceeded when the limit ran out.
func (c *Conn) Read(p []byte, limit time.Duration) (int, error) {
	if len(p) == 0 {
		return 0, nil // the system's answer to an empty read looks like an end
	}
	c.readBy.arm(limit)
	return c.read(p)
}

// Write writes all of p. limit is the longest time without progress; zero waits for ever. It is looked at once in a
// limit to a limit and a quarter, so that a reader who stops is given up after one such time or two.
func (c *Conn) Write(p []byte, limit time.Duration) error {
	return c.write(p, limit)
}

// Close closes the connection; what was written still reaches the other side.
func (c *Conn) Close() error { return c.nc.Close() }

// CloseWrite says that nothing more will be written. Reading goes on.
func (c *Conn) CloseWrite() error {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Reset closes the connection so that the other side sees an error rather than an end, also under TLS, which would say
// goodbye properly. What knows no such thing (a unix socket) is closed.
func (c *Conn) Reset() error {
	for nc := c.nc; ; {
		switch under := nc.(type) {
		case interface{ SetLinger(sec int) error }:
			_ = under.SetLinger(0) // fails on a closed connection only
			return nc.Close()
		case interface{ NetConn() net.Conn }:
			nc = under.NetConn()
		default:
			return c.nc.Close()
		}
	}
}

// Interrupt makes a read that waits, and every further one, fail with os.ErrDeadlineExceeded until Resume.
// It may be called from any goroutine, also when nobody reads.
func (c *Conn) Interrupt() { c.readBy.interrupt() }

// Interrupted is true from Interrupt to Resume.
func (c *Conn) Interrupted() bool { return c.readBy.interrupted() }

// Resume takes an Interrupt back. No other goroutine may be reading.
func (c *Conn) Resume() { c.readBy.resume() }

// IsTimeout is true for the error of a Read or Write whose limit ran out.
func IsTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// The most that one call writes: of a socket, and of what is not. A write of TLS that ran out of time cannot go on, so
// that there the limit holds for each piece as a whole; the smaller one is a record.
const (
	piece      = 256 << 10
	plainPiece = 16 << 10
)

// writePlain writes through the net.Conn. The deadline is renewed with each piece, so that a slow reader is
// told from a dead one.
func (c *Conn) writePlain(p []byte, limit time.Duration) error {
	most := piece
	if c.raw == nil {
		most = plainPiece
	}
	for len(p) > 0 {
		c.writeBy.arm(limit)
		n, err := c.nc.Write(p[:min(len(p), most)])
		if n == 0 && IsTimeout(err) {
			n = c.writeNow(p)
		}
		p = p[n:]
		if err != nil && (n == 0 || !IsTimeout(err)) {
			return err
		}
	}
	return nil
}

// writeNow writes what fits without waiting. It is the last look before a reader is given up: the poller calls a socket
// writable only when a third of its buffer is free, which for a slow reader takes longer than a limit (4 MB at 100 KB/s: 13 s).
func (c *Conn) writeNow(p []byte) (n int) {
	if c.raw == nil {
		return 0
	}
	_ = c.raw.Control(func(fd uintptr) { // minds no deadline
		n, _ = syscall.Write(int(fd), p[:min(len(p), piece)])
	})
	return max(n, 0)
}

// readPlain reads through the net.Conn.
func (c *Conn) readPlain(p []byte) (int, error) {
	n, err := c.nc.Read(p)
	if n > 0 {
		c.heard, c.filled = true, n == len(p)
		return n, nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, err
}
