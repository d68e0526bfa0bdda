package exchange

import (
	"bytes"
	"errors"
	"time"

	"l7/http1"
	"l7/socket"
)

// watchAfter is how long a server is waited for before the client is watched as well: most answers come sooner, and
// watching costs a goroutine.
const watchAfter = 50 * time.Millisecond

// continueAfter is how long a server that was asked for 100 (Continue) may be silent before the body is sent all the same
// (RFC 9110 section 10.1.1).
const continueAfter = time.Second

// uploadCheck is how long it may take to notice that a request's body has been sent, after which the client is watched.
const uploadCheck = 200 * time.Millisecond

// maxInterim is how many 1xx responses may come before the final one.
const maxInterim = 32

// Errors that no connection reports.
var (
	errUnasked  = errors.New("the server switched protocols although nobody asked for it")
	errInterims = errors.New("the server sent too many 1xx responses")
)

// roundTrip sends the request and reads the response up to the end of its head.
func (x *Exchange) roundTrip() error {
	x.Response.Reset()
	x.n = 0
	x.upload.reset(x.whole)
	x.headStarted = time.Time{}
	if err := x.send(); err != nil {
		return err
	}
	for range maxInterim {
		if err := x.readHead(); err != nil {
			return err
		}
		if x.Response.Status >= 200 || x.Response.Status == 101 {
			return x.begin()
		}
		if err := x.interim(); err != nil {
			return err
		}
	}
	return errInterims
}

// send sends what there is of the request, and receives the first bytes of the response when that was all of it.
func (x *Exchange) send() error {
	if x.upload.complete {
		return x.exchange()
	}
	if x.conn.Stale() {
		return socket.ErrStale
	}
	out := x.Out
	if x.Expect {
		out = out[:x.Head]
	}
	x.wrote = true
	if err := x.conn.Write(out, x.Timeouts.Write); err != nil {
		return err
	}
	if !x.Expect {
		x.upload.start(x)
	}
	return nil
}

func (x *Exchange) exchange() error {
	limit := x.Timeouts.ResponseHeader
	b, n, sent, err := x.conn.Exchange(x.Out, x.server.pools.head, x.Timeouts.Write, x.firstWait(limit))
	x.wrote = x.wrote || err != socket.ErrStale //nolint:errorlint // returned as it is
	if sent && socket.IsTimeout(err) && x.waitsOn(limit) {
		b, n, err = x.receiveWatching(x.server.pools.head, limit)
	}
	if err != nil {
		return err
	}
	x.buf, x.n, x.heard = b, n, true
	return nil
}

// firstWait is how long the first wait for the server is: not longer than until the client has to be watched.
func (x *Exchange) firstWait(limit time.Duration) time.Duration {
	if x.watch.running || limit > 0 && limit <= watchAfter {
		return limit
	}
	return watchAfter
}

// waitsOn is true when there is more to wait after the first wait.
func (x *Exchange) waitsOn(limit time.Duration) bool {
	return x.upload.running || x.firstWait(limit) != limit
}

// Receive receives from the server for the response's body, and watches the client when that takes longer.
func (x *Exchange) Receive(pool *socket.Pool, limit time.Duration) (*socket.Buffer, int, error) {
	b, n, err := x.conn.Receive(pool, x.firstWait(limit))
	if socket.IsTimeout(err) && x.waitsOn(limit) {
		return x.receiveWatching(pool, limit)
	}
	return b, n, err
}

// receiveWatching goes on waiting. While the request's body is still on its way the server may be silent as long as it likes; the limit
// counts from its end; when neither side says anything the upload ends it, see upload.send. A client whose body is read need not be watched.
func (x *Exchange) receiveWatching(pool *socket.Pool, limit time.Duration) (*socket.Buffer, int, error) {
	x.upload.waiting.Store(int64(time.Since(epoch)))
	defer x.upload.waiting.Store(0)
	for {
		sending, wait := x.upload.sending(), uploadCheck
		if !sending {
			wait = limit
			x.watch.start(x)
			x.headStarted = time.Now() // of a head; it is asked for no more in a body
		}
		b, n, err := x.conn.Receive(pool, wait)
		if !socket.IsTimeout(err) || !sending || x.conn.Interrupted() || x.upload.fatal() {
			return b, n, err
		}
	}
}

// readHead reads on until the head of a response is complete.
func (x *Exchange) readHead() error {
	for {
		if x.n > 0 {
			n, err := x.Response.Parse(x.buf.Bytes()[:x.n], x.Limits)
			if n > 0 || err != nil {
				return err
			}
		}
		if err := x.readMore(); err != nil {
			return err
		}
	}
}

// readMore appends to what has been received of a head.
func (x *Exchange) readMore() error {
	if x.n == 0 {
		x.freeBuffer()
		b, n, err := x.receiveHead()
		if err != nil {
			return err
		}
		x.buf, x.n, x.heard = b, n, true
		return nil
	}
	if x.n == len(x.buf.Bytes()) {
		x.grow()
	}
	n, err := x.readWatching(x.buf.Bytes()[x.n:], x.headLimit())
	x.n += n
	return err
}

// readWatching reads from the server, and watches the client when that takes longer, as Receive does.
func (x *Exchange) readWatching(p []byte, limit time.Duration) (int, error) {
	first := x.firstWait(limit)
	n, err := x.conn.Read(p, first)
	if !socket.IsTimeout(err) || first == limit || x.upload.failed() {
		return n, err
	}
	if !x.upload.running {
		x.watch.start(x)
	}
	return x.conn.Read(p, limit)
}

// headLimit is how long the rest of a head may take: from its first byte it is bounded as a whole.
func (x *Exchange) headLimit() time.Duration {
	limit := x.Timeouts.ResponseHeader
	switch {
	case limit <= 0:
		return 0
	case x.headStarted.IsZero():
		x.headStarted = time.Now()
	}
	return max(limit-time.Since(x.headStarted), time.Millisecond)
}

// receiveHead waits for the first bytes of a head.
func (x *Exchange) receiveHead() (*socket.Buffer, int, error) {
	if !x.Expect || x.upload.begun {
		return x.Receive(x.server.pools.head, x.Timeouts.ResponseHeader)
	}
	b, n, err := x.Receive(x.server.pools.head, continueAfter)
	if socket.IsTimeout(err) && !x.conn.Interrupted() {
		x.informed = true
		if err := x.Client.Interim(nil); err != nil {
			return nil, 0, clientError{err}
		}
		x.upload.start(x)
		return x.Receive(x.server.pools.head, x.Timeouts.ResponseHeader)
	}
	return b, n, err
}

// grow makes room for a head that is larger than the usual buffer.
func (x *Exchange) grow() {
	larger := socket.NewBuffer(2 * len(x.buf.Bytes()))
	copy(larger.Bytes(), x.buf.Bytes()[:x.n])
	x.buf = larger
}

// interim deals with a 1xx response and moves what follows it to the front.
func (x *Exchange) interim() error {
	if x.Response.Status == 100 && x.Expect && !x.upload.begun {
		x.upload.start(x)
	}
	x.informed = true
	if err := x.Client.Interim(&x.Response); err != nil {
		return clientError{err}
	}
	used := len(x.Response.Bytes())
	x.n = copy(x.buf.Bytes(), x.buf.Bytes()[used:x.n])
	x.Response.Reset()
	x.headStarted = time.Time{}
	return nil
}

// begin makes the response's body ready to be passed on.
func (x *Exchange) begin() error {
	head := len(x.Response.Bytes())
	ahead := x.buf.Bytes()[head:x.n]
	if x.Response.Status == 101 {
		return x.switched(ahead)
	}
	framing := x.Response.Body(x.Method)
	x.source.Start(x, x.server.pools.body, Incoming{
		Framing: framing, Length: x.Response.ContentLength, Ahead: ahead, Silence: x.Timeouts.Response,
	})
	x.Continues = x.upload.continues(&x.Response, framing)
	if x.upload.begun {
		x.upload.answered.Store(true)
	}
	return nil
}

// switched checks that the server has switched to what the client asked for (RFC 9110 section 7.8).
func (x *Exchange) switched(ahead []byte) error {
	if x.Upgrade == nil || !bytes.EqualFold(x.Response.Upgrade(), x.Upgrade) {
		return errUnasked
	}
	x.tunneled = true
	x.source.Start(x, x.server.pools.body, Incoming{Framing: http1.BodyClose, Ahead: ahead, Silence: x.Timeouts.Tunnel})
	return nil
}
