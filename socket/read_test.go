package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestRead(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		send(t, peer, "abc")
		read(t, c, "abc")

		send(t, peer, "defgh")
		arrived(t, c)
		p := make([]byte, 3)
		n, err := c.Read(p, 0)
		if n != 3 || err != nil || string(p) != "def" {
			t.Fatalf("read %d %q, %v; want the first three bytes", n, p, err)
		}
		read(t, c, "gh")
	})
}

func TestReadWaits(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		defer background(func() {
			expect(t, peer, "ask")
			_, _ = io.WriteString(peer, "answer")
		})()
		must(t, c.Write([]byte("ask"), 0))
		read(t, c, "answer")
	})
}

// An empty read is no end: on a socket the system answers 0 to it, as at the end.
func TestReadOfNothing(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		send(t, peer, "abc")
		if n, err := c.Read(nil, long); n != 0 || err != nil {
			t.Fatalf("an empty read: %d, %v", n, err)
		}
		read(t, c, "abc")
	})
}

func TestReadEnd(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		send(t, peer, "last")
		halfClose(t, peer)
		read(t, c, "last")
		for range 2 { // the end stays
			if n, err := c.Read(make([]byte, 8), long); n != 0 || err != io.EOF { //nolint:errorlint // the contract says the bare io.EOF
				t.Fatalf("read %d, %v; want io.EOF", n, err)
			}
		}
		must(t, c.Write([]byte("still open"), long))
		expect(t, peer, "still open")
	})
}

func TestReadAfterReset(t *testing.T) {
	c, peer := pair(t)
	reset(t, peer)
	_, err := c.Read(make([]byte, 8), long)
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "read" || op.Net != "tcp" {
		t.Fatalf("got %v, want a read's reset", err)
	}
}

func TestReadTimesOut(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		for range 2 {
			from := time.Now()
			_, err := c.Read(make([]byte, 8), 20*time.Millisecond)
			timedOut(t, err)
			if took := time.Since(from); took < 20*time.Millisecond {
				t.Fatalf("gave up after %v", took)
			}
		}
		send(t, peer, "late")
		read(t, c, "late") // a timeout leaves the connection as good as before
		_, err := c.Read(make([]byte, 8), 20*time.Millisecond)
		timedOut(t, err)
		send(t, peer, "without limit")
		read(t, c, "without limit")
	})
}

// A limit of zero takes back what was armed before it.
func TestReadWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := New(near)
		_, err := c.Read(make([]byte, 8), time.Second)
		timedOut(t, err)
		defer background(func() {
			time.Sleep(1000 * time.Hour)
			_, _ = io.WriteString(far, "at last")
		})()
		p := make([]byte, 8)
		if n, err := c.Read(p, 0); err != nil || string(p[:n]) != "at last" {
			t.Fatalf("read %q, %v", p[:n], err)
		}
	})
}

func TestReadOfClosed(t *testing.T) {
	sockets(t, func(t *testing.T, c *Conn, _ net.Conn) {
		parks := parking(c)
		var err error
		wait := background(func() { err = c.Await(0) })
		<-parks
		must(t, c.Close())
		wait()
		if !errors.Is(err, net.ErrClosed) {
			t.Fatalf("what waited got %v", err)
		}
		if _, err := c.Read(make([]byte, 8), long); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("a further read got %v", err)
		}
		if err := c.Write([]byte("x"), long); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("a write got %v", err)
		}
	})
}

func TestIsTimeout(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		if IsTimeout(err) != want {
			t.Errorf("IsTimeout(%v) is not %v", err, want)
		}
	}
	f(os.ErrDeadlineExceeded, true)
	f(&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true)
	f(nil, false)
	f(io.EOF, false)
	f(net.ErrClosed, false)
	f(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, false)
}

func TestAddresses(t *testing.T) {
	c, peer := pair(t)
	if c.LocalAddr().String() != peer.RemoteAddr().String() || c.RemoteAddr().String() != peer.LocalAddr().String() {
		t.Errorf("%v and %v are not %v and %v", c.LocalAddr(), c.RemoteAddr(), peer.RemoteAddr(), peer.LocalAddr())
	}
	if c.NetConn() != c.nc {
		t.Error("NetConn is another connection")
	}
}

// A descriptor that somebody has made blocking must not block the thread, and with it the limit.
func TestReadOfBlockingDescriptor(t *testing.T) {
	sockets(t, func(t *testing.T, c *Conn, peer net.Conn) {
		if netOnly {
			t.Skip("the net package blocks")
		}
		must(t, c.raw.Control(func(fd uintptr) { must(t, syscall.SetNonblock(int(fd), false)) }))
		_, err := c.Read(make([]byte, 8), 10*time.Millisecond)
		timedOut(t, err)
		send(t, peer, "abc")
		read(t, c, "abc")
	})
}
