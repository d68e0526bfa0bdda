package server

import (
	"context"
	"net/netip"
	"sync"

	"l7/cause"
)

// conns is the list of open client connections. It is touched when one comes and goes, not by requests.
type conns struct {
	mu       sync.Mutex // guards all below
	open     map[*conn]struct{}
	byClient map[netip.Addr]int
	empty    chan struct{} // closed when open becomes empty; nil while nobody waits
}

// connLimits bound the connections that may be open; zero means no bound.
type connLimits struct{ total, perClient int }

// add takes a connection on, or tells why it does not. One that still has to tell whose it is counts for nobody, see named.
func (cs *conns) add(c *conn, limits connLimits) cause.Cause {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.open == nil {
		cs.open = map[*conn]struct{}{}
		cs.byClient = map[netip.Addr]int{}
	}
	if limits.total > 0 && len(cs.open) >= limits.total {
		return cause.TooManyConnections
	}
	if c.gate().isProxy(c.peer.ip) {
		cs.open[c] = struct{}{}
		return cause.None
	}
	if why := cs.count(c, limits); why != cause.None {
		return why
	}
	cs.open[c] = struct{}{}
	return cause.None
}

// count has a connection count for its client. cs.mu is held.
func (cs *conns) count(c *conn, limits connLimits) cause.Cause {
	client := c.peer.ip
	if limits.perClient > 0 && client.IsValid() && cs.byClient[client] >= limits.perClient {
		return cause.ClientConnections
	}
	if client.IsValid() {
		cs.byClient[client]++
		c.counted = client
	}
	return cause.None
}

// named has a connection count whose client is known by now, or tells why it may not go on.
func (cs *conns) named(c *conn, limits connLimits) cause.Cause {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, held := cs.open[c]; !held || c.counted.IsValid() {
		return cause.None
	}
	return cs.count(c, limits)
}

func (cs *conns) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, held := cs.open[c]; !held {
		return
	}
	delete(cs.open, c)
	if c.counted.IsValid() {
		if cs.byClient[c.counted]--; cs.byClient[c.counted] == 0 {
			delete(cs.byClient, c.counted)
		}
	}
	if len(cs.open) == 0 && cs.empty != nil {
		close(cs.empty)
		cs.empty = nil
	}
}

func (cs *conns) len() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open)
}

// each calls f for every connection that match accepts; f may close it.
func (cs *conns) each(match func(*conn) bool, f func(*conn)) (n int) {
	cs.mu.Lock()
	var matching []*conn
	for c := range cs.open {
		if match(c) {
			matching = append(matching, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range matching {
		f(c)
	}
	return len(matching)
}

// wait returns when no connection is open, or with the context's error. One caller at a time.
func (cs *conns) wait(ctx context.Context) error {
	cs.mu.Lock()
	empty := make(chan struct{})
	if len(cs.open) == 0 {
		close(empty)
	} else {
		cs.empty = empty
	}
	cs.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.empty = nil
	if len(cs.open) == 0 {
		return nil
	}
	return ctx.Err()
}

func all(*conn) bool { return true }
