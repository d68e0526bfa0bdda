package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"l7/auth"
	"l7/balancer"
	"l7/config"
	"l7/exchange"
	"l7/http1"
	"l7/route"
)

// Snapshot is everything that one config makes of itself for serving requests. It is built whole, put in
// place by one atomic store and never changed.
type Snapshot struct {
	// Generation counts the snapshots of a process from 1.
	Generation uint64

	table    *route.Table
	backends []backend
	users    *auth.Users // nil: no authentication

	timeouts       config.Timeouts
	exchange       exchange.Timeouts
	limits         http1.Limits // of a request's head
	responseLimits http1.Limits
	bodyLimit      int64 // 0: none
	connections    connLimits
	trusted        []config.Prefix
	forwarding     forwarding
	dropAlways     http1.Kinds // fields of a request that never go on as they are
	dropUntrusted  http1.Kinds // and those that a client must be trusted for
}

// backend is a group of servers and who may use it.
type backend struct {
	*balancer.Backend
	users    *auth.Users // nil: no authentication
	upgrades []string    // protocols that a client may switch to
}

// Parts are what outlives every snapshot.
type Parts struct {
	Registry *balancer.Registry
	Verifier *auth.Verifier
	Pools    *exchange.Pools
}

// NewSnapshot builds a snapshot. extraUsers are the logins of the users file. On findings nothing is kept
// of it; otherwise Close gives back what it holds.
func NewSnapshot(cfg *config.Config, extraUsers map[string]string, parts Parts) (*Snapshot, []config.Finding) {
	b := builder{cfg: cfg, parts: parts, snapshot: newSnapshot(cfg)}
	b.globalUsers(extraUsers)
	names := slices.Sorted(maps.Keys(cfg.Backends))
	var rules []route.Rule
	for i, name := range names {
		rules = append(rules, b.rules(i, name)...)
		b.backendUsers(name)
	}
	b.compile(rules, names)
	if len(b.findings) > 0 {
		return nil, b.findings
	}
	b.backends(names)
	return b.snapshot, nil
}

func newSnapshot(cfg *config.Config) *Snapshot {
	s := &Snapshot{
		timeouts: cfg.Timeouts,
		exchange: exchange.Timeouts{
			Connect:        cfg.Timeouts.Connect,
			Write:          cfg.Timeouts.Write,
			ResponseHeader: cfg.Timeouts.ResponseHeader,
			Response:       cfg.Timeouts.Response,
			Tunnel:         cfg.Timeouts.Tunnel,
		},
		limits:         http1.Limits{Line: int(cfg.Limits.RequestLine), Header: int(cfg.Limits.Header), Fields: cfg.Limits.Fields},
		responseLimits: http1.Limits{Line: int(cfg.Limits.ResponseHeader), Header: int(cfg.Limits.ResponseHeader)},
		bodyLimit:      int64(cfg.Limits.Body),
		connections:    connLimits{cfg.Limits.Connections, cfg.Limits.ConnectionsPerClient},
		trusted:        cfg.TrustedProxies,
		forwarding:     newForwarding(cfg.Forwarding),
	}
	s.dropAlways, s.dropUntrusted = s.forwarding.drops()
	if !cfg.Underscores {
		s.dropAlways |= http1.Underscored.Bit()
	}
	return s
}

// Activate puts the snapshot's options in force for servers that the one before uses too.
func (s *Snapshot) Activate() {
	for _, b := range s.backends {
		b.Backend.Activate()
	}
}

// Close gives the servers back. Requests in flight finish.
func (s *Snapshot) Close() {
	for _, b := range s.backends {
		b.Backend.Close()
	}
}

// PlainLogins names the logins whose passwords stand in the config as plain text, with the backend where
// they are not global.
func (s *Snapshot) PlainLogins() []string {
	var logins []string
	if s.users != nil {
		logins = append(logins, s.users.Plain()...)
	}
	for _, b := range s.backends {
		if b.users != nil && b.users != s.users {
			for _, login := range b.users.Plain() {
				logins = append(logins, login+" ("+b.Name()+")")
			}
		}
	}
	return logins
}

// builder collects what is wrong on the way to a snapshot, so that all of it is reported at once.
type builder struct {
	cfg      *config.Config
	parts    Parts
	snapshot *Snapshot
	users    map[string]*auth.Users // by backend, only those with users of their own
	findings []config.Finding
}

func (b *builder) find(text string, path ...string) {
	b.findings = append(b.findings, config.Finding{Path: path, Text: text})
}

func (b *builder) globalUsers(extra map[string]string) {
	all := reveal(b.cfg.Users)
	for login, hash := range extra {
		if _, twice := all[login]; twice {
			b.find(fmt.Sprintf("login %q stands in users and in %s; keep one of them", login, b.cfg.UsersFile), "users", login)
		}
		all[login] = hash
	}
	if len(all) > 0 {
		b.snapshot.users = b.compileUsers(all, "users")
	}
}

func (b *builder) backendUsers(name string) {
	users := b.cfg.Backends[name].Users
	if len(users) == 0 {
		return
	}
	if b.users == nil {
		b.users = map[string]*auth.Users{}
	}
	b.users[name] = b.compileUsers(reveal(users), "backends", name, "users")
}

func (b *builder) compileUsers(logins map[string]string, path ...string) *auth.Users {
	users, err := auth.New(b.parts.Verifier, logins)
	if err != nil {
		b.find(err.Error(), path...)
	}
	return users
}

// rules are the ways that lead to a backend: its own key, and each of its hosts with the same path prefix.
func (b *builder) rules(index int, name string) []route.Rule {
	key, err := route.ParseKey(name)
	if err != nil {
		b.find(err.Error(), "backends", name)
		return nil
	}
	rules := []route.Rule{{Key: key, Backend: index}}
	for i, host := range b.cfg.Backends[name].Hosts {
		path := []string{"backends", name, "hosts", strconv.Itoa(i)}
		extra, err := route.ParseKey(host)
		switch {
		case err != nil:
			b.find(err.Error(), path...)
		case strings.Contains(host, "/"):
			b.find(fmt.Sprintf("host %q has a path; the path prefix is the backend's own", host), path...)
		default:
			extra.Prefix = key.Prefix
			rules = append(rules, route.Rule{Key: extra, Backend: index})
		}
	}
	return rules
}

func (b *builder) compile(rules []route.Rule, names []string) {
	table, err := route.New(rules)
	var duplicate *route.DuplicateError
	switch {
	case errors.As(err, &duplicate):
		first, second := names[rules[duplicate.First].Backend], names[rules[duplicate.Second].Backend]
		b.find(fmt.Sprintf("%q is the same host and path as %q; keep one of them", duplicate.Key, first), "backends", second)
	case err != nil:
		b.find(err.Error(), "backends")
	}
	b.snapshot.table = table
}

func (b *builder) backends(names []string) {
	idle := b.cfg.Timeouts.ServerIdle
	b.snapshot.backends = make([]backend, len(names))
	for i, name := range names {
		cfg := b.cfg.Backends[name]
		users := b.snapshot.users
		if cfg.Users != nil {
			users = b.users[name]
		}
		b.snapshot.backends[i] = backend{balancer.New(name, cfg.Servers, b.parts.Registry, idle), users, cfg.Upgrade}
	}
}

func reveal(secrets map[string]config.Secret) map[string]string {
	texts := make(map[string]string, len(secrets))
	for login, secret := range secrets {
		texts[login] = secret.Reveal()
	}
	return texts
}
