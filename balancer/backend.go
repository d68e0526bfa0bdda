// Package balancer spreads the requests of a backend over its servers, and keeps them from those that fail.
//
// It knows neither routes nor clients, and reads no bytes of a request: one exchange with one server is
// the exchange package's.
package balancer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net"
	"time"

	"l7/config"
	"l7/exchange"
	"l7/health"
)

// Backend is a named group of servers as one config has it. It is immutable; the state of its servers is in the Registry.
type Backend struct {
	name      string
	policy    string
	registry  *Registry
	shared    *shared
	queue     config.Queue
	members   []*Member // in the order of the config
	main      *group
	backup    *group
	options   Options
	eject     config.Eject
	retry     config.Retry
	check     config.Health
	slowStart time.Duration
	serveDown bool // all_down: serve
	stopped   []func()
}

// Options are what a backend needs to know beside its own section.
type Options struct {
	Idle         time.Duration // how long an unused connection is kept
	Grace        time.Duration // how long a server that is let go may take for what it has
	Request      time.Duration // bounds all attempts of a request together; 0: no bound
	Transport    exchange.Transport
	Names        map[config.Address]string // the names that led to addresses
	Unresolved   error                     // why there are no servers; nil: the config has none
	StickySecret []byte                    // signs the sticky cookies where the backend has no secret of its own
}

// New makes a backend of its section of the config. Close must be called when the config is let go.
func New(name string, cfg config.Backend, registry *Registry, options Options) *Backend {
	b := &Backend{
		name: name, policy: cfg.Policy, registry: registry, shared: registry.acquireBackend(name), options: options,
		main: &group{}, backup: &group{}, eject: cfg.Eject, retry: cfg.Retry, check: cfg.Health, queue: cfg.Queue,
		slowStart: cfg.SlowStart, serveDown: cfg.AllDown == "serve",
	}
	live := registry.isLive(b.shared)
	for _, server := range cfg.Servers {
		b.add(server, live)
	}
	b.main.policy, b.backup.policy = b.policyOf(cfg.Policy, b.main), b.policyOf(cfg.Policy, b.backup)
	if cfg.Sticky.Cookie != "" {
		b.stick(cfg.Sticky)
	}
	return b
}

func (b *Backend) add(server config.Server, live bool) {
	standing, at, isNew := b.registry.acquire(b.name, server.Address, b.transport(server.Address), b.options.Idle)
	if isNew && b.check.Path != "" && (live || b.check.Required) {
		standing.verdict.Store(awaited)
	}
	if isNew && live {
		standing.began()
	}
	m := &Member{Standing: standing, Server: at, backend: b, config: server, group: b.main, id: identity(b.name + " " + server.Address.String())}
	if server.Backup {
		m.group = b.backup
	}
	m.group.members = append(m.group.members, m)
	m.group.weights += server.Weight
	b.members = append(b.members, m)
}

// transport is how a server is connected to. One that was found by a name has to have a certificate for the name.
func (b *Backend) transport(addr config.Address) exchange.Transport {
	via, name := b.options.Transport, b.options.Names[addr]
	if name == "" || via.TLS == nil {
		return via
	}
	named := via
	named.Key, named.TLS = via.Key+" "+name, func(string) *tls.Config { return via.TLS(name) }
	return named
}

func (b *Backend) policyOf(name string, g *group) policy {
	g.isTimed = name == "least_time"
	if name == "consistent_hash" {
		g.inFlight = &b.shared.inFlight
	}
	if len(g.members) == 0 {
		return nobody{}
	}
	return newPolicy(name, g)
}

// nobody is the policy of a group without members.
type nobody struct{}

func (nobody) pick(*Request, time.Duration) *Member { return nil }

// stick gives each member the value of the cookie that leads to it. It is a signature and no address: nobody can make one up or read it.
func (b *Backend) stick(cfg config.Sticky) {
	secret := []byte(cfg.Secret.Reveal())
	if len(secret) == 0 {
		secret = b.options.StickySecret
	}
	b.main.sticky, b.backup.sticky = map[string]*Member{}, map[string]*Member{}
	for _, m := range b.members {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("l7 sticky\x00" + b.name + "\x00" + m.Address().String()))
		m.stick = base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
		m.group.sticky[m.stick] = m
	}
}

// Name is the backend's key in the config.
func (b *Backend) Name() string { return b.name }

// Policy is the name of what picks a server.
func (b *Backend) Policy() string { return b.policy }

// Unresolved is why a name in its config stands for no server; nil: there is none such.
func (b *Backend) Unresolved() error { return b.options.Unresolved }

// Members are the backend's servers in the order of the config.
func (b *Backend) Members() []*Member { return b.members }

// Config is the member's section of the config.
func (m *Member) Config() config.Server { return m.config }

// Stick is the value of the sticky cookie that leads to the member; empty where the backend has none.
func (m *Member) Stick() string { return m.stick }

// Activate puts the options of this config in force for servers that other configs use too, starts the active checks, and has those who
// wait for a server of an earlier config look among these.
func (b *Backend) Activate() {
	b.registry.setLive(b.shared)
	b.shared.latest.Store(b) // from now on the checks of others say nothing
	b.shared.queue.configure(b.queue)
	for _, m := range b.members {
		m.KeepIdle(b.options.Idle)
		if b.check.Path == "" {
			m.verdict.Store(unknown)
			m.checked.Store(nil)
			continue
		}
		key := health.Key{Address: m.Name(), Transport: m.Server.key.transport, Check: b.check}
		if name := b.options.Names[m.Address()]; name != "" && key.Check.Host == "" {
			key.Check.Host = name
		}
		b.stopped = append(b.stopped, b.registry.checks.Start(key, m.dialCheck(b.check.Port), m))
	}
	b.shared.queue.signal()
}

// latest is the one of the backend's name that was activated last: the one in force, or that was until the name went out of the config.
func (b *Backend) latest() *Backend {
	if latest := b.shared.latest.Load(); latest != nil {
		return latest
	}
	return b
}

// CheckInterval is the time from one active check of the server to the next.
func (m *Member) CheckInterval() time.Duration { return m.backend.check.Interval }

// dialCheck connects for a check, as a request would: to the server itself, or to another port of its host.
func (m *Member) dialCheck(port int) health.Dial {
	return func(ctx context.Context) (net.Conn, error) { return m.Server.Dial(ctx, port) }
}

// Close gives the servers back to the registry. Requests in flight finish.
func (b *Backend) Close() {
	for _, stop := range b.stopped {
		stop()
	}
	for _, m := range b.members {
		b.registry.release(m.Standing, m.Server, b.options.Grace)
	}
	b.registry.releaseBackend(b.name)
}

// thresholds are when a server is ejected: never when it is the only one, for there is nobody to ask in its place.
func (b *Backend) thresholds() health.Thresholds {
	if len(b.members) == 1 {
		return health.Thresholds{}
	}
	return health.Thresholds{After: b.eject.After, Time: b.eject.Time, Max: b.eject.Max}
}

// mayEject is true when one more member may be ejected for what it answers: max_percent rounds down, but of two or more it may be one.
func (b *Backend) mayEject() bool {
	out, at := 0, now()
	for _, m := range b.members {
		if m.eject.State(at) != health.In {
			out++
		}
	}
	most := len(b.members) * b.eject.MaxPercent / 100
	if b.eject.MaxPercent > 0 && len(b.members) > 1 {
		most = max(most, 1)
	}
	return out < most
}

// desperate is true when no member is up, so that one which is out may be tried before its time.
func (b *Backend) desperate(at time.Duration) bool {
	for _, m := range b.members {
		if m.isUp(at) {
			return false
		}
	}
	return true
}
