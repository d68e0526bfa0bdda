package exchange

import (
	"errors"
	"fmt"

	"l7/cause"
	"l7/http1"
	"l7/socket"
)

// Relay writes head to the client and passes the response's body on behind it, in chunks if chunked is true, with the trailers
// of these kinds. The error is a *cause.Error; the client has then got a part at most, and must be cut off so that it can
// tell, unless Began is false.
func (x *Exchange) Relay(head []byte, chunked bool, trailers http1.Kinds) error {
	head, err := x.first(head, chunked)
	if err == nil && (len(head) > 0 || !x.source.Done()) {
		x.pump = pump{
			src: &x.source, dst: x.Client.Conn(), limit: x.Timeouts.Write, chunked: chunked, trailers: trailers,
			pool: x.server.pools.body, large: x.server.pools.large, written: x.pump.written, began: x.pump.began,
		}
		err = x.pump.run(head)
	}
	if err == nil {
		return nil
	}
	x.cutShort = true
	return x.relayFailed(err)
}

// first writes the head together with the part of the body that came with the server's head, in one write and without
// a copy: the head goes into the buffer, in front of that part. It returns what is left to write of the head.
func (x *Exchange) first(head []byte, chunked bool) ([]byte, error) {
	x.pump = pump{}
	if chunked || x.source.framing == http1.BodyChunked || x.source.buf != nil {
		return head, nil
	}
	run, err := x.source.Take()
	if err != nil {
		return nil, err
	}
	start := socket.Headroom + len(x.Response.Bytes()) - len(head)
	if start < 0 {
		head, run = append(head, run...), nil
	} else {
		all := x.buf.All()
		end := start + len(head) + len(run)
		copy(all[start:], head)
		head = all[start:end]
	}
	x.pump.written, x.pump.began = int64(len(run)), true
	if err := x.Client.Conn().Write(head, x.Timeouts.Write); err != nil {
		x.pump.writeErr = err
		return nil, err
	}
	return nil, nil
}

// Began is true when the client may have got some of the response. A body that is bad from its first bytes on is found
// out before.
func (x *Exchange) Began() bool { return x.pump.began }

// Written is how many bytes of the response's body have been passed on.
func (x *Exchange) Written() int64 { return x.pump.written }

func (x *Exchange) relayFailed(err error) *cause.Error {
	c := cause.ResponseCut
	var bad *http1.Error
	switch {
	case x.pump.writeErr != nil, x.gone.Load():
		c = cause.ClientGone
		if socket.IsTimeout(x.pump.writeErr) {
			c = cause.ClientTimeout
		}
	case x.upload.failure() != nil:
		c = BodyCause(x.upload.failure())
	case errors.As(err, &bad):
		c = cause.BadResponse
	case socket.IsTimeout(err) && !x.conn.Interrupted():
		c = cause.ServerTimeout
	}
	return &cause.Error{Cause: c, Err: fmt.Errorf("%s: %w", x.server.addr, err)}
}
