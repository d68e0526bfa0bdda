// Package balancer spreads the requests of a backend over its servers.
//
// It knows neither routes nor clients, and reads no bytes of a request: one exchange with one server is
// the exchange package's.
package balancer

import (
	"time"

	"github.com/valyala/fasthttp"

	"l7/cause"
	"l7/config"
	"l7/exchange"
)

// Backend is a named group of servers as one config has it. It is immutable; the state of its servers is in the Registry.
type Backend struct {
	name     string
	registry *Registry
	servers  []*exchange.Server
	idle     time.Duration
	policy   policy
}

// policy picks a server and has it do the exchange. fasthttp.LBClient is one.
type policy interface {
	DoDeadline(req *fasthttp.Request, resp *fasthttp.Response, deadline time.Time) error
}

// New makes a backend of the servers' addresses; connections to them that are unused for longer than idle are closed.
// Close must be called when its config is let go.
func New(name string, servers []config.Server, registry *Registry, idle time.Duration) *Backend {
	b := &Backend{name: name, registry: registry, idle: idle, policy: empty{}}
	for _, s := range servers {
		b.servers = append(b.servers, registry.Acquire(s.Address, idle))
	}
	if len(b.servers) > 0 {
		b.policy = leastLoaded(b.servers)
	}
	return b
}

// Name is the backend's key in the config.
func (b *Backend) Name() string { return b.name }

// Servers are the backend's servers in the order of the config.
func (b *Backend) Servers() []*exchange.Server { return b.servers }

// Activate puts the options of this config in force for servers that other configs use too.
func (b *Backend) Activate() {
	for _, s := range b.servers {
		s.KeepIdle(b.idle)
	}
}

// Do has one of the servers answer the request. The error is a *cause.Error; after nil the exchange is the caller's to finish.
func (b *Backend) Do(x *exchange.Exchange) error {
	return b.policy.DoDeadline(x.Carrier(), nil, time.Time{})
}

// Close gives the servers back to the registry. Requests in flight finish.
func (b *Backend) Close() {
	for _, s := range b.servers {
		b.registry.Release(s)
	}
}

// empty is the policy of a backend that has no server.
type empty struct{}

var errNoServer = &cause.Error{Cause: cause.NoServer, Unsent: true}

func (empty) DoDeadline(*fasthttp.Request, *fasthttp.Response, time.Time) error { return errNoServer }
