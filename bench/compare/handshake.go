//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// handshakes opens connections one after another, many at a time, does a handshake on each and closes it.
type handshakes struct {
	addr   string
	config *tls.Config
	resume bool

	done atomic.Int64
}

// shakeHands measures handshakes: full ones, or such as resume a session. The client's work does not count, as that of wrk does not.
func (i *instance) shakeHands(ctx context.Context, resume bool, o options) (got sample, err error) {
	h := &handshakes{addr: i.addr, config: i.secure.client(nil), resume: resume}
	if resume {
		h.config = i.secure.client(tls.NewLRUClientSessionCache(0))
		if err := h.prime(); err != nil {
			return got, err
		}
	}
	before, err := i.cpu()
	if err != nil {
		return got, err
	}
	began := time.Now()
	err = h.run(ctx, o)
	took := time.Since(began)
	after, failed := i.cpu()
	if err = errors.Join(err, failed, i.check()); err != nil {
		return got, err
	}
	n, cpu := h.done.Load(), after-before
	if n == 0 || cpu == 0 {
		return got, errors.New("the CPU time used is too short to be measured")
	}
	return sample{Requests: n, CPU: float64(cpu.Microseconds()) / float64(n), Rate: float64(n) / took.Seconds()}, nil
}

// prime fetches a session. It stays good for all that resume it: each brings new tickets, of which the last one is kept.
func (h *handshakes) prime() error {
	first := &handshakes{addr: h.addr, config: h.config}
	return first.one()
}

// run lets each of the connections that are open at the same time make one handshake after another.
func (h *handshakes) run(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	var (
		group  sync.WaitGroup
		failed = make(chan error, o.connections)
	)
	for range o.connections {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := h.one(); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}

// one is a connection that says nothing but goodbye after its handshake. It ends when the server has ended it, so that all that belongs
// to it, the client's Finished and the tickets, is done within the measurement.
func (h *handshakes) one() error {
	plain, err := net.DialTimeout("tcp", h.addr, clientTimeout)
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := plain.SetDeadline(time.Now().Add(clientTimeout)); err != nil {
		return err
	}
	conn := tls.Client(plain, h.config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	state := conn.ConnectionState()
	if err := negotiated(state); err != nil {
		return err
	}
	if state.DidResume != h.resume {
		return fmt.Errorf("a session was resumed: %t, want %t", state.DidResume, h.resume)
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, conn); n > 0 || err != nil {
		return errOf(err, fmt.Errorf("%d bytes where the server should have closed", n))
	}
	h.done.Add(1)
	// A reset leaves no port behind that waits: there are tens of thousands.
	return plain.(*net.TCPConn).SetLinger(0)
}
