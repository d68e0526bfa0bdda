//go:build linux && !race

package socket

import "time"

// Exchange writes out and then receives the first bytes of what comes back, as Receive does. ErrStale says that the
// connection had bytes or an end to read before anything was written: nothing was, and the connection is of no use.
// sent is false when the write failed or did not finish; the error is then the write's.
//
// It saves two things. The check and the write happen inside the runtime's read section, one lock for all. And the
// read that would find nothing, because the other side has not answered yet, is left out. BenchmarkExchange shows
// what that is worth.
func (c *Conn) Exchange(out []byte, pool *Pool, writeLimit, readLimit time.Duration) (b *Buffer, n int, sent bool, err error) {
	if c.raw == nil {
		return c.exchangePlain(out, pool, writeLimit, readLimit)
	}
	c.readBy.arm(readLimit)
	c.in.first, c.in.pool, c.in.asked, c.in.stale, c.in.sent = out, pool, false, false, 0
	err = c.raw.Read(c.in.exchange)
	rest := out[c.in.sent:]
	c.in.first = nil
	switch {
	case c.in.stale:
		return nil, 0, false, ErrStale
	case !c.in.asked && IsTimeout(err) && !c.readBy.interrupted(): // held up since arm beyond the whole readLimit
		return c.exchangePlain(out, pool, writeLimit, readLimit)
	case !c.in.asked: // closed or interrupted: nothing was done
		return nil, 0, false, err
	case len(rest) > 0:
		return c.finishExchange(rest, pool, writeLimit, readLimit)
	}
	b, n, err = c.received(err)
	return b, n, true, err
}

// exchangeReady writes the first time that it is called, and reads from then on.
//
// No wake-up is lost by waiting without a read. The runtime forgets an earlier readiness before the first call and not
// after it, and the kernel reports each arrival (bytes, end, reset) anew once it can be read. So what comes before the
// peek is seen by the peek; what comes after it is reported after the forgetting, and stays noted until a wait takes it,
// which a read follows. A late report of something older costs one read that finds nothing, and then the wait goes on.
// A deadline that passes takes no note away and stays in force; what arrived with it is found by the next operation,
// which looks at the socket before it waits. TestNoWakeUpIsLost puts these in order, TestHuntLostWakeUps does not.
func (c *Conn) exchangeReady(fd uintptr) bool {
	if c.in.asked {
		return c.receiveReady(fd)
	}
	if peek(fd) != silent {
		c.in.stale = true
		return true
	}
	c.in.asked = true
	c.in.sent, _ = rawWrite(fd, c.in.first) // a failure shows again in the write that follows
	return c.in.sent < len(c.in.first)      // the rest is written outside, where it may wait
}
