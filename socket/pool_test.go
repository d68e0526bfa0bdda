package socket

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// counted is a pool that counts the buffers it had to make.
func counted(size int) (*Pool, *atomic.Int64) {
	pool, made := NewPool(size), new(atomic.Int64)
	pool.pool.New = func() any { made.Add(1); return NewBuffer(size) }
	return pool, made
}

func TestPool(t *testing.T) {
	pool := NewPool(100)
	if pool.Size() != 100 {
		t.Errorf("its size is %d", pool.Size())
	}
	b := pool.Get()
	if len(b.Bytes()) != 100 || len(b.All()) != Headroom+100 || &b.All()[Headroom] != &b.Bytes()[0] {
		t.Errorf("a buffer of %d bytes, %d with headroom", len(b.Bytes()), len(b.All()))
	}
	pool.Put(b)
}

// What is of another size, as from NewBuffer or another pool, must not come out of it.
func TestPoolKeepsItsSize(t *testing.T) {
	pool := NewPool(100)
	for range 100 {
		pool.Put(nil)
		pool.Put(NewBuffer(99))
		pool.Put(NewBuffer(101))
		pool.Put(NewPool(50).Get())
		if b := pool.Get(); len(b.Bytes()) != 100 {
			t.Fatalf("a buffer of %d bytes", len(b.Bytes()))
		}
	}
}

func TestReceive(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		pool := NewPool(8)
		f := func(want string) {
			t.Helper()
			b, n, err := c.Receive(pool, long)
			if err != nil || string(b.Bytes()[:n]) != want {
				t.Fatalf("received %q, %v; want %q", b.Bytes()[:n], err, want)
			}
			pool.Put(b)
		}
		send(t, peer, "abc")
		f("abc")
		send(t, peer, "more than it takes")
		arrived(t, c)
		f("more tha")
		f("n it tak")
		f("es")
		defer background(func() { expect(t, peer, "ask"); send(t, peer, "answer") })()
		must(t, c.Write([]byte("ask"), long))
		f("answer")
	})
}

// refused receives from what gives nothing, again and again: a buffer that is not given back would have to be made each time.
func refused(t *testing.T, c *Conn, is func(error) bool) {
	t.Helper()
	const times = 200
	pool, made := counted(4 << 10)
	for range times {
		b, n, err := c.Receive(pool, long)
		if b != nil || n != 0 || !is(err) {
			t.Fatalf("received %v, %d, %v", b, n, err)
		}
	}
	if made.Load() > times*2/3 { // under the race detector, a sync.Pool drops one of four
		t.Errorf("%d buffers were made for nothing", made.Load())
	}
}

func TestReceiveNothing(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		c.Interrupt()
		refused(t, c, IsTimeout)
		c.Resume()
		halfClose(t, peer)
		refused(t, c, func(err error) bool { return errors.Is(err, io.EOF) })
		must(t, c.Close())
		refused(t, c, func(err error) bool { return errors.Is(err, net.ErrClosed) })
	})
}

func TestReceiveTimesOut(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		pool := NewPool(64)
		b, _, err := c.Receive(pool, 10*time.Millisecond)
		timedOut(t, err)
		if b != nil {
			t.Fatal("a buffer came with an error")
		}
		send(t, peer, "late")
		b, n, err := c.Receive(pool, long)
		if err != nil || string(b.Bytes()[:n]) != "late" {
			t.Fatalf("received %d, %v", n, err)
		}
	})
}

func TestReceiveReset(t *testing.T) {
	c, peer := pair(t)
	reset(t, peer)
	if b, _, err := c.Receive(NewPool(8), long); b != nil || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("received %v, %v", b, err)
	}
}

// Two hundred silent connections hold no buffer, where each would hold one.
func TestReceiveHoldsNothing(t *testing.T) {
	if netOnly {
		t.Skip("the net package waits with a buffer in hand")
	}
	const silent = 200
	pool, made := counted(4 << 10)
	for range silent {
		c, peer := pair(t)
		parks := parking(c)
		defer background(func() {
			b, n, err := c.Receive(pool, long)
			if err != nil || string(b.Bytes()[:n]) != "x" {
				t.Errorf("received %d, %v", n, err)
			}
			pool.Put(b)
		})()
		<-parks
		defer send(t, peer, "x")
	}
	if made.Load() > silent/10 { // some are lost between processors and to the garbage collector
		t.Errorf("%d buffers for %d silent connections", made.Load(), silent)
	}
}
