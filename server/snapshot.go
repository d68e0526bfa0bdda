package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"l7/accesslog"
	"l7/auth"
	"l7/balancer"
	"l7/certs"
	"l7/config"
	"l7/exchange"
	"l7/http1"
	"l7/metrics"
	"l7/ratelimit"
	"l7/route"
)

// Snapshot is everything that one config makes of itself for serving requests. It is built whole, put in
// place by one atomic store and never changed.
type Snapshot struct {
	// Generation counts the snapshots of a process from 1.
	Generation uint64
	// Access logs each request that is over; nil: nobody does.
	Access *accesslog.Log

	gates    map[*listener]*Rules // what holds for requests, see gate
	source   *builder             // what it was made by, for Renew
	warnings []string
	cells    *Cells
	table    *route.Table
	backends []backend
	limiters *Limiters
	users    *auth.Users // nil: no authentication

	timeouts       config.Timeouts
	exchange       exchange.Timeouts
	limits         http1.Limits // of a request's head
	responseLimits http1.Limits
	bodyLimit      int64 // 0: none
	connections    connLimits
	trusted        []config.Prefix
	forwarding     forwarding
	hsts           policy      // for clients that speak TLS
	dropAlways     http1.Kinds // fields of a request that never go on as they are
	dropUntrusted  http1.Kinds // and those that a client must be trusted for

	http01 func(host, path string) (answer string, ok bool) // see Parts
}

// backend is a group of servers and who may use it.
type backend struct {
	*balancer.Backend
	users    *auth.Users // nil: no authentication
	upgrades []string    // protocols that a client may switch to, in lower case

	cells       *metrics.Backend
	limiter     *ratelimit.Limiter    // nil: none
	sharedLimit bool                  // by all clients
	key         func(*session) uint64 // what consistent_hash goes by
	cookie      string                // the name of the sticky cookie; empty: none
	cookieLines map[string]string     // the line that sets it, by its value
	allow, deny []config.Prefix       // clients

	secureCookieLines map[string]string // cookieLines for clients that speak TLS
}

// Parts are what outlives every snapshot.
type Parts struct {
	Registry *balancer.Registry
	Verifier *auth.Verifier
	Pools    *exchange.Pools
	Limiters *Limiters
	Cells    *Cells
	Names    Names  // what names of servers stand for; zero: each is one server, looked up when it is connected to
	Secret   []byte // signs the sticky cookies of backends without a secret

	// HTTP01 answers what authorities ask for below /.well-known/acme-challenge/ on plain listeners; nil: nobody is asked for certificates.
	HTTP01 func(host, path string) (answer string, ok bool)
}

// NewSnapshot builds a snapshot. On findings nothing is kept of it; otherwise Close gives back what it holds.
func NewSnapshot(cfg *config.Config, parts Parts) (*Snapshot, []config.Finding) {
	b := builder{cfg: cfg, parts: parts, snapshot: newSnapshot(cfg), keys: make(map[route.Key][]string, len(cfg.Backends))}
	if len(cfg.Users) > 0 {
		b.snapshot.users = b.compileUsers(cfg.Users, "users")
	}
	names := slices.Sorted(maps.Keys(cfg.Backends))
	var rules []route.Rule
	for i, name := range names {
		rules = append(rules, b.rules(i, name)...)
		b.backendUsers(name)
		b.transport(name)
	}
	b.compile(rules)
	if len(b.findings) > 0 {
		return nil, b.findings
	}
	b.snapshot.http01 = parts.HTTP01
	b.backends(names)
	for i := range b.snapshot.backends {
		to := b.snapshot.backends[i].Backend
		switch err := to.Unresolved(); {
		case err != nil && len(to.Members()) == 0:
			b.snapshot.warnings = append(b.snapshot.warnings, "backend "+to.Name()+": "+to.WhyDown())
		case err != nil:
			b.snapshot.warnings = append(b.snapshot.warnings, "backend "+to.Name()+": cannot resolve "+err.Error())
		}
	}
	b.snapshot.source = &b
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
	if cfg.HSTS > 0 {
		s.hsts = policy{"Strict-Transport-Security: max-age=" + strconv.Itoa(int(cfg.HSTS.Seconds())) + "\r\n", http1.StrictTransportSecurity.Bit()}
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
	s.limiters.keep(s.backends)
	s.cells.keep(s.backends)
}

// Close gives the servers back. Requests in flight finish.
func (s *Snapshot) Close() {
	for _, b := range s.backends {
		b.Backend.Close()
	}
}

// Warnings say what is not wrong and deserves a word.
func (s *Snapshot) Warnings() []string { return s.warnings }

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
	keys     map[route.Key][]string // what leads somewhere already, and where it stands in the config
	findings []config.Finding

	transports map[string]exchange.Transport // by backend, only those with https servers
}

func (b *builder) find(text string, path ...string) {
	b.findings = append(b.findings, config.Finding{Path: path, Text: text})
}

// transport reads what a backend needs to speak TLS to its servers.
func (b *builder) transport(name string) {
	cfg := b.cfg.Backends[name]
	if !slices.ContainsFunc(cfg.Servers, func(s config.Server) bool { return strings.HasSuffix(s.Address.Scheme, "https") }) {
		return
	}
	t := cfg.TLS
	if (t.Cert == "") != (t.Key == "") {
		t.Cert, t.Key = "", "" // it has been reported
	}
	client, warnings, err := certs.NewClientConfig(certs.ClientOptions{
		CAFile: t.CAFile, ServerName: t.ServerName, Cert: t.Cert, Key: t.Key, InsecureSkipVerify: t.InsecureSkipVerify,
	})
	for _, m := range certs.Mistakes(err) {
		b.find(m.Text, append([]string{"backends", name, "tls"}, m.Path...)...)
	}
	if err != nil {
		return
	}
	for _, w := range warnings {
		b.snapshot.warnings = append(b.snapshot.warnings, "backend "+name+": "+w)
	}
	if b.transports == nil {
		b.transports = map[string]exchange.Transport{}
	}
	b.transports[name] = exchange.Transport{Key: client.Key(), TLS: client.For}
}

// proxyVersion is the version of the PROXY header that a config names; 0: none.
func proxyVersion(word string) byte {
	switch word {
	case "v1":
		return 1
	case "v2":
		return 2
	}
	return 0
}

func (b *builder) backendUsers(name string) {
	users := b.cfg.Backends[name].Users
	if len(users) == 0 {
		return
	}
	if b.users == nil {
		b.users = map[string]*auth.Users{}
	}
	b.users[name] = b.compileUsers(users, "backends", name, "users")
}

func (b *builder) compileUsers(logins map[string]config.Secret, path ...string) *auth.Users {
	users, findings := CompileUsers(b.parts.Verifier, logins, path...)
	b.findings = append(b.findings, findings...)
	return users
}

// CompileUsers makes the logins that stand at path of the config ready to be checked, or says what is wrong with them.
func CompileUsers(verifier *auth.Verifier, logins map[string]config.Secret, path ...string) (*auth.Users, []config.Finding) {
	users, err := auth.New(verifier, reveal(logins))
	joined, several := err.(interface{ Unwrap() []error })
	if !several {
		return users, nil
	}
	var findings []config.Finding
	for _, err := range joined.Unwrap() {
		var login *auth.LoginError
		if errors.As(err, &login) {
			findings = append(findings, config.Finding{Path: append(slices.Clone(path), login.Login), Text: err.Error()})
		}
	}
	return nil, findings
}

// rules are the ways that lead to a backend: its own key, and each of its hosts with the same path prefix.
func (b *builder) rules(index int, name string) []route.Rule {
	key, err := route.ParseKey(name)
	if err != nil {
		b.find(err.Error(), "backends", name)
		return nil
	}
	rules := b.rule(nil, key, index, "backends", name)
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
			rules = b.rule(rules, extra, index, path...)
		}
	}
	return rules
}

// rule appends a rule, unless its key leads to a backend already.
func (b *builder) rule(rules []route.Rule, key route.Key, index int, path ...string) []route.Rule {
	if other, twice := b.keys[key]; twice {
		text := fmt.Sprintf("backends %q and %q have the same host and path, %s; keep one of them", other[1], path[1], key)
		if other[1] == path[1] {
			text = fmt.Sprintf("the backend has the same host and path, %s, twice; keep one of them", key)
		}
		b.findings = append(b.findings, config.Finding{Path: path, Text: text, Other: other})
		return rules
	}
	b.keys[key] = path
	return append(rules, route.Rule{Key: key, Backend: index})
}

func (b *builder) compile(rules []route.Rule) {
	table, err := route.New(rules)
	if err != nil {
		b.find(err.Error(), "backends")
	}
	b.snapshot.table = table
}

func (b *builder) backends(names []string) {
	b.snapshot.limiters, b.snapshot.cells = b.parts.Limiters, b.parts.Cells
	b.snapshot.backends = make([]backend, len(names))
	for i, name := range names {
		b.snapshot.backends[i] = b.backend(name)
	}
}

func (b *builder) backend(name string) backend {
	cfg := b.cfg.Backends[name]
	users := b.snapshot.users
	if cfg.Users != nil {
		users = b.users[name]
	}
	var found map[config.Address]string
	var unresolved error
	cfg.Servers, found, unresolved = b.resolved(cfg.Servers)
	via := b.transports[name]
	via.Announce = proxyVersion(cfg.SendProxy)
	options := balancer.Options{
		Transport: via, Names: found, Unresolved: unresolved,
		Idle: b.cfg.Timeouts.ServerIdle, Grace: b.cfg.Drain.Timeout, Request: b.cfg.Timeouts.Request, StickySecret: b.parts.Secret,
	}
	result := backend{
		Backend: balancer.New(name, cfg, b.parts.Registry, options), users: users, upgrades: lowered(cfg.Upgrade), cells: b.parts.Cells.get(name), allow: cfg.Allow, deny: cfg.Deny,
		limiter: b.parts.Limiters.get(name, cfg.RateLimit), sharedLimit: cfg.RateLimit.Key == "backend",
		key: newKey(cfg.Policy, cfg.Hash.On), cookie: cfg.Sticky.Cookie,
	}
	if result.cookie != "" {
		result.cookieLines, result.secureCookieLines = map[string]string{}, map[string]string{}
		for _, m := range result.Members() {
			line := "Set-Cookie: " + result.cookie + "=" + m.Stick() + "; Path=/; HttpOnly; SameSite=Lax"
			result.cookieLines[m.Stick()], result.secureCookieLines[m.Stick()] = line+"\r\n", line+"; Secure\r\n"
		}
	}
	return result
}

func lowered(words []string) []string {
	lower := make([]string, len(words))
	for i, word := range words {
		lower[i] = strings.ToLower(word)
	}
	return lower
}

func reveal(secrets map[string]config.Secret) map[string]string {
	texts := make(map[string]string, len(secrets))
	for login, secret := range secrets {
		texts[login] = secret.Reveal()
	}
	return texts
}
