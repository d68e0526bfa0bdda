package exchange

import "sync"

// openConns are all connections to one server, busy and idle. It is asked when one is opened and when it is closed, not
// for each request.
type openConns struct {
	mu     sync.Mutex // guards all below
	conns  map[*serverConn]struct{}
	dials  int    // that are under way: they count as connections
	opened uint64 // in all
	ended  bool   // by interrupt
}

// reserve makes room for a connection, of which there may be most; 0 is any number. After true comes add or cancel.
func (o *openConns) reserve(most int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if most > 0 && len(o.conns)+o.dials >= most {
		return false
	}
	o.dials++
	return true
}

func (o *openConns) cancel() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dials--
}

func (o *openConns) add(c *serverConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dials--
	o.opened++
	if o.conns == nil {
		o.conns = map[*serverConn]struct{}{}
	}
	o.conns[c] = struct{}{}
	if o.ended {
		c.Interrupt()
	}
}

// remove is called for a connection that is closed, also twice.
func (o *openConns) remove(c *serverConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
}

func (o *openConns) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.conns) + o.dials
}

func (o *openConns) total() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.opened
}

// interrupt ends the waiting of all exchanges on the connections, and of those to come.
func (o *openConns) interrupt() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	for c := range o.conns {
		c.Interrupt()
	}
}
