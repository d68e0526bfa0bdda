package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestStale(t *testing.T) {
	f := func(c *Conn, want bool) {
		t.Helper()
		if c.Stale() != want {
			t.Errorf("Stale is not %v", want)
		}
	}
	sockets(t, func(t *testing.T, c *Conn, peer net.Conn) {
		f(c, false)
		send(t, peer, "unasked")
		arrived(t, c)
		f(c, true)
		f(c, true)
		read(t, c, "unasked") // it was looked at only
		f(c, false)
		halfClose(t, peer)
		arrived(t, c)
		f(c, true)
	})
	sockets(t, func(_ *testing.T, c *Conn, _ net.Conn) {
		_ = c.Close()
		f(c, true)
	})
	c, peer := pair(t)
	reset(t, peer)
	arrived(t, c)
	f(c, true)
	f(c, true)

	near, far := dial(t, "tcp")
	halfClose(t, far)
	arrived(t, New(near))
	f(New(plain{near}), false)
}

// Await takes nothing, and wakes for each thing that a read would wake for.
func TestAwait(t *testing.T) {
	f := func(name string, act func(t *testing.T, peer net.Conn), want error) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			sockets(t, func(t *testing.T, c *Conn, peer net.Conn) {
				if name == "reset" && peer.RemoteAddr().Network() == "unix" {
					t.Skip("there is none")
				}
				parks := parking(c)
				var err error
				wait := background(func() { err = c.Await(long) })
				<-parks
				act(t, peer)
				wait()
				must(t, err)
				must(t, c.Await(long)) // it is still there
				p := make([]byte, 8)
				n, err := c.Read(p, long)
				if !errors.Is(err, want) || want == nil && string(p[:n]) != "abc" {
					t.Fatalf("read %q, %v; want %v", p[:n], err, want)
				}
			})
		})
	}
	f("bytes", func(t *testing.T, peer net.Conn) { send(t, peer, "abc") }, nil)
	f("bytes and end", func(t *testing.T, peer net.Conn) { send(t, peer, "abc"); must(t, peer.Close()) }, nil)
	f("half-close", func(t *testing.T, peer net.Conn) { halfClose(t, peer) }, io.EOF)
	f("close", func(t *testing.T, peer net.Conn) { must(t, peer.Close()) }, io.EOF)
	f("reset", func(t *testing.T, peer net.Conn) { reset(t, peer) }, syscall.ECONNRESET)
}

func TestAwaitTimesOut(t *testing.T) {
	sockets(t, func(t *testing.T, c *Conn, peer net.Conn) {
		timedOut(t, c.Await(10*time.Millisecond))
		send(t, peer, "abc")
		must(t, c.Await(long))
		read(t, c, "abc")
		c.Interrupt()
		timedOut(t, c.Await(long))
	})
}

// watching starts Watch; parks tells each time that it has looked and goes on waiting.
func watching(c *Conn) (parks <-chan struct{}, result func() bool) {
	parks = parking(c)
	var reset bool
	wait := background(func() { reset = c.Watch() })
	return parks, func() bool { wait(); return reset }
}

func TestWatchReset(t *testing.T) {
	f := func(act func(c *Conn, peer net.Conn, parks <-chan struct{})) {
		t.Helper()
		c, peer := pair(t)
		parks, result := watching(c)
		<-parks
		act(c, peer, parks)
		reset(t, peer)
		if !result() {
			t.Error("the reset was not seen")
		}
	}
	f(func(_ *Conn, _ net.Conn, _ <-chan struct{}) {})
	f(func(_ *Conn, peer net.Conn, parks <-chan struct{}) { send(t, peer, "unread"); <-parks })
	f(func(_ *Conn, peer net.Conn, parks <-chan struct{}) { halfClose(t, peer); <-parks })
	f(func(_ *Conn, peer net.Conn, parks <-chan struct{}) {
		send(t, peer, "unread")
		<-parks
		halfClose(t, peer)
		<-parks
	})
	f(func(c *Conn, peer net.Conn, _ <-chan struct{}) { // writing goes on meanwhile
		must(t, c.Write([]byte("hello"), long))
		expect(t, peer, "hello")
	})
}

func TestWatchEarlierReset(t *testing.T) {
	c, peer := pair(t)
	reset(t, peer)
	arrived(t, c)
	if !c.Watch() {
		t.Error("the reset was not seen")
	}
}

// A unix socket knows no reset; closed in both directions is as good.
func TestWatchUnix(t *testing.T) {
	near, far := dial(t, "unix")
	parks, result := watching(New(near))
	<-parks
	send(t, far, "unread")
	<-parks
	halfClose(t, far)
	<-parks
	must(t, far.Close())
	if !result() {
		t.Error("the close was not seen")
	}
}

func TestWatchInterrupted(t *testing.T) {
	sockets(t, func(t *testing.T, c *Conn, peer net.Conn) {
		parks, result := watching(c)
		<-parks
		send(t, peer, "unread")
		<-parks
		c.Interrupt()
		if result() {
			t.Error("an Interrupt is no reset")
		}
		if c.Watch() {
			t.Error("the Interrupt does not last")
		}
		c.Resume()
		read(t, c, "unread")
	})
}

func TestWatchEnds(t *testing.T) {
	sockets(t, func(t *testing.T, c *Conn, _ net.Conn) {
		parks, result := watching(c)
		<-parks
		must(t, c.Close())
		if result() {
			t.Error("our own close is no reset")
		}
	})
	near, _ := dial(t, "tcp")
	if New(plain{near}).Watch() {
		t.Error("what cannot be looked at was reset")
	}
}

// The deadline that a read has left behind ended the watch, as if there had been an Interrupt: from then on
// nobody saw that the client had gone.
func TestWatchOutlastsOldDeadline(t *testing.T) {
	f := func(before func(c *Conn, peer net.Conn)) {
		t.Helper()
		c, peer := pair(t)
		before(c, peer)
		parks, result := watching(c)
		<-parks
		reset(t, peer)
		if !result() {
			t.Error("the reset was not seen")
		}
	}
	f(func(c *Conn, _ net.Conn) { // passed before
		_, err := c.Read(make([]byte, 8), time.Millisecond)
		timedOut(t, err)
	})
	f(func(c *Conn, peer net.Conn) { // passes about now
		send(t, peer, "x")
		_, err := c.Read(make([]byte, 8), 5*time.Millisecond)
		must(t, err)
	})

	c, peer := pair(t) // passes while it watches
	send(t, peer, "x")
	_, err := c.Read(make([]byte, 8), long)
	must(t, err)
	parks, result := watching(c)
	<-parks
	must(t, c.nc.SetReadDeadline(past)) // as the timer would
	<-parks
	reset(t, peer)
	if !result() {
		t.Error("the reset was not seen")
	}
}
