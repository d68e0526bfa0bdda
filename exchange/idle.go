package exchange

import (
	"sync"
	"time"

	"l7/socket"
)

// serverConn is a connection to a server.
type serverConn struct {
	*socket.Conn
	since time.Time // when it became idle
	open  *openConns
}

// Close closes the connection, after which it counts no more.
func (c *serverConn) Close() error {
	c.open.remove(c)
	return c.Conn.Close()
}

// Reset closes the connection so that neither side has to remember it (TIME_WAIT); after it the connection counts no more.
func (c *serverConn) Reset() error {
	c.open.remove(c)
	return c.Conn.Reset()
}

// idleConns are the connections to one server that wait for a request. The one used last is taken first, so that
// in quiet times the others grow old and are closed.
type idleConns struct {
	mu      sync.Mutex // guards all below
	conns   []*serverConn
	limit   time.Duration // zero: for ever
	closed  bool
	sweeper *time.Timer // runs while there are connections and a limit
}

func (i *idleConns) keep(limit time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.limit = limit
	i.unwatch() // it may be set for a longer limit
	i.watch()
}

func (i *idleConns) len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.conns)
}

// take returns the connection that was used last, nil when there is none.
func (i *idleConns) take() *serverConn {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.conns) - 1
	if n < 0 {
		return nil
	}
	c := i.conns[n]
	i.conns[n] = nil
	i.conns = i.conns[:n]
	return c
}

// put keeps a connection for a further request, unless there are most already; 0 is any number. It is false when it is
// not kept.
func (i *idleConns) put(c *serverConn, most int) bool {
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || most > 0 && len(i.conns) >= most {
		return false
	}
	c.since = now
	i.conns = append(i.conns, c)
	i.watch()
	return true
}

// watch sees to it that old connections are closed also when nobody asks for one: the oldest, which is at the front, as soon
// as it is too old. i.mu is held.
func (i *idleConns) watch() {
	if i.sweeper == nil && len(i.conns) > 0 && i.limit > 0 {
		i.sweeper = time.AfterFunc(i.limit-time.Since(i.conns[0].since), i.sweep)
	}
}

// unwatch ends the watch. i.mu is held.
func (i *idleConns) unwatch() {
	if i.sweeper != nil {
		i.sweeper.Stop()
		i.sweeper = nil
	}
}

// sweep closes what is too old.
func (i *idleConns) sweep() {
	i.mu.Lock()
	old := 0
	for old < len(i.conns) && i.limit > 0 && time.Since(i.conns[old].since) >= i.limit {
		old++
	}
	expired := append([]*serverConn(nil), i.conns[:old]...)
	n := copy(i.conns, i.conns[old:])
	clear(i.conns[n:])
	i.conns = i.conns[:n]
	i.sweeper = nil
	i.watch()
	i.mu.Unlock()
	closeAll(expired)
}

func (i *idleConns) close() {
	i.mu.Lock()
	i.closed = true
	conns := i.conns
	i.conns = nil
	i.unwatch()
	i.mu.Unlock()
	closeAll(conns)
}

func (i *idleConns) reopen() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = false
}

func closeAll(conns []*serverConn) {
	for _, c := range conns {
		_ = c.Close() // nobody waits for it
	}
}
