//go:build !linux || race

package socket

import (
	"syscall"
	"time"
)

// The portable way: all through the net package. It is also what the race detector sees.

type transfers struct{}

func (transfers) bind(*Conn) {}

func (c *Conn) read(p []byte) (int, error) { return c.readPlain(p) }

func (c *Conn) write(p []byte, limit time.Duration) error { return c.writePlain(p, limit) }

func (c *Conn) receive(pool *Pool) (*Buffer, int, error) { return c.receivePlain(pool) }

// Exchange writes out and then receives the first bytes of what comes back, as Receive does. ErrStale says that the
// connection had bytes or an end to read before anything was written: nothing was, and the connection is of no use.
// sent is false when the write failed or did not finish; the error is then the write's.
func (c *Conn) Exchange(out []byte, pool *Pool, writeLimit, readLimit time.Duration) (b *Buffer, n int, sent bool, err error) {
	return c.exchangePlain(out, pool, writeLimit, readLimit)
}

func peek(fd uintptr) presence {
	var b [1]byte
	n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return silent
	case err != nil || n == 0:
		return ended
	}
	return waiting
}
