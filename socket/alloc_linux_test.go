//go:build linux && !race

package socket

import (
	"io"
	"testing"
	"time"
)

// A connection in use costs no memory: what is bound once stays bound, and buffers come back.
func TestNoAllocations(t *testing.T) {
	c, peer := pair(t)
	pool, three := NewPool(64), []byte("abc")
	p := make([]byte, 8)
	f := func(name string, do func() error) {
		t.Helper()
		var failed error
		if per := testing.AllocsPerRun(2000, func() {
			if err := do(); err != nil {
				failed = err
			}
		}); per > 0 || failed != nil {
			t.Errorf("%s: %v allocations each, error %v", name, per, failed)
		}
	}
	receive := func() error {
		b, _, err := c.Receive(pool, long)
		pool.Put(b)
		return err
	}
	write := func(to io.Writer) error { _, err := to.Write(three); return err }

	f("Write", func() error {
		defer func() { _, _ = peer.Read(p) }()
		return c.Write(three, time.Second)
	})
	f("Read", func() error {
		_ = write(peer)
		_, err := c.Read(p, time.Second)
		return err
	})
	f("Receive", func() error { _ = write(peer); return receive() })
	f("Await", func() error {
		_ = write(peer)
		if err := c.Await(time.Second); err != nil {
			return err
		}
		return receive()
	})
	f("Stale", func() error { c.Stale(); return nil })

	defer background(func() { _, _ = io.Copy(struct{ io.Writer }{peer}, struct{ io.Reader }{peer}) })()
	defer c.Close()
	f("Exchange", func() error {
		b, _, _, err := c.Exchange(three, pool, time.Second, time.Second)
		pool.Put(b)
		return err
	})
	f("Write and Receive", func() error {
		if err := c.Write(three, time.Second); err != nil {
			return err
		}
		return receive()
	})
}

func TestWatchAllocatesNothing(t *testing.T) {
	c, peer := pair(t)
	reset(t, peer)
	arrived(t, c)
	if per := testing.AllocsPerRun(100, func() { c.Watch() }); per > 0 {
		t.Errorf("%v allocations each", per)
	}
}

// A look at a kept TLS connection costs what one at a plain one does. It took three allocations.
func TestStaleUnderTLSAllocatesNothing(t *testing.T) {
	c, _, _ := keptPair(t)
	if per := testing.AllocsPerRun(1000, func() { c.Stale() }); per > 0 || c.Stale() {
		t.Errorf("%v allocations each", per)
	}
}
