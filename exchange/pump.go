package exchange

import (
	"time"

	"l7/http1"
	"l7/socket"
)

// pump passes a body on: from a Source to a connection, in few writes, and none of it held back while more is waited for.
type pump struct {
	src      *Source
	dst      *socket.Conn
	limit    time.Duration // longest time without progress in writing
	chunked  bool          // frame what goes out
	trailers http1.Kinds   // the trailers to pass on
	pool     *socket.Pool  // for what is framed anew
	large    *socket.Pool  // for a fast body that passes as it comes; see Source.Hurry
	written  int64         // bytes of the body, without framing
	began    bool          // something may have gone out
	keeper   *Exchange     // keeps a copy of what is written; nil: nobody

	readErr  error // which side failed: at most one of them is set
	writeErr error
}

// maxSizeLine is the longest line that starts a chunk of ours.
const maxSizeLine = 16 + 2

// run passes the whole body on. head is written before it, together with the first part where both fit.
func (p *pump) run(head []byte) error {
	if p.chunked || p.src.framing == http1.BodyChunked {
		return p.framed(head)
	}
	return p.direct(head)
}

// direct passes bytes on as they came.
func (p *pump) direct(head []byte) error {
	p.src.Hurry(p.large)
	for {
		run, err := p.src.Take()
		if err != nil {
			return p.failedRead(err)
		}
		if err := p.put(head, run); err != nil {
			return err
		}
		head = nil
		if p.src.Done() {
			return nil
		}
		if err := p.src.Fill(); err != nil {
			return p.failedRead(err)
		}
	}
}

func (p *pump) put(head, run []byte) error {
	p.written += int64(len(run))
	if len(head) == 0 {
		return p.write(run)
	}
	if len(run) == 0 {
		return p.write(head)
	}
	b := p.pool.Get()
	defer p.pool.Put(b)
	if len(head)+len(run) > len(b.All()) {
		if err := p.write(head); err != nil {
			return err
		}
		return p.write(run)
	}
	out := append(append(b.All()[:0], head...), run...)
	return p.write(out)
}

func (p *pump) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	p.began = true
	if p.keeper != nil {
		p.keeper.keep(b)
	}
	if err := p.dst.Write(b, p.limit); err != nil {
		p.writeErr = err
		return err
	}
	return nil
}

func (p *pump) failedRead(err error) error {
	p.readErr = err
	return err
}

// framed passes a body on that is framed anew, or that comes in chunks and goes without.
func (p *pump) framed(head []byte) error {
	for room := socket.Headroom; ; room = maxSizeLine { // then leaves space behind a full buffer for what ends a chunk
		if err := p.frame(head, room); err != nil || p.src.Done() {
			return err
		}
		head = nil
		if err := p.src.Fill(); err != nil {
			return p.failedRead(err)
		}
	}
}

// frame writes head and, as one chunk, what has arrived. It holds a buffer no longer than that: a stream can be silent for long.
func (p *pump) frame(head []byte, room int) error {
	b := p.pool.Get()
	defer p.pool.Put(b)
	out, start, err := p.collect(b.All()[:room])
	if err != nil {
		return p.failedRead(err)
	}
	if len(head) <= start {
		start -= len(head)
		copy(out[start:], head)
	} else if err := p.write(head); err != nil {
		return err
	}
	return p.write(out[start:])
}

// collect appends what is ahead, framed, to out, whose bytes are room for what has to stand before it.
// The result counts from start.
func (p *pump) collect(out []byte) (_ []byte, start int, err error) {
	start = len(out)
	for more := true; more; more = !p.src.Done() && len(p.src.Ahead()) > 0 {
		run, err := p.src.Take()
		if err != nil {
			return nil, 0, err
		}
		out = append(out, run...)
	}
	size := len(out) - start
	p.written += int64(size)
	if !p.chunked {
		return out, start, nil
	}
	if size > 0 {
		var memory [maxSizeLine]byte
		line := http1.AppendChunkSize(memory[:0], size)
		start -= len(line)
		copy(out[start:], line)
		out = append(out, "\r\n"...)
	}
	if p.src.Done() {
		out = p.appendEnd(out)
	}
	return out, start, nil
}

// appendEnd appends the last chunk and the trailers that may go on.
func (p *pump) appendEnd(out []byte) []byte {
	out = append(out, "0\r\n"...)
	if p.trailers != 0 {
		raw, fields := p.src.Trailers()
		out = http1.AppendFields(out, raw, fields, ^p.trailers)
	}
	return append(out, "\r\n"...)
}

// AppendReceived appends to out as much of a body as has been received already, framed in chunks if chunked is true, up to about
// most bytes. When that is all of it, the last chunk follows with the trailers that go on.
func AppendReceived(out []byte, src *Source, chunked bool, trailers http1.Kinds, most int) ([]byte, error) {
	if src.framing == http1.BodyNone {
		return out, nil
	}
	for !src.Done() && len(src.Ahead()) > 0 && len(out) < most {
		run, err := src.Take()
		if err != nil {
			return out, err
		}
		if chunked && len(run) > 0 {
			out = http1.AppendChunkSize(out, len(run))
		}
		out = append(out, run...)
		if chunked && len(run) > 0 {
			out = append(out, "\r\n"...)
		}
	}
	if chunked && src.Done() {
		p := pump{src: src, trailers: trailers}
		out = p.appendEnd(out)
	}
	return out, nil
}
