package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestVersionsAndSuites(t *testing.T) {
	ca := newAuthority(t, "ca")
	get := keeper(t, ca.named(t, "a.test")).GetCertificate
	f := func(o ServerOptions, version, suite uint16, ok bool) {
		t.Helper()
		o.GetCertificate = get
		client := &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", MinVersion: version, MaxVersion: version}
		if suite != 0 {
			client.CipherSuites = []uint16{suite}
		}
		got := connect(t, serverConfig(t, o), client)
		require.Equal(t, ok, got.clientErr == nil && got.serverErr == nil, "%v, %v", got.clientErr, got.serverErr)
		if ok {
			require.Equal(t, version, got.server.Version)
		}
	}
	const (
		gcm128, gcm256 = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
		cbc            = tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
	)
	f(ServerOptions{}, tls.VersionTLS13, 0, true)
	f(ServerOptions{}, tls.VersionTLS12, 0, true)
	f(ServerOptions{}, tls.VersionTLS11, 0, false)
	f(ServerOptions{}, tls.VersionTLS12, cbc, false)
	f(ServerOptions{MinVersion: "1.2"}, tls.VersionTLS12, gcm256, true)
	f(ServerOptions{MinVersion: "1.3"}, tls.VersionTLS12, 0, false)
	f(ServerOptions{MinVersion: "1.3"}, tls.VersionTLS13, 0, true)
	only := ServerOptions{CipherSuites: []string{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}}
	f(only, tls.VersionTLS12, gcm128, true)
	f(only, tls.VersionTLS12, gcm256, false)
	f(only, tls.VersionTLS13, 0, true)
	f(ServerOptions{CipherSuites: []string{"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"}}, tls.VersionTLS12, cbc, true)
}

func TestALPN(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := func(extra, offered []string, want string, ok bool) {
		t.Helper()
		server := serverConfig(t, ServerOptions{GetCertificate: keeper(t, ca.named(t, "a.test")).GetCertificate, Protos: extra})
		o := connect(t, server, &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", NextProtos: offered})
		if !ok {
			require.ErrorContains(t, o.clientErr, "no application protocol")
			return
		}
		require.Equal(t, want, o.requireOK(t).server.NegotiatedProtocol)
	}
	f(nil, nil, "", true)
	f(nil, []string{"http/1.1"}, "http/1.1", true)
	f(nil, []string{"h2", "http/1.1"}, "http/1.1", true)
	f(nil, []string{"h2"}, "", false)
	f(nil, []string{"acme-tls/1"}, "", false)
	f([]string{"acme-tls/1"}, []string{"acme-tls/1"}, "acme-tls/1", true)
	f([]string{"acme-tls/1"}, []string{"acme-tls/1", "http/1.1"}, "http/1.1", true)
}

// Who proves a name may ask for one that no certificate is for, and others are refused by their name whatever else they offer.
func TestStrictALPN(t *testing.T) {
	k, proto := keeper(t, newAuthority(t, "ca").named(t, "a.test")), "acme-tls/1"
	server := serverConfig(t, ServerOptions{GetCertificate: k.GetCertificate, StrictSNI: true, Protos: []string{proto}})
	f := func(ok bool, offered ...string) {
		t.Helper()
		o := connect(t, server, &tls.Config{ServerName: "b.test", InsecureSkipVerify: true, NextProtos: offered})
		require.Equal(t, ok, o.serverErr == nil && o.clientErr == nil, "%v, %v", o.serverErr, o.clientErr)
	}
	f(true, proto)
	f(false, proto, "http/1.1")
	f(false, "http/1.1")
	f(false)
}

func TestServerOptionsRefused(t *testing.T) {
	f := func(o ServerOptions, want ...string) {
		t.Helper()
		config, err := NewServerConfig(o)
		require.Nil(t, config)
		for _, text := range want {
			require.ErrorContains(t, err, text)
		}
	}
	f(ServerOptions{MinVersion: "1.1"}, `min_version "1.1"`)
	f(ServerOptions{CipherSuites: []string{"NONE"}}, `"NONE"`, "not known", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
	const good = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
	f(ServerOptions{CipherSuites: []string{"NONE"}}, good+", and for old clients TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, ")
	f(ServerOptions{CipherSuites: []string{"TLS_RSA_WITH_AES_128_CBC_SHA"}}, "insecure", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
	f(ServerOptions{CipherSuites: []string{"TLS_AES_128_GCM_SHA256"}}, "of TLS 1.3")
	f(ServerOptions{MinVersion: "1.3", CipherSuites: []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}}, "cipher_suites with min_version 1.3")
}

// A session outlives the reload of certificates and of the config, and three changes of keys end it.
func TestResumption(t *testing.T) {
	ca := newAuthority(t, "ca")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		pair := ca.named(t, "a.test")
		k, tickets := keeper(t, pair), NewTickets(nil, time.Time{})
		config := func(tickets *Tickets) *tls.Config {
			return serverConfig(t, ServerOptions{GetCertificate: k.GetCertificate, Tickets: tickets})
		}
		server := config(tickets)
		client := &tls.Config{
			RootCAs: ca.pool(), ServerName: "a.test", MaxVersion: version, ClientSessionCache: &stuckCache{},
		}
		resumed := func(server *tls.Config) bool { return connect(t, server, client).requireOK(t).server.DidResume }
		require.False(t, resumed(server))
		require.True(t, resumed(server))

		ca.renew(t, pair, leaf("a.test"), newECDSA(t))
		_, _, err := k.Reload()
		require.NoError(t, err)
		require.True(t, resumed(server), "after a new certificate")
		require.True(t, resumed(config(tickets)), "after a new config")
		require.True(t, resumed(config(NewTickets(tickets.Keys(), tickets.Since()))), "after an upgrade")
		require.False(t, resumed(config(NewTickets(nil, time.Time{}))), "by another process")

		for range ticketKeys - 1 {
			tickets.Rotate()
			require.True(t, resumed(server))
		}
		tickets.Rotate()
		require.False(t, resumed(server))
	}
}

// stuckCache keeps the first session it is given, so that a test knows which key its ticket is of.
type stuckCache struct{ session *tls.ClientSessionState }

func (c *stuckCache) Get(string) (*tls.ClientSessionState, bool) { return c.session, c.session != nil }

func (c *stuckCache) Put(_ string, session *tls.ClientSessionState) {
	if c.session == nil {
		c.session = session
	}
}

func TestTickets(t *testing.T) {
	tickets := NewTickets(nil, time.Time{})
	require.Len(t, tickets.Keys(), 1)
	first := tickets.Keys()[0]
	tickets.Rotate()
	tickets.Rotate()
	require.Len(t, tickets.Keys(), 3)
	require.Equal(t, first, tickets.Keys()[2])
	tickets.Rotate()
	require.Len(t, tickets.Keys(), 3)
	require.NotContains(t, tickets.Keys(), first)
	require.Equal(t, tickets.Keys(), NewTickets(append(tickets.Keys(), first), tickets.Since()).Keys())
	tickets.Keys()[0] = first
	require.NotContains(t, tickets.Keys(), first, "what is returned is a copy")
}

// Each upgrade put the next change of keys off: what had made tickets for eleven hours did so for twelve more.
func TestTicketsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(tickets *Tickets, due time.Duration) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go tickets.Run(ctx)
			for range 2 {
				before := tickets.Keys()
				time.Sleep(due - time.Second)
				synctest.Wait()
				require.Equal(t, before, tickets.Keys())
				time.Sleep(2 * time.Second)
				synctest.Wait()
				require.Equal(t, before[0], tickets.Keys()[1])
				require.Equal(t, time.Second, time.Since(tickets.Since()))
				due = ticketRotation - time.Second
			}
		}
		keys := NewTickets(nil, time.Time{}).Keys()
		f(NewTickets(nil, time.Time{}), ticketRotation)
		f(NewTickets(keys, time.Time{}), ticketRotation)
		f(NewTickets(keys, time.Now().Add(-11*time.Hour)), time.Hour)
		f(NewTickets(keys, time.Now().Add(time.Hour)), ticketRotation)

		overdue := NewTickets(keys, time.Now().Add(-48*time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go overdue.Run(ctx)
		synctest.Wait()
		require.Len(t, overdue.Keys(), 2)
	})
}

// The configs of reloads long past are forgotten.
func TestTicketsForgetConfigs(t *testing.T) {
	tickets := NewTickets(nil, time.Time{})
	kept := serverConfig(t, ServerOptions{Tickets: tickets})
	for range 100 {
		serverConfig(t, ServerOptions{Tickets: tickets})
	}
	runtime.GC()
	tickets.Rotate()
	require.Less(t, len(tickets.configs), 10)
	require.NotEmpty(t, tickets.configs)
	runtime.KeepAlive(kept)
}

func TestSelfSigned(t *testing.T) {
	now := time.Now()
	cert, err := SelfSigned([]string{"dev.test", "10.0.0.1", "localhost", "*.dev.test"}, now)
	require.NoError(t, err)
	require.Equal(t, []string{"localhost", "dev.test", "*.dev.test", "127.0.0.1", "::1", "10.0.0.1"}, namesOf(cert.Leaf))
	require.Equal(t, now.AddDate(1, 0, 0).Unix(), cert.Leaf.NotAfter.Unix())
	server := serverConfig(t, ServerOptions{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }})
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "x.dev.test"} {
		connect(t, server, &tls.Config{ServerName: name, RootCAs: pool([]*x509.Certificate{cert.Leaf})}).requireOK(t)
	}
	require.Len(t, Fingerprint(cert), 32*3-1)
	require.Equal(t, 31, strings.Count(Fingerprint(cert), ":"))
	require.Equal(t, strings.ToUpper(Fingerprint(cert)), Fingerprint(cert))

	_, err = SelfSigned([]string{"käse.test"}, now)
	require.ErrorContains(t, err, "käse.test")
}
