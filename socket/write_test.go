package socket

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// noise is size bytes whose loss or exchange shows.
func noise(size int) []byte {
	p := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(p)
	return p
}

// narrow makes the buffers between the two small, but not so that TCP itself stalls.
func narrow(t testing.TB, c *Conn, peer net.Conn) {
	t.Helper()
	nc := c.nc
	if w, ok := nc.(plain); ok {
		nc = w.Conn
	}
	must(t, nc.(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(32<<10))
	must(t, peer.(interface{ SetReadBuffer(int) error }).SetReadBuffer(64<<10))
}

func TestWrite(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		for range 3 {
			must(t, c.Write([]byte("hello"), long))
			expect(t, peer, "hello")
		}
		must(t, c.Write(nil, long))
		must(t, c.Write([]byte("without limit"), 0))
		expect(t, peer, "without limit")
	})
}

func TestWriteLarge(t *testing.T) {
	all := noise(8 << 20)
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		defer background(func() { must(t, c.Write(all, long)); must(t, c.Close()) })()
		got, err := io.ReadAll(peer)
		if err != nil || !bytes.Equal(got, all) {
			t.Errorf("%d bytes arrived, or others: %v", len(got), err)
		}
	})
}

// Both directions at the same time, more than the buffers hold.
func TestWriteWhileReading(t *testing.T) {
	all := noise(2 << 20)
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		defer background(func() { _, _ = io.Copy(peer, peer) })()
		wait := background(func() { must(t, c.Write(all, long)) })
		got := make([]byte, 0, len(all))
		for len(got) < len(all) {
			n, err := c.Read(got[len(got):min(len(got)+1<<14, cap(got))], long)
			must(t, err)
			got = got[:len(got)+n]
		}
		wait()
		if !bytes.Equal(got, all) {
			t.Error("other bytes came back")
		}
		must(t, peer.Close())
	})
}

// writeSlowly writes a megabyte to a peer who reads it in steps and waits between them.
func writeSlowly(t *testing.T, c *Conn, peer io.Reader, limit, pause time.Duration) {
	t.Helper()
	const size = 1 << 20
	read := 0
	wait := background(func() {
		p := make([]byte, 16<<10)
		for read < size {
			n, err := io.ReadFull(peer, p)
			if err != nil {
				return
			}
			read += n
			time.Sleep(pause) // slowness is what is tested
		}
	})
	from := time.Now()
	err := c.Write(make([]byte, size), limit)
	took := time.Since(from)
	_ = c.Close()
	wait()
	if err != nil || read != size || took < 2*limit {
		t.Errorf("%d of %d bytes in %v: %v", read, size, took, err)
	}
}

// The limit is the longest time without progress: the whole takes several of them.
func TestWriteToSlowReader(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		t.Parallel()
		narrow(t, c, peer)
		writeSlowly(t, c, peer, 400*time.Millisecond, 20*time.Millisecond)
	})
}

// The poller calls a socket writable when a third of its buffer has become free. A reader who needs longer than a
// limit for that third was taken for a dead one.
func TestWriteToSlowReaderThroughLargeBuffer(t *testing.T) {
	t.Parallel()
	c, peer := pair(t)
	must(t, c.nc.(*net.TCPConn).SetWriteBuffer(256<<10))
	must(t, peer.SetReadBuffer(32<<10))
	writeSlowly(t, c, peer, 150*time.Millisecond, 25*time.Millisecond)
}

func TestWriteTimesOut(t *testing.T) {
	const limit = 100 * time.Millisecond
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		t.Parallel()
		narrow(t, c, peer)
		from := time.Now()
		timedOut(t, c.Write(make([]byte, 8<<20), limit))
		if took := time.Since(from); took < limit || took > 5*limit/2+time.Second {
			t.Errorf("gave up after %v, limit %v", took, limit)
		}
	})
}

// Exact times, which real sockets cannot give: one limit to one and a quarter without any progress, and up to twice that with.
func TestWriteTimesOutInTime(t *testing.T) {
	f := func(taken int, within time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer background(func() { _, _ = io.ReadFull(far, make([]byte, taken)) })()
			from := time.Now()
			timedOut(t, New(near).Write(make([]byte, 1<<20), time.Second))
			if took := time.Since(from); took < time.Second || took > within {
				t.Errorf("gave up after %v", took)
			}
		})
	}
	f(0, 1250*time.Millisecond)
	f(1, 2500*time.Millisecond)
	f(100_000, 2500*time.Millisecond)
}

// A write of TLS that ran out of time is the last one. One limit for a large piece cut a slow reader off.
func TestWriteToSlowReaderOfTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := securePair(t)
		writeSlowly(t, c, peer, time.Second, time.Second/2)
	})
}

func TestWriteAfterReset(t *testing.T) {
	c, peer := pair(t)
	reset(t, peer)
	must(t, c.Await(long))
	err := c.Write([]byte("x"), long)
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "write" || op.Net != "tcp" {
		t.Errorf("got %v, want a write's reset", err)
	}
	if err := c.Write([]byte("x"), long); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("and then %v", err)
	}
}

func TestResetWhileWriting(t *testing.T) {
	c, peer := pair(t)
	narrow(t, c, peer)
	var err error
	wait := background(func() { err = c.Write(make([]byte, 8<<20), long) })
	expect(t, peer, "\x00")
	reset(t, peer)
	wait()
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v", err)
	}
}

// A deadline that an earlier write has left behind, and that has passed since, is nothing to the next one.
func TestWriteAfterOldDeadline(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		c.writeBy.at = 1
		must(t, c.nc.SetWriteDeadline(past))
		must(t, c.Write([]byte("hello"), long))
		expect(t, peer, "hello")
	})
}

func TestWriteAfterTimeout(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		narrow(t, c, peer)
		timedOut(t, c.Write(make([]byte, 8<<20), 10*time.Millisecond))
		defer background(func() { _, _ = io.Copy(io.Discard, peer) })()
		must(t, c.Write(make([]byte, 1<<20), long))
		must(t, c.Close())
	})
}
