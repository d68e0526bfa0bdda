package server

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"l7/config"
)

// TestProof: an authority that asks whether a host is ours gets its answer before anything else is looked at; whatever nobody has been told
// to ask for goes the way of other requests.
func TestProof(t *testing.T) {
	t.Parallel()
	p := inFront(t, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserver"), "users: {alice: secret}")
	next := *p.Snapshot()
	next.http01 = func(host, path string) (string, bool) {
		token := strings.TrimPrefix(path, proofPath)
		return token + " of " + host, token == "known"
	}
	p.Swap(&next)
	f := func(start, status, body string) {
		t.Helper()
		got := p.exchange(start + " HTTP/1.1\r\nHost: Example.com:80\r\nConnection: close\r\n\r\n")
		assert.True(t, strings.HasPrefix(got, "HTTP/1.1 "+status+" "), got)
		assert.True(t, strings.HasSuffix(got, body), got)
	}
	f("GET /.well-known/acme-challenge/known", "200", "\r\n\r\nknown of example.com")
	f("GET /.well-known/acme-challenge/unknown", "401", "unauthorized\n")
	f("POST /.well-known/acme-challenge/known", "401", "unauthorized\n")
	f("GET /known", "401", "unauthorized\n")
}

// TestProofComesFirst: who may not connect, or is to come back by https, may still ask for a proof.
func TestProofComesFirst(t *testing.T) {
	t.Parallel()
	p := inFront(t, answering(t, ""))
	next := *p.Snapshot()
	next.http01 = func(string, string) (string, bool) { return "proof", true }
	p.Swap(&next)
	everybody := []config.Prefix{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}
	for _, rules := range []Rules{{Deny: everybody}, {Redirect: true}} {
		opening, err := p.Open([]Listen{{Address: config.ListenAddress{Network: "tcp", Addr: "127.0.0.1:0"}, Rules: rules}})
		assert.NoError(t, err)
		commit(p.Server, opening)
		assert.Contains(t, p.exchange("GET "+proofPath+"x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "200 OK")
		assert.NotContains(t, p.exchange("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "200 OK")
	}
}
