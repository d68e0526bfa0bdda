package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// exchange wants one that goes well.
func exchange(t testing.TB, c *Conn, out, want string) {
	t.Helper()
	pool := NewPool(64)
	b, n, sent, err := c.Exchange([]byte(out), pool, long, long)
	if err != nil || !sent || string(b.Bytes()[:n]) != want {
		t.Fatalf("exchange: %d bytes, %v, %v; want %q", n, sent, err, want)
	}
	pool.Put(b)
}

// failed wants an exchange that fails, and returns its error.
func failed(t testing.TB, c *Conn, out []byte, wantSent bool) error {
	t.Helper()
	b, n, sent, err := c.Exchange(out, NewPool(64), 50*time.Millisecond, 20*time.Millisecond)
	if err == nil || b != nil || n != 0 || sent != wantSent {
		t.Fatalf("exchange: %d bytes, sent %v, %v", n, sent, err)
	}
	return err
}

func TestExchange(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		defer background(func() {
			for range 100 {
				expect(t, peer, "ask")
				send(t, peer, "answer")
			}
		})()
		for range 100 {
			exchange(t, c, "ask", "answer")
		}
	})
}

// What is more than the buffers take is written bit by bit, and all of it before the answer is waited for.
func TestExchangeLarge(t *testing.T) {
	all := noise(8 << 20)
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		got := make([]byte, len(all))
		wait := background(func() {
			_, err := io.ReadFull(peer, got)
			must(t, err)
			send(t, peer, "answer")
		})
		exchange(t, c, string(all), "answer")
		wait()
		if !bytes.Equal(got, all) {
			t.Error("other bytes arrived")
		}
	})
}

func TestExchangeWithOneWhoDoesNotRead(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		narrow(t, c, peer)
		timedOut(t, failed(t, c, make([]byte, 8<<20), false))
	})
}

// Nothing to say is not an answer already given: the connection is looked at, and the answer waited for.
func TestExchangeOfNothing(t *testing.T) {
	for _, out := range [][]byte{nil, {}} {
		kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
			timedOut(t, failed(t, c, out, true))
			send(t, peer, "late")
			if c.CanAwait() {
				arrived(t, c)
				if err := failed(t, c, out, false); !errors.Is(err, ErrStale) {
					t.Fatalf("got %v", err)
				}
			}
			read(t, c, "late")
		})
	}
}

// A silent server costs the limit, and the connection stays in step.
func TestExchangeTimesOut(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		for range 2 {
			timedOut(t, failed(t, c, []byte("ask"), true))
			expect(t, peer, "ask")
		}
		defer background(func() { expect(t, peer, "again"); send(t, peer, "answer") })()
		exchange(t, c, "again", "answer")
	})
}

// The answer that came too late belongs to nobody.
func TestExchangeAfterLateAnswer(t *testing.T) {
	sockets(t, func(t *testing.T, c *Conn, peer net.Conn) {
		timedOut(t, failed(t, c, []byte("ask"), true))
		expect(t, peer, "ask")
		send(t, peer, "late")
		arrived(t, c)
		stale(t, c, peer)
	})
}

// stale wants an exchange that sends nothing: the peer sees not one byte before the end.
func stale(t *testing.T, c *Conn, peer net.Conn) {
	t.Helper()
	if err := failed(t, c, []byte("ask"), false); !errors.Is(err, ErrStale) {
		t.Fatalf("got the error %v, want ErrStale", err)
	}
	_ = c.Close()
	if n, err := peer.Read(make([]byte, 8)); n != 0 || err == nil {
		t.Fatalf("the peer got %d bytes, %v", n, err)
	}
}

func TestExchangeOnStale(t *testing.T) {
	sockets(t, func(t *testing.T, c *Conn, peer net.Conn) {
		send(t, peer, "unasked")
		arrived(t, c)
		stale(t, c, peer)
	})
	sockets(t, func(t *testing.T, c *Conn, peer net.Conn) {
		halfClose(t, peer)
		arrived(t, c)
		stale(t, c, peer)
	})
	sockets(t, func(t *testing.T, c *Conn, peer net.Conn) { // a use before makes no difference
		defer background(func() { expect(t, peer, "ask"); send(t, peer, "answer"); halfClose(t, peer) })()
		exchange(t, c, "ask", "answer")
		arrived(t, c)
		stale(t, c, peer)
	})
	c, peer := pair(t)
	reset(t, peer)
	arrived(t, c)
	stale(t, c, peer)
}

// The other side went away with the request: it is told from one that never got it.
func TestExchangeEnd(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		defer background(func() { expect(t, peer, "ask"); halfClose(t, peer) })()
		if _, _, sent, err := c.Exchange([]byte("ask"), NewPool(8), long, long); !sent || err != io.EOF { //nolint:errorlint // the contract says the bare io.EOF
			t.Fatalf("got %v, %v", sent, err)
		}
	})
	c, peer := pair(t)
	defer background(func() { expect(t, peer, "ask"); reset(t, peer) })()
	if _, _, sent, err := c.Exchange([]byte("ask"), NewPool(8), long, long); !sent || !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, %v", sent, err)
	}
}

func TestExchangeThatCannotWrite(t *testing.T) {
	sockets(t, func(t *testing.T, c *Conn, _ net.Conn) {
		must(t, c.CloseWrite())
		if err := failed(t, c, []byte("ask"), false); !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("got %v", err)
		}
	})
	sockets(t, func(t *testing.T, c *Conn, _ net.Conn) {
		must(t, c.Close())
		_ = failed(t, c, []byte("ask"), false)
	})
}

// Deadlines that earlier calls have left behind, and that have passed since, are nothing to the next exchange.
func TestExchangeAfterOldDeadlines(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		c.readBy.at, c.writeBy.at = 1, 1
		must(t, c.nc.SetDeadline(past))
		all := string(noise(8 << 20))
		defer background(func() {
			_, _ = io.ReadFull(peer, make([]byte, len(all)))
			send(t, peer, "answer")
			expect(t, peer, "ask")
			send(t, peer, "answer")
		})()
		exchange(t, c, all, "answer")
		exchange(t, c, "ask", "answer")
	})
}
