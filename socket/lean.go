package socket

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"syscall"
)

// Lean returns a net.Conn for what is put on top of the connection (TLS), with reads and writes that go to the kernel as the Conn's
// own do: at 100 B it saves a fifth of the CPU of a TLS request (`go run ./bench/compare -tls`). The Conn is not to be used while that
// is, but for its NetConn and Close.
func (c *Conn) Lean() net.Conn {
	if c.raw == nil {
		return c.nc
	}
	return &lean{Conn: c.nc, c: c}
}

// lean is a connection as the net package has it, but for the way into the kernel. Its deadlines are those of the connection
// underneath: SyscallConn keeps to them.
type lean struct {
	net.Conn
	c     *Conn
	hasty bool // Read takes what is there, and waits for nothing
	records
}

// NetConn is the connection underneath. It shows the way to what lean does not have, see Reset.
func (l *lean) NetConn() net.Conn { return l.Conn }

// Read implements net.Conn.
func (l *lean) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !l.inRecord() {
		l.ended = 0
	}
	if l.hasty {
		n, err = l.readNow(p)
	} else {
		n, err = l.c.read(p)
	}
	l.follow(p[:n])
	return n, err
}

// readNow minds no deadline. What it would have to wait for is a timeout, after which TLS can be read on.
func (l *lean) readNow(p []byte) (n int, err error) {
	closed := l.c.raw.Control(func(fd uintptr) { n, err = syscall.Read(int(fd), p) })
	switch {
	case closed != nil:
		return 0, closed
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// records tells where the TLS records end that are read through a lean (RFC 8446 section 5.1).
type records struct {
	header [5]byte
	got    int // of a header
	left   int // of what follows it
	ended  int // since TLS last asked for the beginning of a record, which it does when it has taken all others
}

// inRecord is true when the last record has come in part.
func (r *records) inRecord() bool { return r.got > 0 || r.left > 0 }

// isTaken is true when TLS has taken all that was read: it takes one record at a time.
func (r *records) isTaken() bool { return !r.inRecord() && r.ended <= 1 }

func (r *records) follow(p []byte) {
	for len(p) > 0 {
		if r.left == 0 {
			n := copy(r.header[r.got:], p)
			r.got, p = r.got+n, p[n:]
			if r.got < len(r.header) {
				return
			}
			r.got, r.left = 0, int(binary.BigEndian.Uint16(r.header[3:]))
		}
		n := min(r.left, len(p))
		r.left, p = r.left-n, p[n:]
		if r.left == 0 {
			r.ended++
		}
	}
}
