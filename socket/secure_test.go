package socket

import (
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// keptPair returns both ends of a TLS connection, and the socket under the far one. What the server sends after the handshake by itself
// has been read.
func keptPair(t *testing.T) (c *Conn, far *tls.Conn, under *net.TCPConn) {
	t.Helper()
	near, peer := dial(t, "tcp")
	client, server := secure(t, New(near).Lean(), &gather{Conn: peer})
	c = New(client)
	send(t, server, "hello")
	read(t, c, "hello") // and the tickets before it
	return c, server, peer.(*net.TCPConn)
}

// gather keeps what is written, when it is told to.
type gather struct {
	net.Conn
	gathers bool
	held    []byte
}

func (g *gather) Write(p []byte) (int, error) {
	if g.gathers {
		g.held = append(g.held, p...)
		return len(p), nil
	}
	return g.Conn.Write(p)
}

// settled waits until there is something to read on the socket under a TLS connection.
func settled(t *testing.T, c *Conn) {
	t.Helper()
	must(t, c.nc.SetReadDeadline(time.Time{}))
	must(t, c.base.Read(readable))
}

// A kept TLS connection is looked at as a plain one is. It was not: what a server sent unasked was the response to the next request, and a
// request on a connection that the server had closed was lost.
func TestStaleUnderTLS(t *testing.T) {
	f := func(want bool, act func(c *Conn, far *tls.Conn, under *net.TCPConn)) {
		t.Helper()
		c, far, under := keptPair(t)
		for range 3 { // a look changes nothing
			if c.Stale() {
				t.Fatal("a silent connection is stale")
			}
		}
		send(t, far, "a")
		read(t, c, "a")
		act(c, far, under)
		if c.Stale() != want {
			t.Errorf("Stale is not %v", want)
		}
	}
	f(false, func(*Conn, *tls.Conn, *net.TCPConn) {})
	f(false, func(c *Conn, far *tls.Conn, _ *net.TCPConn) { // a deadline of before does not last
		_, err := c.Read(make([]byte, 1), time.Millisecond)
		timedOut(t, err)
	})
	f(true, func(c *Conn, far *tls.Conn, _ *net.TCPConn) { send(t, far, "unasked"); settled(t, c) })
	f(true, func(c *Conn, far *tls.Conn, _ *net.TCPConn) { must(t, far.Close()); settled(t, c) })
	f(true, func(c *Conn, _ *tls.Conn, under *net.TCPConn) { must(t, under.Close()); settled(t, c) })
	f(true, func(c *Conn, _ *tls.Conn, under *net.TCPConn) { reset(t, under); settled(t, c) })
	f(true, func(c *Conn, far *tls.Conn, _ *net.TCPConn) { // in a record that was taken from the socket with another
		out := far.NetConn().(*gather)
		out.gathers = true
		send(t, far, "b")
		send(t, far, "unasked")
		_, err := out.Conn.Write(out.held)
		must(t, err)
		read(t, c, "b")
	})
	c, far, _ := keptPair(t)
	c.Interrupt()
	if !c.Stale() && !c.Interrupted() {
		t.Error("a look has taken an Interrupt back")
	}
	c.Resume()
	send(t, far, "x")
	read(t, c, "x")
}

// A client that resets is noticed under TLS too.
func TestWatchUnderTLS(t *testing.T) {
	c, far, under := keptPair(t)
	if !c.CanWatch() || c.CanAwait() || c.Broken() {
		t.Error("CanWatch, CanAwait or Broken is wrong")
	}
	parks, result := watching(c)
	<-parks
	send(t, far, "unread")
	<-parks
	reset(t, under)
	if !result() || !c.Broken() {
		t.Error("the reset was not seen")
	}
	c, far, _ = keptPair(t)
	parks, result = watching(c)
	<-parks
	c.Interrupt()
	if result() {
		t.Error("an Interrupt is no reset")
	}
	c.Resume()
	send(t, far, "x")
	read(t, c, "x")
}
