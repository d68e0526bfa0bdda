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
	after   int // so many writes it is told to; 0: never
	held    []byte
}

func (g *gather) Write(p []byte) (int, error) {
	if g.gathers {
		g.held = append(g.held, p...)
		return len(p), nil
	}
	if g.after > 0 {
		g.after--
		g.gathers = g.after == 0
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
	f(true, func(c *Conn, far *tls.Conn, _ *net.TCPConn) { // in half a record that was taken from the socket with another
		out := far.NetConn().(*gather)
		out.gathers = true
		send(t, far, "b")
		send(t, far, "unasked")
		send(t, out.Conn, string(out.held[:len(out.held)-5]))
		read(t, c, "b")
	})
	f(true, func(c *Conn, far *tls.Conn, _ *net.TCPConn) { // behind what a small buffer took
		send(t, far, "bc")
		n, err := c.Read(make([]byte, 1), long)
		if n != 1 || err != nil {
			t.Fatal(n, err)
		}
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

// ticketPair returns both ends of a fresh TLS connection, the far one of which has a ticket that it has not sent yet.
func ticketPair(t *testing.T) (c *Conn, far *tls.Conn, ticket string) {
	t.Helper()
	near, peer := dial(t, "tcp")
	out := &gather{Conn: peer, after: 1} // the first write is the handshake's
	client, server := secureWith(t, New(near).Lean(), out, func(ours, theirs *tls.Config) {
		theirs.SessionTicketsDisabled, ours.ClientSessionCache = false, tls.NewLRUClientSessionCache(1)
		theirs.ClientAuth = tls.RequestClientCert // or the ticket is in the first flight
	})
	if len(out.held) == 0 {
		t.Fatal("there is no ticket")
	}
	out.gathers, out.after = false, 0
	return New(client), server, string(out.held)
}

// A ticket is nothing unasked, whenever it comes: on a connection that was just opened it made a request fail, which nobody could send again.
func TestATicketIsNotStale(t *testing.T) {
	look := func(c *Conn, want bool) {
		t.Helper()
		if c.Stale() != want {
			t.Fatalf("Stale is not %v", want)
		}
	}
	goesOn := func(c *Conn, far *tls.Conn) {
		t.Helper()
		look(c, false)
		must(t, c.Write([]byte("ask"), long))
		expect(t, far, "ask")
		send(t, far, "answer")
		read(t, c, "answer")
		look(c, false)
	}
	c, far, ticket := ticketPair(t)
	send(t, far.NetConn(), ticket)
	settled(t, c)
	goesOn(c, far)

	c, far, ticket = ticketPair(t)
	send(t, far.NetConn(), ticket[:len(ticket)/2])
	settled(t, c)
	look(c, false)
	send(t, far.NetConn(), ticket[len(ticket)/2:])
	goesOn(c, far)

	c, far, ticket = ticketPair(t)
	send(t, far.NetConn(), ticket)
	send(t, far, "unasked")
	settled(t, c)
	look(c, true)

	c, far, ticket = ticketPair(t)
	send(t, far.NetConn(), ticket)
	must(t, far.Close())
	settled(t, c)
	look(c, true)
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
