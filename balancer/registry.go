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
	address config.Address
}

// NewRegistry returns an empty registry, whose servers use the pools. observe is told of each change of a server's state; it
// must not wait.
func NewRegistry(pools *exchange.Pools, observe func(Change)) *Registry {
	return &Registry{
		servers: map[serverKey]*Server{}, standings: map[standingKey]*Standing{}, backends: map[string]*shared{},
		pools: pools, checks: health.NewChecks(), observe: observe,
	}
}

// acquire returns the standing of an address in a backend, and the server there by this transport; the same ones for everybody who asks. Each call
// wants a release.
func (r *Registry) acquire(backend string, addr config.Address, via exchange.Transport, idle time.Duration) (s *Standing, server *Server, isNew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := standingKey{backend, addr}
	s = r.standings[key]
	if s == nil {
		s = &Standing{key: key, name: addr.String(), registry: r}
		r.standings[key] = s
		isNew = true
	}
	s.users++
	return s, r.server(addr, via, idle), isNew
}

// server finds or makes the server of an address. r.mu is held.
func (r *Registry) server(addr config.Address, via exchange.Transport, idle time.Duration) *Server {
	key := serverKey{addr, via.KeyFor(addr)}
	s := r.servers[key]
	switch {
	case s == nil:
		s = &Server{Server: exchange.NewServer(addr, via, r.pools, idle), key: key}
		r.servers[key] = s
	case s.users == 0: // it was about to be forgotten
		s.leaving = nil
		s.Reopen()
	}
	s.users++
	return s
}

// release gives back what acquire has returned. What nobody has any more is forgotten: at once, or when grace is over where there is something to
// remember, for an address may be back soon. A server's idle connections close, and what it then has in flight is ended.
func (r *Registry) release(s *Standing, server *Server, grace time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.users--
	server.users--
	if s.users < 0 || server.users < 0 {
		panic("BUG: release of a server that the registry does not hold")
	}
	if s.users == 0 {
		r.forget(s, grace)
	}
	if server.users == 0 {
		server.Close()
		r.dismiss(server, grace)
	}
}

// forget lets go of what is known of a server: of one that was drained, or has requests in flight, after grace. r.mu is held.
func (r *Registry) forget(s *Standing, grace time.Duration) {
	if grace > 0 && (s.IsDrained() || s.InFlight() > 0) {
		var over *time.Timer
		over = r.later(grace, func() {
			if s.users == 0 && s.leaving == over {
				r.forget(s, 0)
			}
		})
		s.leaving = over
		return
	}
	if r.standings[s.key] == s {
		delete(r.standings, s.key)
	}
}

// dismiss lets go of a server that has nothing in flight, or ends that after grace. One whose address still stands in a backend, and is
// only connected to in another way now, may finish whatever it has. r.mu is held.
func (r *Registry) dismiss(s *Server, grace time.Duration) {
	switch {
	case s.PendingRequests() == 0:
	case s.leaving != nil && !r.isInUse(s.key.address):
		s.Interrupt()
	default:
		var over *time.Timer
		over = r.later(max(grace, leastGrace), func() {
			if s.leaving == over { // nobody has come back for it meanwhile
				r.dismiss(s, grace)
			}
		})
		s.leaving = over
		return
	}
	delete(r.servers, s.key)
}

// leastGrace bounds how often a server is looked at that was let go.
const leastGrace = 10 * time.Millisecond

// later calls f after some time, with r.mu held.
func (r *Registry) later(after time.Duration, f func()) *time.Timer {
	return time.AfterFunc(after, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		f()
	})
}

// isInUse is true for an address that stands in a backend. r.mu is held.
func (r *Registry) isInUse(address config.Address) bool {
	for key, s := range r.standings {
		if key.address == address && s.users > 0 {
			return true
		}
	}
	return false
}

// shared is what all snapshots of a backend share.
type shared struct {
	users  int  // guarded by the registry
	live   bool // it has served: a server that joins it is a newcomer; guarded by the registry
	budget *budget
	queue  queue
	latest atomic.Pointer[Backend] // the one that was activated last; nil: none yet
	down   atomic.Bool             // see outage.go

	inFlight atomic.Int64 // at all servers, also those that have left the config, where a policy goes by it; see group.count

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
