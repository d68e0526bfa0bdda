package server

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"l7/auth"
	"l7/balancer"
	"l7/config"
	"l7/exchange"
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

// A question that is no request is an error, and one header line cannot smuggle in another request.
func TestExplainBadQuestions(t *testing.T) {
	s := explaining(t)
	f := func(q Question) {
		t.Helper()
		_, err := s.Explain(q)
		require.ErrorContains(t, err, "cannot read the request")
	}
	f(Question{Host: "a b"})
	f(Question{Host: "b.com", Target: "no slash"})
	f(Question{Host: "b.com", Fields: []string{"no colon"}})
	f(Question{Host: "b.com", Fields: []string{"A: b\r\n\r\nGET / HTTP/1.1"}})
	f(Question{Host: strings.Repeat("a", 40<<10)})
}

// configFile is the name of a file with that text.
func configFile(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
	return file
}
