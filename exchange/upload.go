package exchange

import (
	"sync/atomic"
	"time"
)

// upload sends the part of a request's body that had not arrived with the head. It runs beside the wait for the
// response, since a server may answer before it has seen all of the body.
type upload struct {
	pump     pump
	complete bool // everything was sent; known once the goroutine was joined
	running  bool // the goroutine was started and not joined
	over     atomic.Bool
	ended    time.Time     // when over
	err      error         // when over
	done     chan struct{} // one token from each goroutine
}

func (u *upload) start(x *Exchange) {
	if u.done == nil {
		u.done = make(chan struct{}, 1)
	}
	u.running = true
	u.err = nil
	u.over.Store(false)
	u.pump = pump{src: x.Body, dst: x.conn.Conn, limit: x.Timeouts.Write, chunked: x.Chunked, trailers: x.Trailers, pool: x.server.pools.body}
	var first []byte
	if x.Expect {
		first = x.Out[x.Head:]
	}
	go u.run(x.conn, first)
}

func (u *upload) run(c *serverConn, first []byte) {
	u.err = u.pump.run(first)
	u.ended = time.Now()
	u.over.Store(true)
	if u.pump.readErr != nil {
		c.Interrupt() // the server will not get what it may be waiting for
	}
	u.done <- struct{}{}
}

// finished is true when nothing is being sent.
func (u *upload) finished() bool { return !u.running || u.over.Load() }

// settle joins a goroutine that is over. It does not wait for one that is not.
func (u *upload) settle() {
	if u.running && u.over.Load() {
		<-u.done
		u.running = false
		u.complete = u.err == nil
	}
}

// stop ends what is still being sent and joins the goroutine. The connection to the server is of no use after it.
func (u *upload) stop(x *Exchange) {
	u.settle()
	if !u.running {
		return
	}
	client := x.Client.Conn()
	client.Interrupt()
	_ = x.conn.Close() // ends a write that waits; it cannot be kept in any case
	<-u.done
	u.running, u.complete = false, false
	client.Resume()
}
