package balancer

import (
	"sync"
	"sync/atomic"
	"time"

	"l7/config"
	"l7/exchange"
	"l7/health"
)

// Registry holds the state of every server: by address what all backends share, by backend and address the rest. It outlives
// reloads: a server that stays in the config keeps its connections, its requests in flight and what is known of its health.
// All methods may be called at the same time from several goroutines.
type Registry struct {
	mu        sync.Mutex // guards the maps and the users of what is in them
	servers   map[serverKey]*Server
	standings map[standingKey]*Standing
	backends  map[string]*shared

	pools   *exchange.Pools
	checks  *health.Checks
	observe func(Change)
}

// serverKey tells servers apart that are connected to in different ways.
type serverKey struct {
	address   config.Address
	transport string
}

type standingKey struct {
	backend string
	server  serverKey
}

// NewRegistry returns an empty registry, whose servers use the pools. observe is told of each change of a server's state; it
// must not wait.
func NewRegistry(pools *exchange.Pools, observe func(Change)) *Registry {
	return &Registry{
		servers: map[serverKey]*Server{}, standings: map[standingKey]*Standing{}, backends: map[string]*shared{},
		pools: pools, checks: health.NewChecks(), observe: observe,
	}
}

// acquire returns the standing of an address in a backend, the same one for everybody who asks. Each call wants a release.
func (r *Registry) acquire(backend string, addr config.Address, via exchange.Transport, idle time.Duration) (s *Standing, isNew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := standingKey{backend, keyOf(addr, via)}
	s = r.standings[key]
	if s == nil {
		s = &Standing{Server: r.server(addr, via, idle), backend: backend, name: addr.String(), registry: r}
		s.Server.users++
		r.standings[key] = s
		isNew = true
	}
	s.users++
	return s, isNew
}

// server finds or makes the server of an address. r.mu is held.
func (r *Registry) server(addr config.Address, via exchange.Transport, idle time.Duration) *Server {
	key := keyOf(addr, via)
	s := r.servers[key]
	if s == nil {
		s = &Server{Server: exchange.NewServer(addr, via, r.pools, idle), key: key}
		r.servers[key] = s
	}
	return s
}

// keyOf is an address, and how it is connected to where that matters.
func keyOf(addr config.Address, via exchange.Transport) serverKey {
	return serverKey{addr, via.KeyFor(addr)}
}

// release gives a standing back. When nobody has the server any more it is forgotten: its idle connections close, and what it has in
// flight is ended after grace.
func (r *Registry) release(s *Standing, grace time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := standingKey{s.backend, s.Server.key}
	if r.standings[key] != s {
		panic("BUG: release of a server that the registry does not hold")
	}
	if s.users--; s.users > 0 {
		return
	}
	delete(r.standings, key)
	if s.Server.users--; s.Server.users > 0 {
		return
	}
	delete(r.servers, s.Server.key)
	s.Server.Close()
	if s.PendingRequests() > 0 {
		time.AfterFunc(grace, s.Interrupt)
	}
}

// shared is what all snapshots of a backend share.
type shared struct {
	users  int  // guarded by the registry
	live   bool // it has served: a server that joins it is a newcomer; guarded by the registry
	budget *budget
	queue  queue
	latest atomic.Pointer[Backend] // the one that was activated last; nil: none yet
	down   atomic.Bool             // see outage.go

	retries      atomic.Uint64 // see Counts
	unaffordable atomic.Uint64

	ejecting sync.Mutex // held from counting who is out to ejecting one more
}

func (r *Registry) acquireBackend(name string) *shared {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.backends[name]
	if s == nil {
		s = &shared{budget: newBudget()}
		r.backends[name] = s
	}
	s.users++
	return s
}

func (r *Registry) releaseBackend(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.backends[name]
	if s.users--; s.users == 0 {
		delete(r.backends, name)
	}
}

func (r *Registry) isLive(s *shared) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.live
}

func (r *Registry) setLive(s *shared) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.live = true
}

// Len is the number of servers in use.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.servers)
}
