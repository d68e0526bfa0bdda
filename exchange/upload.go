package exchange

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"l7/http1"
	"l7/socket"
)

// upload sends the part of a request's body that had not arrived with the head. It runs beside the wait for the
// response, since a server may answer before it has seen all of the body.
type upload struct {
	pump     pump
	begun    bool // in this attempt
	running  bool // the goroutine was started and not joined
	complete bool // everything was sent; known once the goroutine was joined
	over     atomic.Bool
	answered atomic.Bool   // the response has begun, and is being passed on
	waiting  atomic.Int64  // since when the server is waited for, from epoch; 0: it is not
	patience time.Duration // how long it may be, once it has answered; 0: for ever
	err      error         // when over
	fault    error         // when over: a panic, which goes on in who joins
	done     chan struct{} // one token from each goroutine
}

// reset makes u ready for an attempt. whole is true when there is nothing to send beside what goes out with the head.
func (u *upload) reset(whole bool) {
	u.begun, u.complete = false, whole
	u.err, u.pump.readErr = nil, nil
}

// start sends the body from now on. The client is not watched meanwhile: it is read.
func (u *upload) start(x *Exchange) {
	x.watch.stop(x)
	if u.done == nil {
		u.done = make(chan struct{}, 1)
	}
	u.begun, u.running = true, true
	u.err, u.fault = nil, nil
	u.over.Store(false)
	u.answered.Store(false)
	u.patience = x.Timeouts.Response
	u.pump = pump{
		src: x.Body, dst: x.conn.Conn, limit: x.Timeouts.Write, chunked: x.Chunked, trailers: x.Trailers,
		pool: x.server.pools.body, large: x.server.pools.large, keeper: x,
	}
	var first []byte
	if x.Expect {
		x.spilled = true // what is in Out already would be kept twice
		first = x.Out[x.Head:]
	}
	go u.run(x.conn, first)
}

func (u *upload) run(c *serverConn, first []byte) {
	defer func() {
		if fault := recover(); fault != nil {
			u.fault = fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
			u.err = u.fault
		}
		u.over.Store(true)
		if u.fault != nil || u.pump.readErr != nil {
			c.Interrupt() // the server will not get what it may be waiting for
		}
		u.done <- struct{}{}
	}()
	u.err = u.send(first)
}

// send passes the body on. Once the server answers, the client may be silent as long as the server is not: it may be listening.
func (u *upload) send(first []byte) error {
	for {
		err := u.pump.run(first)
		if !socket.IsTimeout(u.pump.readErr) || !u.answered.Load() || u.isServerSilent() {
			return err
		}
		first, u.pump.readErr = nil, nil
	}
}

// isServerSilent is true when the server has been waited for as long as it may be. A response that waits for its client does not count.
func (u *upload) isServerSilent() bool {
	since := u.waiting.Load()
	return since > 0 && u.patience > 0 && time.Since(epoch)-time.Duration(since) >= u.patience
}

// sending is true while the goroutine is at work.
func (u *upload) sending() bool {
	u.settle()
	return u.running
}

// failed is true when the body could not be sent to its end.
func (u *upload) failed() bool { return !u.sending() && u.err != nil }

// fatal is true when the body could not be sent to its end, and a response is not to be had for that reason. A server that has
// begun to answer may go on, although it takes no more.
func (u *upload) fatal() bool { return u.failed() && (u.pump.readErr != nil || !u.answered.Load()) }

// failure is why the body could not be read; nil when it could, as far as is known.
func (u *upload) failure() error {
	if u.sending() {
		return nil
	}
	return u.pump.readErr
}

// continues is true when the body has been sent, or is being sent to a server that takes the rest of it: one that answers
// early and does not close reads on (RFC 9110 section 10.1.1).
func (u *upload) continues(response *http1.Response, framing http1.Framing) bool {
	return !u.sending() && u.complete || u.running && response.Persistent() && framing != http1.BodyClose
}

// settle joins a goroutine that is over. It does not wait for one that is not.
func (u *upload) settle() {
	if u.running && u.over.Load() {
		u.join()
	}
}

// join waits for the goroutine.
func (u *upload) join() {
	<-u.done
	u.running = false
	u.complete = u.err == nil
	if u.fault != nil {
		panic(u.fault)
	}
}

// stop ends what is still being sent. The connection to the server is of no use after it.
func (u *upload) stop(x *Exchange) {
	if !u.running {
		return
	}
	if u.over.Load() {
		<-u.done
		u.running, u.complete = false, u.err == nil
		return
	}
	u.answered.Store(false)
	client := x.Client.Conn()
	client.Interrupt()
	_ = x.conn.Close() // ends a write that waits; it cannot be kept in any case
	<-u.done
	u.running, u.complete, u.pump.readErr = false, false, nil
	client.Resume()
}
