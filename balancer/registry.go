package balancer

import (
	"sync"
	"time"

	"l7/config"
	"l7/exchange"
)

// Registry holds the state of every server, by address. It outlives reloads: a server that stays in the
// config keeps its connections and its requests in flight.
// All methods may be called at the same time from several goroutines.
type Registry struct {
	mu      sync.Mutex // guards entries and their users
	entries map[config.Address]*entry
	pools   *exchange.Pools
}

type entry struct {
	server *exchange.Server
	users  int
}

// NewRegistry returns an empty registry, whose servers use the pools.
func NewRegistry(pools *exchange.Pools) *Registry {
	return &Registry{entries: map[config.Address]*entry{}, pools: pools}
}

// Acquire returns the server of an address, the same one for everybody who asks. Each call wants a Release.
func (r *Registry) Acquire(addr config.Address, idle time.Duration) *exchange.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[addr]
	if e == nil {
		e = &entry{server: exchange.NewServer(addr, r.pools, idle)}
		r.entries[addr] = e
	}
	e.users++
	return e.server
}

// Release gives a server back. When nobody uses it any more it is forgotten and its idle connections close.
func (r *Registry) Release(server *exchange.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[server.Address()]
	if e == nil || e.server != server {
		panic("BUG: release of a server that the registry does not hold")
	}
	if e.users--; e.users == 0 {
		delete(r.entries, server.Address())
		server.Close()
	}
}

// Len is the number of servers in use.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}
