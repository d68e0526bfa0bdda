//go:build linux && !race

package socket

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// The calls below go to the kernel without telling the scheduler, which would otherwise prepare for each
// of them to block. They do not: with MSG_DONTWAIT a call that has nothing to do returns EAGAIN, and only
// then the goroutine is parked, by the runtime's own poller through syscall.RawConn. The longest such call
// copies one piece. BenchmarkEcho shows what it saves.
// The race detector does not see memory that the kernel writes this way; under it the portable file is used.

type transfers struct{ in, out transfer }

// transfer is one direction of a connection: what a callback of syscall.RawConn works on. The callbacks are
// bound once, since a closure for each call would be an allocation.
type transfer struct {
	call  func(fd uintptr) bool
	p     []byte
	n     int
	errno syscall.Errno

	// Only in: see Exchange and Receive.
	exchange, receive func(fd uintptr) bool
	first             []byte
	asked, stale      bool
	sent              int
	pool              *Pool
	buf               *Buffer
}

func (t *transfers) bind(c *Conn) {
	if c.raw == nil {
		return
	}
	t.in.call = c.readReady
	t.in.exchange = c.exchangeReady
	t.in.receive = c.receiveReady
	t.out.call = c.writeReady
}

func (c *Conn) readReady(fd uintptr) bool {
	c.in.n, c.in.errno = rawRead(fd, c.in.p)
	return c.in.errno != syscall.EAGAIN
}

func (c *Conn) read(p []byte) (int, error) {
	if c.raw == nil {
		return c.readPlain(p)
	}
	c.in.p = p
	err := c.raw.Read(c.in.call)
	c.in.p = nil
	return c.result(err)
}

// receiveReady takes a buffer for the attempt only and gives it back when nothing has arrived.
func (c *Conn) receiveReady(fd uintptr) bool {
	b := c.in.pool.Get()
	c.in.n, c.in.errno = rawRead(fd, b.Bytes())
	if c.in.errno != 0 || c.in.n == 0 {
		c.in.pool.Put(b)
		return c.in.errno != syscall.EAGAIN
	}
	c.in.buf = b
	return true
}

func (c *Conn) receive(pool *Pool) (*Buffer, int, error) {
	if c.raw == nil {
		return c.receivePlain(pool)
	}
	c.in.pool = pool
	return c.received(c.raw.Read(c.in.receive))
}

func (c *Conn) received(err error) (*Buffer, int, error) {
	b := c.in.buf
	c.in.pool, c.in.buf = nil, nil
	n, err := c.result(err)
	return b, n, err
}

// result turns what a read callback left into what a reader expects.
func (c *Conn) result(err error) (int, error) {
	switch {
	case err != nil:
		return 0, err
	case c.in.errno != 0:
		return 0, c.fault("read", c.in.errno)
	case c.in.n == 0:
		return 0, io.EOF
	}
	return c.in.n, nil
}

// writeReady never waits: most writes find room, and the deadline is armed only for one that does not.
func (c *Conn) writeReady(fd uintptr) bool {
	c.out.n, c.out.errno = rawWrite(fd, c.out.p)
	return true
}

func (c *Conn) write(p []byte, limit time.Duration) error {
	if c.raw == nil {
		return c.writePlain(p, limit)
	}
	for len(p) > 0 {
		c.out.p = p
		err := c.raw.Write(c.out.call)
		c.out.p = nil
		switch {
		case IsTimeout(err): // a deadline that was armed long ago
			return c.writePlain(p, limit)
		case err != nil:
			return err
		case c.out.errno == syscall.EAGAIN:
			return c.writePlain(p, limit)
		case c.out.errno != 0:
			return c.fault("write", c.out.errno)
		}
		p = p[c.out.n:]
	}
	return nil
}

// Write implements net.Conn. What does not fit at once is left to the net package, which waits.
func (l *lean) Write(p []byte) (n int, err error) {
	for n < len(p) {
		l.c.out.p = p[n:]
		err := l.c.raw.Write(l.c.out.call)
		l.c.out.p = nil
		switch {
		case err != nil:
			return n, err
		case l.c.out.errno == syscall.EAGAIN:
			rest, err := l.Conn.Write(p[n:])
			return n + rest, err
		case l.c.out.errno != 0:
			return n, l.c.fault("write", l.c.out.errno)
		}
		n += l.c.out.n
	}
	return n, nil
}

// fault is the error that the net package would have made.
func (c *Conn) fault(op string, errno syscall.Errno) error {
	return &net.OpError{
		Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(),
		Err: os.NewSyscallError(op, errno),
	}
}

func rawRead(fd uintptr, p []byte) (int, syscall.Errno) {
	return raw(syscall.SYS_RECVFROM, fd, p, 0)
}

func rawWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	return raw(syscall.SYS_SENDTO, fd, p[:min(len(p), piece)], syscall.MSG_NOSIGNAL)
}

func raw(trap, fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		//nolint:gosec // the call reads or fills p alone, up to its length
		n, _, errno := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			flags|syscall.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
