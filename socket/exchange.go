package socket

import (
	"errors"
	"time"
)

// ErrStale says that an idle connection has been closed by the other side, or has bytes on it that nobody asked for.
var ErrStale = errors.New("the idle connection is closed or has unexpected bytes on it")

func (c *Conn) exchangePlain(out []byte, pool *Pool, writeLimit, readLimit time.Duration) (b *Buffer, n int, sent bool, err error) {
	if c.Stale() {
		return nil, 0, false, ErrStale
	}
	return c.finishExchange(out, pool, writeLimit, readLimit)
}

func (c *Conn) finishExchange(out []byte, pool *Pool, writeLimit, readLimit time.Duration) (b *Buffer, n int, sent bool, err error) {
	if err := c.Write(out, writeLimit); err != nil {
		return nil, 0, false, err
	}
	b, n, err = c.Receive(pool, readLimit)
	return b, n, true, err
}
