//go:build unix

package socket

import (
	"time"

	"golang.org/x/sys/unix"
)

// CanAwait is true where Await works: not for a connection whose bytes are not the socket's, such as TLS.
func (c *Conn) CanAwait() bool { return c.raw != nil }

// CanWatch is true where Watch and Broken work: where there is a socket, also one under TLS.
func (c *Conn) CanWatch() bool { return c.base != nil }

// Await waits until there is something to read, an end or an error included, and takes none of it. limit is as for
// Read. It keeps no memory but the goroutine's, and wants a connection that CanAwait.
func (c *Conn) Await(limit time.Duration) error {
	c.readBy.arm(limit)
	return c.raw.Read(readable)
}

// Watch waits until the other side has reset the connection and returns true, or until Interrupt or Close and returns
// false. Bytes that arrive and an end that is sent (a half-close) do not end it. Nobody may read meanwhile.
// Without CanWatch it returns false at once.
func (c *Conn) Watch() (reset bool) {
	if c.base == nil {
		return false
	}
	for {
		err := c.base.Read(broken)
		if err == nil || !IsTimeout(err) || c.readBy.interrupted() {
			return err == nil
		}
		c.readBy.disarm() // it was armed for a read, long ago
	}
}

// Broken is true when the connection has been reset, or closed in both directions. It takes nothing of what is to be read, and may be
// called while somebody else reads. Without CanWatch it is false.
func (c *Conn) Broken() (is bool) {
	if c.base == nil {
		return false
	}
	err := c.base.Control(func(fd uintptr) { is = broken(fd) })
	return is || err != nil
}

// readable asks poll and does not peek: a peek takes a reset's error away, and the read that follows would find an end.
func readable(fd uintptr) bool { return polled(fd, unix.POLLIN) != 0 }

// broken is true for a connection that was reset, or closed in both directions.
func broken(fd uintptr) bool {
	return polled(fd, 0)&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0
}

// polled is what poll finds, of wanted and of what it always tells. Nothing is also what a signal makes of nothing.
func polled(fd uintptr, wanted int16) int16 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: wanted}}
	if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
		return 0
	}
	return fds[0].Revents
}
