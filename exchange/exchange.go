// Package exchange does one HTTP/1.1 exchange with one server: it keeps the connections to it, sends a
// request, reads the response and passes both bodies on as they come.
//
// It picks nothing, waits for nothing to become free and never sends a request twice, but for one case that no
// server can tell: a kept connection that turns out to be closed is replaced by a fresh one.
package exchange

import (
	"net"
	"sync/atomic"
	"time"

	"l7/http1"
	"l7/socket"
)

// Client is who asked, as far as an exchange has to deal with it.
type Client interface {
	// Interim passes on a 1xx response other than 101. It is called before Do returns.
	Interim(response *http1.Response) error
	// Conn is the client's connection. An exchange reads it for the request's body and to notice that it is gone.
	Conn() *socket.Conn
	// Ends are the addresses of the client and of what it connected to, as far as a PROXY header can tell them.
	Ends() (source, target net.Addr)
}

// Timeouts bound the parts of an exchange; each is the longest silence that is waited for. Zero means no bound.
type Timeouts struct {
	Connect        time.Duration // until a connection stands
	Write          time.Duration // without progress in sending to the server or the client
	ResponseHeader time.Duration // from the end of the request to the end of the response's head
	Response       time.Duration // between two parts of the response's body
	Tunnel         time.Duration // in both directions of an upgraded connection
}

// Caps bound what may be open to a server. Zero means no bound.
type Caps struct {
	Connections int // in use and idle; one more is refused with cause.Full, and nothing is sent
	Idle        int // that are kept while unused
}

// Account is told how an exchange ends.
type Account interface {
	// Ended is called once for each Do that returned nil, when the last byte of the response has been passed on or
	// nothing more will be. It must not wait.
	Ended()
}

// Exchange is one request on its way and the response to it. It is used for one request after another by the
// goroutine that serves the client. The exported fields above the line are the caller's to set before Do;
// those below are left by Do, and valid until Finish.
type Exchange struct {
	Out        []byte      // the head to send, and behind it as much of the body, framed, as has arrived
	Head       int         // how much of Out is the head
	Body       *Source     // the rest of the request's body; Done when there is none
	Chunked    bool        // the request's body goes out in chunks
	Trailers   http1.Kinds // of the request that are passed on; none: it may have no trailers
	Method     []byte      // of the request
	Keep       int         // how much of the body is kept for another attempt, beside what is in Out
	Repeatable bool        // the request may be sent again although a server may have acted on it
	Expect     bool        // the server is asked for 100 (Continue) before any of the body is sent
	Upgrade    []byte      // the protocol that the request asks to switch to; nil: none
	Client     Client      // who asked
	Timeouts   Timeouts    // in force for this request
	Limits     http1.Limits
	Caps       Caps    // of the server that is asked
	Account    Account // of who asks it; nil: none

	// ---

	Response   http1.Response // the head of the final response, or of 101
	Connecting time.Duration  // how long connecting took; zero on a kept connection
	Continues  bool           // the request's body has been sent, or the rest of it will be

	server      *Server
	conn        *serverConn
	buf         *socket.Buffer // holds the response's head and what came with it
	n           int            // bytes in buf
	headStarted time.Time      // when a head that came in pieces began
	source      Source         // the response's body
	pump        pump
	busy        bool // from Do to Finish
	whole       bool // Out holds the whole request
	spilled     bool // something was sent that Out does not hold
	informed    bool // the client has got a 1xx response
	wrote       bool // some of the request may have reached the server
	heard       bool // some of a response has come
	upload      upload
	watch       watch
	cutShort    bool // the response was not passed on to its end
	tunneled    bool
	gone        atomic.Bool // the client has reset its connection
}

// New returns an Exchange that is ready for its first request.
func New() *Exchange { return &Exchange{} }

// Server is who was asked last; nil when nobody was.
func (x *Exchange) Server() *Server { return x.server }

// Reset makes the Exchange ready for the next request.
func (x *Exchange) Reset() {
	x.server, x.conn = nil, nil
	x.Body, x.Method, x.Upgrade, x.Client, x.Account = nil, nil, nil, nil, nil
	x.wrote, x.spilled, x.informed = false, false, false
	x.Connecting = 0
	if x.gone.Load() { // a store that every CPU has to see costs ten times as much as a look
		x.gone.Store(false)
	}
}

// Wrote is true when some of the request may have reached a server.
func (x *Exchange) Wrote() bool { return x.wrote }

// FinishUpload waits until the rest of the request's body has been sent, if the server takes it (see Continues). It ends
// when either side fails, or makes no progress.
func (x *Exchange) FinishUpload() {
	if x.Continues && x.upload.sending() {
		x.upload.answered.Store(false) // from now on the client alone is waited for
		x.upload.join()
	}
}

// Finish ends the exchange: the connection goes back to the pool if it is fit for it, and the server has one request
// less in flight. It must be called once after each Do that returned nil.
func (x *Exchange) Finish() {
	x.busy = false
	x.upload.stop(x)
	x.watch.stop(x)
	if x.reusable() {
		x.server.release(x)
	} else {
		_ = x.conn.Close() // there is nobody to tell
	}
	x.conn = nil
	x.freeBuffer()
	x.source.Release()
	x.ended()
}

// Abort ends an exchange that may be under way, for a caller that has lost its way. Its connection is closed.
func (x *Exchange) Abort() {
	if !x.busy {
		return
	}
	x.busy = false
	x.abandon()
	x.source.Release()
	x.ended()
}

func (x *Exchange) ended() {
	x.server.inFlight.Add(-1)
	if x.Account != nil {
		x.Account.Ended()
	}
}

// reusable is true when nothing of this exchange can come on the connection any more.
func (x *Exchange) reusable() bool {
	return !x.cutShort && !x.tunneled && x.source.Done() && len(x.source.Ahead()) == 0 &&
		x.source.framing != http1.BodyClose && x.Response.Persistent() && x.upload.complete && !x.gone.Load()
}

// abandon ends an attempt that failed.
func (x *Exchange) abandon() {
	x.upload.stop(x)
	x.watch.stop(x)
	if x.conn != nil {
		_ = x.conn.Close() // it is of no use either way
		x.conn = nil
	}
	x.freeBuffer()
}

func (x *Exchange) freeBuffer() {
	if x.buf != nil {
		x.server.pools.head.Put(x.buf)
		x.buf = nil
	}
}
