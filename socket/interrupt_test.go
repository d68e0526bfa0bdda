package socket

import (
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// interrupted wants every way of reading to be refused, whatever its limit.
func interrupted(t *testing.T, c *Conn) {
	t.Helper()
	for _, limit := range []time.Duration{long, 0, time.Hour, long} {
		_, err := c.Read(make([]byte, 8), limit)
		timedOut(t, err)
		b, _, err := c.Receive(NewPool(8), limit)
		timedOut(t, err)
		if b != nil {
			t.Fatal("a buffer came with an error")
		}
		if c.CanAwait() {
			timedOut(t, c.Await(limit))
		}
	}
}

// resumed wants all to be as before.
func resumed(t *testing.T, c *Conn, peer net.Conn) {
	t.Helper()
	c.Resume()
	_, err := c.Read(make([]byte, 8), time.Millisecond)
	timedOut(t, err)
	for _, limit := range []time.Duration{0, long} {
		wait := background(func() { send(t, peer, "abc") })
		p := make([]byte, 3)
		if n, err := c.Read(p, limit); err != nil || string(p[:n]) != "abc" {
			t.Fatalf("after Resume, read %q, %v", p[:n], err)
		}
		wait()
	}
}

func TestInterruptBeforeRead(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		c.Interrupt()
		interrupted(t, c)
		must(t, c.Write([]byte("hello"), long)) // only reading is
		expect(t, peer, "hello")
		c.Interrupt()
		interrupted(t, c)
		resumed(t, c, peer)
	})
}

func TestInterruptWhileReading(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		for _, limit := range []time.Duration{0, long, 0} {
			defer background(c.Interrupt)()
			_, err := c.Read(make([]byte, 8), limit)
			timedOut(t, err)
			interrupted(t, c)
			resumed(t, c, peer)
		}
	})
}

// As above, but surely after the read has found nothing.
func TestInterruptWhileAwaiting(t *testing.T) {
	sockets(t, func(t *testing.T, c *Conn, peer net.Conn) {
		parks := parking(c)
		var err error
		wait := background(func() { err = c.Await(long) })
		<-parks
		c.Interrupt()
		wait()
		timedOut(t, err)
		interrupted(t, c)
		resumed(t, c, peer)
	})
}

func TestInterruptAfterRead(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		for _, limit := range []time.Duration{0, long} {
			send(t, peer, "abc")
			p := make([]byte, 8)
			if n, err := c.Read(p, limit); err != nil || string(p[:n]) != "abc" {
				t.Fatalf("read %q, %v", p[:n], err)
			}
			c.Interrupt()
			interrupted(t, c)
			resumed(t, c, peer)
		}
	})
}

// Bytes that wait are not lost, nor handed out while the Interrupt lasts.
func TestInterruptWithBytes(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		send(t, peer, "abc")
		arrived(t, c)
		c.Interrupt()
		interrupted(t, c)
		c.Resume()
		read(t, c, "abc")
	})
}

// Resume without an Interrupt leaves a limit in force.
func TestResumeAlone(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		c.Resume()
		send(t, peer, "abc")
		read(t, c, "abc")
		c.Resume()
		_, err := c.Read(make([]byte, 8), 10*time.Millisecond)
		timedOut(t, err)
	})
}

func TestInterruptOfClosed(t *testing.T) {
	c, _ := pair(t)
	must(t, c.Close())
	c.Interrupt()
	c.Resume()
}

// One goroutine interrupts all the time, and one reads in every way and resumes. Each read ends, and none
// with more than the timeout.
func TestInterruptHammer(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		var done atomic.Bool
		wait := background(func() {
			for !done.Load() {
				c.Interrupt()
				runtime.Gosched()
			}
		})
		pool := NewPool(8)
		for i := range 5000 {
			var err error
			switch limit := time.Duration(i%2) * long; {
			case i%3 == 0:
				_, err = c.Read(make([]byte, 8), limit)
			case i%3 == 1:
				_, _, err = c.Receive(pool, limit)
			case c.CanAwait() && i%4 == 0:
				err = c.Await(limit)
			case c.CanAwait():
				if c.Watch() {
					t.Fatal("there was no reset")
				}
				continue
			default:
				continue
			}
			timedOut(t, err)
			c.Resume()
		}
		done.Store(true)
		wait()
		interruptAndResume(t, c, peer)
	})
}

func interruptAndResume(t *testing.T, c *Conn, peer net.Conn) {
	t.Helper()
	c.Interrupt()
	interrupted(t, c)
	resumed(t, c, peer)
}
