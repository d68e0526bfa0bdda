package socket

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Many exchanges, whose answers come at every moment around the one at which the exchange begins to wait.
// A wake-up that is lost shows as a timeout.
func TestHuntLostWakeUps(t *testing.T) {
	const connections = 8
	each := 25_000
	if netOnly || testing.Short() {
		each = 2_000
	}
	var wg sync.WaitGroup
	for i := range connections {
		network := "tcp"
		if i%4 == 3 {
			network = "unix"
		}
		near, far := dial(t, network)
		wg.Go(func() { answerAtAnyTime(t, far, uint64(i)) })
		wg.Go(func() {
			defer near.Close()
			c, pool := New(near), NewPool(64)
			for k := range each {
				b, n, sent, err := c.Exchange([]byte("ask"), pool, long, long)
				if err != nil || !sent || n == 0 {
					t.Errorf("connection %d, exchange %d: %d bytes, %v, %v", i, k, n, sent, err)
					return
				}
				pool.Put(b)
				if n == 1 { // it came in two pieces
					read(t, c, "b")
				}
			}
		})
	}
	wg.Wait()
}

func answerAtAnyTime(t *testing.T, peer net.Conn, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	p := make([]byte, 8)
	for {
		if _, err := peer.Read(p); err != nil {
			return
		}
		switch random.IntN(8) {
		case 0:
			runtime.Gosched()
		case 1, 2, 3:
			spin(time.Duration(random.IntN(20)) * time.Microsecond)
		case 4:
			send(t, peer, "a")
			spin(time.Duration(random.IntN(10)) * time.Microsecond)
			send(t, peer, "b")
			continue
		}
		send(t, peer, "ab")
	}
}

// spin takes time as no sleep is short enough to.
func spin(d time.Duration) {
	for from := time.Now(); time.Since(from) < d; {
	}
}

// gate stops a read between having found nothing and waiting, where a wake-up could be lost.
type gate struct {
	syscall.RawConn
	parks, goOn chan struct{}
}

func (g *gate) Read(f func(fd uintptr) bool) error {
	return g.RawConn.Read(func(fd uintptr) bool {
		if f(fd) {
			return true
		}
		g.parks <- struct{}{}
		<-g.goOn
		return false
	})
}

// noted returns when the runtime has taken note of all that has happened on any socket: its poller reports in order.
func noted(t *testing.T) {
	t.Helper()
	c, peer := pair(t)
	parks := parking(c)
	var err error
	wait := background(func() { err = c.Await(long) })
	<-parks
	send(t, peer, "x")
	wait()
	must(t, err)
}

// trial is one call that waits, what happened earlier, and what ends the wait.
type trial struct {
	call    func(c *Conn) error
	asks    bool   // call writes before it waits
	earlier string // "", or what made the runtime note a readiness that is none: "old edge", "spurious wake-up"
	happens func(c *Conn, peer net.Conn)
	waiting bool // it happens while call waits, rather than between its finding nothing and its waiting
}

func (w trial) run(t *testing.T) error {
	t.Helper()
	c, peer := pair(t)
	g := &gate{RawConn: c.raw, parks: make(chan struct{}), goOn: make(chan struct{})}
	c.raw = g
	edge := func() {
		send(t, peer, "x")
		noted(t)
		must(t, g.Control(func(fd uintptr) { _, _ = syscall.Read(int(fd), make([]byte, 1)) }))
	}
	if w.earlier == "old edge" {
		edge()
	}
	var err error
	wait := background(func() { err = w.call(c) })
	<-g.parks
	if w.asks {
		expect(t, peer, "ask")
	}
	if w.earlier == "spurious wake-up" {
		edge()
		g.goOn <- struct{}{}
		<-g.parks
	}
	if w.waiting {
		g.goOn <- struct{}{}
		w.happens(c, peer)
	} else {
		w.happens(c, peer)
		noted(t)
		g.goOn <- struct{}{}
	}
	wait()
	return err
}

// Each thing that ends a wait, with each thing that may have happened earlier.
func TestNoWakeUpIsLost(t *testing.T) {
	// f runs all trials of a call; want says what it gets of each thing that happens.
	f := func(name string, asks bool, want map[string]error, call func(c *Conn) error) {
		t.Helper()
		for what, happens := range happenings(t) {
			for _, earlier := range []string{"", "old edge", "spurious wake-up"} {
				for _, waiting := range []bool{false, true} {
					err := trial{call, asks, earlier, happens, waiting}.run(t)
					if !errors.Is(err, want[what]) {
						t.Errorf("%s, %s, then %s (waiting: %v): got %v, want %v", name, earlier, what, waiting, err, want[what])
					}
				}
			}
		}
	}
	timeout := os.ErrDeadlineExceeded
	f("await", false, map[string]error{"deadline": timeout, "interrupt": timeout, "our close": net.ErrClosed},
		func(c *Conn) error { return c.Await(long) })
	if netOnly {
		return // the net package waits in its own way
	}
	want := map[string]error{
		"half-close": io.EOF, "close": io.EOF, "reset": syscall.ECONNRESET,
		"deadline": timeout, "interrupt": timeout, "our close": net.ErrClosed,
	}
	pool := NewPool(8)
	f("read", false, want, func(c *Conn) error { _, err := c.Read(make([]byte, 8), long); return err })
	f("receive", false, want, func(c *Conn) error { _, _, err := c.Receive(pool, long); return err })
	f("exchange", true, want, func(c *Conn) error {
		_, _, sent, err := c.Exchange([]byte("ask"), pool, long, long)
		if !sent {
			t.Error("it was not sent")
		}
		return err
	})
}

func happenings(t *testing.T) map[string]func(c *Conn, peer net.Conn) {
	return map[string]func(c *Conn, peer net.Conn){
		"bytes":      func(_ *Conn, peer net.Conn) { send(t, peer, "x") },
		"half-close": func(_ *Conn, peer net.Conn) { halfClose(t, peer) },
		"close":      func(_ *Conn, peer net.Conn) { must(t, peer.Close()) },
		"reset":      func(_ *Conn, peer net.Conn) { reset(t, peer) },
		"deadline":   func(c *Conn, _ net.Conn) { must(t, c.nc.SetReadDeadline(past)) },
		"interrupt":  func(c *Conn, _ net.Conn) { c.Interrupt() },
		"our close": func(c *Conn, _ net.Conn) { // Close itself returns when the other call has
			go c.Close()
			for !c.Stale() {
				runtime.Gosched()
			}
		},
	}
}
