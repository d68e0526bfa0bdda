package server

import (
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"l7/auth"
	"l7/balancer"
	"l7/config"
	"l7/exchange"
	"l7/health"
)

const explained = `
trusted_proxies: [10.0.0.0/8]
users: {bob: secret}
backends:
  a.com:
    users: {}
    policy: first
    servers: ['127.0.0.1:1', {address: '127.0.0.1:2', weight: 0}, {address: '127.0.0.1:3', backup: true}]
    rate_limit: 1/h
  b.com: {servers: ['127.0.0.1:4']}
  local.com: {users: {}, deny: ['fe80::/10', 192.0.2.0/24], servers: ['127.0.0.1:5']}
  none.com: {users: {}, servers: []}
`

func explaining(t *testing.T) *Snapshot {
	t.Helper()
	loaded, err := config.Load(config.Args{File: configFile(t, explained)}, nil)
	require.NoError(t, err)
	pools := exchange.NewPools()
	parts := Parts{Registry: balancer.NewRegistry(pools, func(balancer.Change) {}), Verifier: auth.NewVerifier(), Pools: pools, Limiters: NewLimiters(), Cells: NewCells()}
	snapshot, findings := NewSnapshot(&loaded.Config, parts)
	require.Empty(t, findings)
	t.Cleanup(snapshot.Close)
	return snapshot
}

// What is explained is what would happen, server by server, and asking changes nothing.
func TestExplain(t *testing.T) {
	s := explaining(t)
	for range 3 { // the rate limit lets one request an hour pass
		d, err := s.Explain(Question{Host: "A.com:80", Target: "/x?y", From: netip.MustParseAddr("192.0.2.7"), Fields: []string{
			"X-Forwarded-For: 1.2.3.4", "X-Api-Key: hidden", "Connection: X-Api-Key",
		}})
		require.NoError(t, err)
		require.Equal(t, "GET /x?y HTTP/1.1", d.Request)
		require.Equal(t, "192.0.2.7", d.Client)
		require.Equal(t, "a.com", d.Backend)
		require.Equal(t, 200, d.Status)
		require.Equal(t, "ok", d.Cause)
		require.Equal(t, "passes", d.RateLimit)
		require.Contains(t, d.Added, "X-Forwarded-For: 192.0.2.7")
		require.Equal(t, []string{"X-Forwarded-For: 1.2.3.4", "X-Api-Key: ***", "Connection: X-Api-Key"}, d.Removed)
		require.Equal(t, []Candidate{
			{"http://127.0.0.1:1", "available", 1, 0, false, "picked by first"},
			{"http://127.0.0.1:3", "available", 1, 0, true, "no main server is left"},
			{"http://127.0.0.1:2", "weight 0", 0, 0, false, "passed over: weight 0"},
		}, d.Servers)
	}
}

func TestExplainRefusals(t *testing.T) {
	s := explaining(t)
	f := func(q Question, status int, cause, backend string) {
		t.Helper()
		d, err := s.Explain(q)
		require.NoError(t, err)
		require.Equal(t, status, d.Status)
		require.Equal(t, cause, d.Cause)
		require.Equal(t, backend, d.Backend)
	}
	f(Question{Host: "b.com"}, 401, "unauthorized", "b.com")
	f(Question{Host: "unknown.com"}, 401, "unauthorized", "")
	f(Question{Host: "b.com", Fields: []string{"Authorization: Basic Ym9iOndyb25n"}}, 401, "unauthorized", "b.com")
	f(Question{Host: "b.com", Fields: []string{"Authorization: Basic Ym9iOnNlY3JldA=="}}, 200, "ok", "b.com")
	f(Question{Host: "unknown.com", Fields: []string{"Authorization: Basic Ym9iOnNlY3JldA=="}}, 404, "no_route", "")
	f(Question{Host: "none.com"}, 503, "no_server", "none.com")
	f(Question{Method: "CONNECT", Host: "b.com:80", Target: "b.com:80"}, 501, "method_not_supported", "")
}

// A client is in a range whatever zone it comes by, and as what address of IPv6 an address of IPv4: it was explained as let in and is not.
func TestExplainFrom(t *testing.T) {
	s := explaining(t)
	f := func(from, client string, status int) {
		t.Helper()
		d, err := s.Explain(Question{Host: "local.com", From: netip.MustParseAddr(from)})
		require.NoError(t, err)
		require.Equal(t, status, d.Status)
		require.Equal(t, client, d.Client)
	}
	f("fe80::1", "fe80::1", 403)
	f("fe80::1%eth0", "fe80::1", 403)
	f("::ffff:192.0.2.7", "192.0.2.7", 403)
	f("2001:db8::1", "2001:db8::1", 200)
}

// What cannot be read is answered, too; and one header line cannot smuggle in another request.
func TestExplainBadQuestions(t *testing.T) {
	s := explaining(t)
	f := func(q Question, status int, cause, reason string) {
		t.Helper()
		d, err := s.Explain(q)
		require.NoError(t, err)
		require.Equal(t, []any{status, cause, reason, "127.0.0.1"}, []any{d.Status, d.Cause, d.Error, d.Client})
	}
	f(Question{Host: "a b"}, 400, "bad_request", "bad_host")
	f(Question{Host: "b\u00fccher.de"}, 400, "bad_request", "bad_host")
	f(Question{Host: "b.com", Target: "no slash"}, 400, "bad_request", "bad_request_line")
	f(Question{Host: "b.com", Fields: []string{"no colon"}}, 400, "bad_request", "bad_field_name")
	f(Question{Host: "b.com", Fields: []string{"Host: c.com"}}, 400, "bad_request", "repeated_host")
	f(Question{Host: "b.com", Method: "CONNECT"}, 400, "bad_request", "bad_target")
	f(Question{Host: "b.com", Target: "/" + strings.Repeat("a", 40<<10)}, 414, "target_too_long", "line_too_long")
	f(Question{Host: strings.Repeat("a", 40<<10)}, 431, "header_too_large", "header_too_large")

	_, err := s.Explain(Question{Host: "b.com", Fields: []string{"A: b\r\n\r\nGET / HTTP/1.1"}})
	require.ErrorContains(t, err, "cannot read the request")
}

// A URL asks as clients do: its credentials were dropped without a word, and a Host field was one too many.
func TestNewQuestion(t *testing.T) {
	f := func(rawURL string, fields []string, want Question) {
		t.Helper()
		u, err := url.Parse(rawURL)
		require.NoError(t, err)
		require.Equal(t, want, NewQuestion("", u, fields))
	}
	f("http://a.com", nil, Question{Scheme: "http", Host: "a.com", Target: "/"})
	f("https://a.com:8443/x?y#z", []string{"A: b"}, Question{Scheme: "https", Port: "8443", Host: "a.com:8443", Target: "/x?y", Fields: []string{"A: b"}})
	f("http://a.com:81/", []string{"host: b.com"}, Question{Scheme: "http", Port: "81", Host: "b.com", Target: "/"})
	f("http://bob:s%40t@a.com/", nil, Question{Scheme: "http", Host: "a.com", Target: "/", Fields: []string{"Authorization: Basic Ym9iOnNAdA=="}})
	f("http://bob@a.com/", nil, Question{Scheme: "http", Host: "a.com", Target: "/", Fields: []string{"Authorization: Basic Ym9iOg=="}})
	f("http://bob:s@a.com/", []string{"authorization: x"}, Question{Scheme: "http", Host: "a.com", Target: "/", Fields: []string{"authorization: x"}})
}

// A request comes by the listener that is for its scheme and port, and what holds there holds for it: explain knew of no listener.
func TestExplainListeners(t *testing.T) {
	const several = `
listen:
  - {address: ':8080', redirect_https: true}
  - {address: '127.0.0.1:8081', deny: [192.0.2.0/24]}
  - {address: ':443', tls: {certificate: self}}
  - {address: 'unix:/run/l7.sock'}
  - {address: 'fd://3', tls: {certificate: self}}
`
	f := func(listen, rawURL, from, listener string, status int, fields ...string) {
		t.Helper()
		s, _ := build(t, listen+"forwarding: [x-forwarded-port, x-request-id]\ntrusted_proxies: [10.0.0.0/8]\nbackends: {a.com: {servers: ['127.0.0.1:1']}}")
		defer s.Close()
		u, err := url.Parse(rawURL)
		require.NoError(t, err)
		q := NewQuestion("", u, nil)
		if from != "" {
			q.From = netip.MustParseAddr(from)
		}
		d, err := s.Explain(q)
		require.NoError(t, err)
		require.Equal(t, listener, d.Listener)
		require.Equal(t, status, d.Status)
		for _, field := range fields {
			require.Contains(t, d.Added, field)
		}
	}
	f(several, "http://a.com/x", "", ":8080", 308)
	f(several, "https://a.com/x", "", ":443, TLS", 200, "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "X-Request-ID: (made anew for each request)")
	f(several, "http://a.com:8081/", "", "127.0.0.1:8081", 200, "X-Forwarded-Proto: http", "X-Forwarded-Port: 8081")
	f(several, "http://a.com:8081/", "192.0.2.1", "127.0.0.1:8081", 403)
	f(several, "http://a.com:9999/", "", ":8080", 308) // it may be that of the socket
	f(several, "http://a.com:443/", "", ":443, TLS", 400)
	f(several, "https://a.com:8081/", "", "127.0.0.1:8081; it speaks no TLS: for https that has to end in front of it", 200, "X-Forwarded-Proto: http")
	f("port: 8080\n", "https://a.com/", "", ":8080; it speaks no TLS: for https that has to end in front of it", 200, "X-Forwarded-Port: 8080")
	f("listen: ':8080'\n", "http://a.com:80/", "", "no listener has port 80; as by :8080", 200)
	f("listen: {address: ':8443', tls: self}\n", "http://a.com:9/", "", "no listener has port 9; as by :8443, TLS; no listener is plain", 200)
	f("listen: {address: ':8443', tls: self}\n", "http://a.com/", "", ":8443, TLS; no listener is plain", 200)
	f("listen: {address: ':80', tls: self}\n", "http://a.com/", "", ":80, TLS", 400) // it was passed on, and not with the port in the URL
	f("listen: [{address: ':443', tls: self}, {address: ':80', tls: self}]\n", "http://a.com/", "", ":80, TLS", 400)
	f("listen: [':8080', {address: ':80', tls: self}]\n", "http://a.com/", "", ":80, TLS", 400)
	f("listen: {address: ':0', tls: self}\n", "http://a.com:9/", "", ":0, TLS; no listener is plain", 200)
	// Who is refused in the handshake was passed on without a word.
	const strict, require = "; it refuses names that it has no certificate for (strict_sni)", "; it refuses clients without a certificate (client_auth: require)"
	f("listen: {address: ':443', tls: {certificate: self, strict_sni: true}}\n", "https://a.com/", "", ":443, TLS"+strict, 200)
	f("listen: {address: ':443', tls: {certificate: self, client_auth: request, client_ca: a}}\n", "https://a.com/", "", ":443, TLS", 200)
	f("listen: {address: ':443', tls: {certificate: self, strict_sni: true, client_auth: require, client_ca: a}}\n", "https://a.com/", "", ":443, TLS"+strict+require, 200)
	f("listen: [':81', ':80']\n", "http://a.com/", "", ":80", 200)
	f("listen: [{address: 'fd://3', tls: {certificate: self}}]\n", "http://a.com/", "", "fd://3, TLS; no listener is plain", 200, "X-Forwarded-Port: (that of the socket)")
	f("listen: 'unix:/run/l7.sock'\n", "http://a.com/", "", "unix:/run/l7.sock", 200, "X-Forwarded-For: unix")
	f("listen: 'unix:/run/l7.sock'\n", "http://a.com/", "10.1.1.1", "unix:/run/l7.sock", 200, "X-Forwarded-For: 10.1.1.1")
}

// Where nobody would be asked, the answer is the balancer's; it was "passed on". By the config alone it counts for nothing what has become
// of the servers.
func TestExplainWithoutServers(t *testing.T) {
	s, _ := build(t, `
limits: {body: 1KiB}
backends:
  weightless.com: {servers: [{address: '127.0.0.1:1', weight: 0}], all_down: serve}
  drained.com: {servers: ['127.0.0.1:1', '127.0.0.1:2']}
  unhealthy.com: {servers: ['127.0.0.1:1'], health: /}
  hopeful.com: {servers: ['127.0.0.1:1'], health: /, all_down: serve}
  unchecked.com: {servers: ['127.0.0.1:1'], health: {path: /, required: true}}
  empty.com: {servers: []}
  fine.com: {policy: first, servers: ['127.0.0.1:1', '127.0.0.1:2']}
`)
	defer s.Close()
	for _, v := range s.Views() {
		for _, m := range v.Members() {
			switch v.Name() {
			case "drained.com":
				m.Drain(true)
			case "unhealthy.com", "hopeful.com":
				m.Report(health.Verdict{Reason: "refused"})
			}
		}
	}
	f := func(q Question, live, byConfig int, cause string) {
		t.Helper()
		d, err := s.Explain(q)
		require.NoError(t, err)
		require.Equal(t, live, d.Status)
		require.Equal(t, cause, d.Cause)
		q.ByConfig = true
		d, err = s.Explain(q)
		require.NoError(t, err)
		require.Equal(t, byConfig, d.Status)
	}
	f(Question{Host: "weightless.com"}, 503, 503, "unavailable")
	f(Question{Host: "drained.com"}, 503, 200, "unavailable")
	f(Question{Host: "unhealthy.com"}, 503, 200, "unavailable")
	f(Question{Host: "hopeful.com"}, 200, 200, "ok")
	f(Question{Host: "unchecked.com"}, 503, 200, "unavailable")
	f(Question{Host: "empty.com"}, 503, 503, "no_server")
	f(Question{Host: "fine.com", Fields: []string{"Content-Length: 1024"}}, 200, 200, "ok")
	f(Question{Host: "fine.com", Fields: []string{"Content-Length: 1025"}}, 413, 413, "body_too_large")

	d, err := s.Explain(Question{Host: "fine.com"})
	require.NoError(t, err)
	require.Equal(t, []string{"picked by first", "next"}, []string{d.Servers[0].Reason, d.Servers[1].Reason})
	d, err = s.Explain(Question{Host: "unchecked.com", ByConfig: true})
	require.NoError(t, err)
	require.Equal(t, "once a check has found it healthy", d.Servers[0].Reason)
}

// Why a path cannot be routed by is said.
func TestExplainAmbiguousPath(t *testing.T) {
	s, _ := build(t, "backends: {a.com/x: {servers: ['127.0.0.1:1']}}")
	defer s.Close()
	d, err := s.Explain(Question{Host: "a.com", Target: "/x%2f"})
	require.NoError(t, err)
	require.Equal(t, "it has an encoded slash", d.Error)
}

// configFile is the name of a file with that text.
func configFile(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
	return file
}
