package exchange

import (
	"errors"
	"io"
	"time"

	"l7/http1"
	"l7/socket"
)

// ErrTooLarge says that a body is over its limit.
var ErrTooLarge = errors.New("the body is over its limit")

// Source is a message's body as it comes in. It reads no byte behind the body that did not come together with it.
type Source struct {
	from    receiver
	pool    *socket.Pool
	large   *socket.Pool   // see Hurry; nil: none
	buf     *socket.Buffer // what ahead is part of; nil: memory of somebody else
	bufPool *socket.Pool   // where buf belongs
	full    bool           // the last receipt filled its buffer
	ahead   []byte         // received and not taken yet
	framing http1.Framing
	left    int64 // of a body of known length
	chunks  http1.Chunked
	limit   time.Duration // longest silence
	size    int64         // taken so far
	max     int64         // refused beyond; 0: no limit
	done    bool
}

// receiver is where a Source gets its bytes from.
type receiver interface {
	Receive(pool *socket.Pool, limit time.Duration) (*socket.Buffer, int, error)
}

// Incoming is what is known of a body when its message's head has been read.
type Incoming struct {
	Framing http1.Framing
	Length  int64         // of http1.BodyLength
	Ahead   []byte        // what has come with the head; it stays the caller's memory
	Silence time.Duration // the longest that is waited for; zero is for ever
	Limit   int64         // bytes; more are refused with ErrTooLarge; zero is no limit
}

// Start begins a body, the rest of which will be received from there into buffers of the pool.
func (s *Source) Start(from receiver, pool *socket.Pool, in Incoming) {
	s.Release()
	s.from, s.pool, s.large, s.full = from, pool, nil, false
	s.framing, s.left, s.ahead, s.limit = in.Framing, in.Length, in.Ahead, in.Silence
	s.size, s.max = 0, in.Limit
	s.chunks.Reset()
	s.done = in.Framing == http1.BodyNone || in.Framing == http1.BodyLength && in.Length == 0
}

// Done is true when the body has been taken to its end.
func (s *Source) Done() bool { return s.done }

// Size is how many bytes of the body have been taken.
func (s *Source) Size() int64 { return s.size }

// Ahead is what has been received behind what was taken: once Done, what follows the body.
func (s *Source) Ahead() []byte { return s.ahead }

// Trailers are the trailer fields of a chunked body that is Done.
func (s *Source) Trailers() ([]byte, []http1.Field) { return s.chunks.Trailers() }

// Release gives back memory. What Ahead returned is not valid any more.
func (s *Source) Release() {
	s.free()
	s.ahead = nil
}

func (s *Source) free() {
	if s.buf != nil {
		s.bufPool.Put(s.buf)
		s.buf = nil
	}
}

// Hurry has a body that comes faster than the usual buffers can take received into larger ones.
func (s *Source) Hurry(large *socket.Pool) { s.large = large }

// Adopt returns the buffer that holds Ahead, which is the caller's from now on, and nil where it was the caller's already.
func (s *Source) Adopt() *socket.Buffer {
	b := s.buf
	s.buf = nil
	return b
}

// Take returns the next run of the body out of what has been received. It is empty when Fill is needed first, or at the end.
func (s *Source) Take() ([]byte, error) {
	var run []byte
	var err error
	switch s.framing {
	case http1.BodyLength:
		run = s.ahead[:min(int64(len(s.ahead)), s.left)]
		s.ahead = s.ahead[len(run):]
		s.left -= int64(len(run))
		s.done = s.left == 0
	case http1.BodyChunked:
		run, err = s.takeChunk()
	case http1.BodyClose:
		run, s.ahead = s.ahead, nil
	case http1.BodyNone:
	}
	s.size += int64(len(run))
	if s.max > 0 && s.size > s.max {
		return nil, ErrTooLarge
	}
	return run, err
}

func (s *Source) takeChunk() ([]byte, error) {
	if s.done {
		return nil, nil
	}
	run, n, done, err := s.chunks.Next(s.ahead)
	s.ahead = s.ahead[n:]
	s.done = done
	return run, err
}

// Fill receives more. Nothing may be ahead. The error is io.ErrUnexpectedEOF where the body was cut off.
func (s *Source) Fill() error {
	s.free()
	s.bufPool = s.pool
	if s.full && s.large != nil {
		s.bufPool = s.large
	}
	b, n, err := s.from.Receive(s.bufPool, s.limit)
	switch {
	case err == nil:
		s.buf, s.ahead = b, b.Bytes()[:n]
		s.full = n == s.bufPool.Size()
		return nil
	case !errors.Is(err, io.EOF):
		return err
	case s.framing == http1.BodyClose:
		s.done = true
		return nil
	}
	return io.ErrUnexpectedEOF
}
