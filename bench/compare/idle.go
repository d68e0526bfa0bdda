//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

const (
	memWorkers    = 64    // requests of -mem at the same time
	perSourceAddr = 20000 // connections from one address: fewer than it has ports
)

// idleResult is the resident memory of a contestant in bytes.
type idleResult struct {
	Contestant  string  `json:"contestant"`
	Connections int     `json:"connections"`
	Before      int64   `json:"before"` // without connections
	Small       int64   `json:"after_small"`
	Large       int64   `json:"after_large"`
	Head        int     `json:"head_bytes"` // request head of the large traffic
	PerSmall    float64 `json:"per_connection_small"`
	PerLarge    float64 `json:"per_connection_large"`
}

// measureIdle measures, one contestant after the other, what an idle keep-alive connection keeps in memory: after one small
// request, and after large traffic has passed through it.
func (l *lab) measureIdle(ctx context.Context, o options, field []*contestant, w io.Writer) (any, error) {
	if err := raiseFiles(uint64(filesFor(o.idle))); err != nil {
		return nil, err
	}
	origin, err := l.startFiles(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(w, "\nRSS with %d idle connections, MiB; and per connection, KiB: after a small request each, and after 1 MiB down and a large head each\n", o.idle)
	fmt.Fprintf(w, "%-10s %8s %8s %8s %12s %12s %10s\n", "", "before", "small", "large", "KiB small", "KiB large", "head KiB")
	var (
		results []idleResult
		failed  []error
	)
	for _, c := range field {
		r, err := l.idleOf(ctx, o, c, origin)
		if ctx.Err() != nil {
			return results, context.Cause(ctx)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("-mem, %s: %w", c.name, err))
			continue
		}
		results = append(results, r)
		fmt.Fprintf(w, "%-10s %8.1f %8.1f %8.1f %12.2f %12.2f %10d\n", r.Contestant, mib(r.Before), mib(r.Small), mib(r.Large),
			r.PerSmall/1024, r.PerLarge/1024, r.Head>>10)
	}
	return results, errors.Join(failed...)
}

func (l *lab) idleOf(ctx context.Context, o options, c *contestant, origin string) (r idleResult, err error) {
	i, err := l.launch(ctx, c, setup{origin: origin, connections: o.idle, forwarding: o.forwarding})
	if err != nil {
		return r, err
	}
	defer i.stop()
	r = idleResult{Contestant: c.name, Connections: o.idle, Head: c.maxHead}
	f := newFleet(i.addr, memWorkers)
	small, large := get("/100", 0), get("/1048576", c.maxHead)
	// As many requests at a time as later, so that the pools of server connections do not count for the clients'.
	err = f.each(ctx, small, tinyFile)
	f.close()
	if err == nil {
		r.Before, err = i.restingRSS(ctx, o.settle)
	}
	f = newFleet(i.addr, o.idle)
	defer f.close()
	steps := []func() error{
		func() error { return f.each(ctx, small, tinyFile) },
		func() (err error) { r.Small, err = i.restingRSS(ctx, o.settle); return err },
		func() error { return f.each(ctx, large, hugeFile) },
		func() (err error) { r.Large, err = i.restingRSS(ctx, o.settle); return err },
		func() error { return f.each(ctx, small, tinyFile) }, // proves that none was closed meanwhile
	}
	for _, step := range steps {
		if err == nil {
			err = step()
		}
	}
	if ended := i.check(); ended != nil {
		err = errors.Join(ended, err)
	}
	r.PerSmall = float64(r.Small-r.Before) / float64(o.idle)
	r.PerLarge = float64(r.Large-r.Before) / float64(o.idle)
	return r, err
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// fleet is a number of client connections, opened when first used and never again.
type fleet struct {
	addr  string
	conns []net.Conn
}

func newFleet(addr string, size int) *fleet { return &fleet{addr, make([]net.Conn, size)} }

// each makes one request on each connection.
func (f *fleet) each(ctx context.Context, request []byte, size int64) error {
	var (
		next   atomic.Int64
		group  sync.WaitGroup
		failed = make(chan error, memWorkers)
	)
	for range memWorkers {
		group.Go(func() {
			buf := make([]byte, 64<<10)
			for {
				n := int(next.Add(1)) - 1
				if n >= len(f.conns) || ctx.Err() != nil {
					return
				}
				if err := f.use(n, request, buf, size); err != nil {
					failed <- fmt.Errorf("connection %d of %d: %w", n+1, len(f.conns), err)
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return errOf(<-failed, context.Cause(ctx))
}

func (f *fleet) use(n int, request, buf []byte, size int64) error {
	if f.conns[n] == nil {
		from := net.IPv4(127, 0, 0, byte(1+n/perSourceAddr))
		// Without keep-alive probes: thousands at the same moment overflow the loopback, and connections die of it.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: clientTimeout, KeepAlive: -1}
		conn, err := d.Dial("tcp", f.addr)
		if err != nil {
			return err
		}
		f.conns[n] = conn
	}
	return roundTrip(f.conns[n], request, buf, size, nil)
}

// close resets the connections, so that they leave nothing behind in the system.
func (f *fleet) close() {
	for n, conn := range f.conns {
		if conn == nil {
			continue
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // a connection that is closed already needs none
		_ = conn.Close()
		f.conns[n] = nil
	}
}
