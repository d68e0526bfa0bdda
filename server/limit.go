package server

import (
	"net/netip"
	"sync"
	"time"

	"l7/config"
	"l7/ratelimit"
)

var epoch = time.Now()

// now is the time that rates count in.
func now() time.Duration { return time.Since(epoch) }

// take takes a request out of the backend's rate limit. It is false when there is none left; wait is until there will be.
func (b *backend) take(ss *session) (wait time.Duration, ok bool) {
	if b == nil || b.limiter == nil {
		return 0, true
	}
	return b.limiter.Take(ss.limitKey(b), now())
}

// limitKey is who shares a limit: one client, or the whole backend. A client on a unix socket has no address; all of them are one.
func (ss *session) limitKey(b *backend) uint64 {
	if b.sharedLimit {
		return 0
	}
	addr, _ := netip.ParseAddr(ss.client())
	return b.limiter.AddrKey(addr)
}

// Limiters are the rate limits of all backends. They outlive reloads: one that stays as it is forgets nobody.
type Limiters struct {
	mu       sync.Mutex // guards all below
	limiters map[limiterKey]*ratelimit.Limiter
}

type limiterKey struct {
	backend string
	config  config.RateLimit
}

// NewLimiters returns no limits.
func NewLimiters() *Limiters { return &Limiters{limiters: map[limiterKey]*ratelimit.Limiter{}} }

// get finds or makes the limiter of a backend; nil where it has none.
func (l *Limiters) get(backend string, cfg config.RateLimit) *ratelimit.Limiter {
	if cfg.Requests.Count == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := limiterKey{backend, cfg}
	if l.limiters[key] == nil {
		l.limiters[key] = ratelimit.New(cfg.Requests.Count, cfg.Requests.Per, cfg.Burst)
	}
	return l.limiters[key]
}

// keep forgets the limiters that are in no backend of the config in force.
func (l *Limiters) keep(backends []backend) {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := map[*ratelimit.Limiter]bool{}
	for i := range backends {
		used[backends[i].limiter] = true
	}
	for key, limiter := range l.limiters {
		if !used[limiter] {
			delete(l.limiters, key)
		}
	}
}
