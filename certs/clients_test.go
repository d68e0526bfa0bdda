package certs

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClientsRefused(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	bad := ca.named(t, "a.test").Cert
	write(t, bad, []byte("garbled"))
	f := func(mode, ca, crl string, want ...string) {
		t.Helper()
		c, _, err := NewClients(mode, ca, crl)
		require.Nil(t, c)
		for _, text := range want {
			require.ErrorContains(t, err, text)
		}
	}
	f("maybe", "", "", `client_auth "maybe"`)
	f("require", "", "", "without client_ca")
	f("", ca.file, "", "while client_auth is off")
	f("off", "", "x", "while client_auth is off")
	f("request", "missing.pem", "", `"missing.pem"`, "no such file")
	f("request", bad, "", bad, "no certificate")
	f("require", ca.file, "missing.pem", "missing.pem", "no such file")
	f("require", ca.file, bad, bad, "CRL 1 of")

	later := time.Now().Add(time.Hour)
	crl := func(file, want string) {
		t.Helper()
		f("require", ca.file, file, file, want)
	}
	crl(other.revoke(t, later, nil), "no authority in client_ca is its issuer")
	forged := newAuthority(t, "ca") // of the same name, with another key
	crl(forged.revoke(t, later, nil), "not signed as it should be")
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}}
	crl(ca.revoke(t, later, []pkix.Extension{critical}), "2.5.29.28")
}

func TestClientAuth(t *testing.T) {
	ca, other, clients := newAuthority(t, "ca"), newAuthority(t, "other"), newAuthority(t, "clients")
	get := keeper(t, ca.named(t, "a.test")).GetCertificate
	good, strange := clientPair(t, clients.named(t, "client")), clientPair(t, other.named(t, "client"))
	f := func(mode string, version uint16, certs []tls.Certificate, ok bool) {
		t.Helper()
		o := ServerOptions{GetCertificate: get}
		if mode != "off" {
			o.Clients = clientsOf(t, mode, clients.file, "")
		}
		client := &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", MaxVersion: version}
		if certs != nil {
			// Even one that the server has not asked for: Certificates would keep it back.
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certs[0], nil }
		}
		got := connect(t, serverConfig(t, o), client)
		require.Equal(t, ok, got.clientErr == nil, "%v, %v", got.clientErr, got.serverErr)
		require.Equal(t, ok, got.serverErr == nil, "%v, %v", got.clientErr, got.serverErr)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		f("off", version, nil, true)
		f("off", version, good, true)
		f("request", version, nil, true)
		f("request", version, good, true)
		f("request", version, strange, false)
		f("require", version, nil, false)
		f("require", version, good, true)
		f("require", version, strange, false)
	}
}

// renewing is a server whose clients' authorities and revocations change while it runs.
type renewing struct {
	t       *testing.T
	ca      *authority
	clients *Clients
	server  *tls.Config
}

func newRenewing(t *testing.T, ca, crl string) *renewing {
	t.Helper()
	r := &renewing{t: t, ca: newAuthority(t, "ca"), clients: clientsOf(t, "require", ca, crl)}
	get := keeper(t, r.ca.named(t, "a.test")).GetCertificate
	r.server = serverConfig(t, ServerOptions{GetCertificate: get, Clients: r.clients, Tickets: NewTickets(nil, time.Time{})})
	return r
}

// client keeps its session.
func (r *renewing) client(version uint16, p Pair) *tls.Config {
	return &tls.Config{
		RootCAs: r.ca.pool(), ServerName: "a.test", MaxVersion: version,
		Certificates: clientPair(r.t, p), ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
}

func (r *renewing) reload(changed bool) {
	r.t.Helper()
	got, err := r.clients.Reload()
	require.NoError(r.t, err)
	require.Equal(r.t, changed, got)
}

// Whoever is revoked is refused from the next handshake on, with a session from before as well; others keep their sessions.
func TestRevoked(t *testing.T) {
	clients := newAuthority(t, "clients")
	later := time.Now().Add(time.Hour)
	refused := func(o outcome) {
		t.Helper()
		require.Error(t, o.clientErr)
		revokedError, ok := errors.AsType[*RevokedError](o.serverErr)
		require.True(t, ok, "%v", o.serverErr)
		require.Equal(t, "bad.client", revokedError.Certificate.DNSNames[0])
		require.Contains(t, Reason(o.serverErr), "bad.client")
		require.Contains(t, Reason(o.serverErr), "has been revoked")
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		crl := clients.revoke(t, later, nil, big.NewInt(7))
		bad, good := clients.named(t, "bad.client"), clients.named(t, "good.client")
		r := newRenewing(t, clients.file, crl)
		require.Equal(t, []string{clients.file, crl}, r.clients.Files())
		one, two := r.client(version, bad), r.client(version, good)
		connect(t, r.server, one).requireOK(t)
		connect(t, r.server, two).requireOK(t)
		require.True(t, connect(t, r.server, one).requireOK(t).server.DidResume, "or else the next lines test nothing")
		r.reload(false)
		write(t, crl, clients.list(t, later, nil, big.NewInt(7), parsed(t, bad).SerialNumber))
		r.reload(true)
		o := connect(t, r.server, one)
		refused(o)
		require.True(t, o.server.DidResume)
		refused(connect(t, r.server, r.client(version, bad)))
		require.True(t, connect(t, r.server, two).requireOK(t).server.DidResume)
	}
}

// An authority that is taken away takes its clients' sessions along, and a new one counts at once.
func TestAuthoritiesRenewed(t *testing.T) {
	old, fresh := newAuthority(t, "old"), newAuthority(t, "fresh")
	oldText, freshText := pemOf("CERTIFICATE", old.cert.Raw), pemOf("CERTIFICATE", fresh.cert.Raw)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		write(t, old.file, oldText)
		r := newRenewing(t, old.file, "")
		require.Equal(t, []string{old.file}, r.clients.Files())
		one, two := r.client(version, old.named(t, "one")), r.client(version, fresh.named(t, "two"))
		connect(t, r.server, one).requireOK(t)
		require.True(t, connect(t, r.server, one).requireOK(t).server.DidResume)
		require.Error(t, connect(t, r.server, two).clientErr)
		write(t, old.file, append(oldText[:len(oldText):len(oldText)], freshText...))
		r.reload(true)
		require.True(t, connect(t, r.server, one).requireOK(t).server.DidResume)
		connect(t, r.server, two).requireOK(t)
		write(t, old.file, freshText)
		r.reload(true)
		o := connect(t, r.server, one)
		require.Error(t, o.clientErr)
		require.False(t, o.server.DidResume)
		require.True(t, connect(t, r.server, two).requireOK(t).server.DidResume)
	}
}

// Where one file is broken, or gone, both stay as they were; and the error names the file.
func TestClientsBroken(t *testing.T) {
	clients := newAuthority(t, "clients")
	later := time.Now().Add(time.Hour)
	bad := clients.named(t, "bad")
	crl := clients.revoke(t, later, nil, parsed(t, bad).SerialNumber)
	r := newRenewing(t, clients.file, crl)
	f := func(broken string, reason ...string) {
		t.Helper()
		changed, err := r.clients.Reload()
		require.False(t, changed)
		for _, text := range append(reason, broken) {
			require.ErrorContains(t, err, text)
		}
		require.Error(t, connect(t, r.server, r.client(0, bad)).clientErr)
		connect(t, r.server, r.client(0, clients.named(t, "good"))).requireOK(t)
	}
	write(t, crl, []byte("garbled"))
	f(crl, "CRL 1 of")
	write(t, crl, newAuthority(t, "other").list(t, later, nil))
	f(crl, "no authority in client_ca is its issuer")
	require.NoError(t, os.Remove(crl))
	f(crl, "no such file")
	write(t, clients.file, []byte("garbled"))
	f(clients.file, "no certificate")
	write(t, clients.file, pemOf("CERTIFICATE", clients.cert.Raw))
	write(t, crl, clients.list(t, later, nil))
	r.reload(true)
	connect(t, r.server, r.client(0, bad)).requireOK(t)
}

// A client that offers one of the further protocols alone is asked for no certificate, and gets no session that others could use.
func TestOtherProtocolsShowNoCertificate(t *testing.T) {
	ca, clients := newAuthority(t, "ca"), newAuthority(t, "clients")
	server := serverConfig(t, ServerOptions{
		GetCertificate: keeper(t, ca.named(t, "a.test")).GetCertificate, Protos: []string{"acme-tls/1"},
		Clients: clientsOf(t, "require", clients.file, ""), Tickets: NewTickets(nil, time.Time{}),
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for range 2 {
			client.NextProtos = []string{"acme-tls/1"}
			o := connect(t, server, client).requireOK(t)
			require.Equal(t, "acme-tls/1", o.server.NegotiatedProtocol)
			require.False(t, o.server.DidResume)
			for _, protos := range [][]string{nil, {"http/1.1"}, {"acme-tls/1", "http/1.1"}} {
				client.NextProtos = protos
				require.Error(t, connect(t, server, client).clientErr, protos)
			}
		}
	}
}

// A CRL may be DER, several may be in one file, and one that is out of date still counts.
func TestLists(t *testing.T) {
	one, two := newAuthority(t, "one"), newAuthority(t, "two")
	late := time.Now().Add(-time.Minute)
	first := one.revoke(t, late, nil, big.NewInt(1))
	second := two.revoke(t, time.Now().Add(time.Hour), nil, big.NewInt(1), big.NewInt(2))
	firstText, err := os.ReadFile(first)
	require.NoError(t, err)
	secondText, err := os.ReadFile(second)
	require.NoError(t, err)
	write(t, second, append(secondText, firstText...))
	write(t, one.file, append(pemOf("CERTIFICATE", one.cert.Raw), pemOf("CERTIFICATE", two.cert.Raw)...))
	c, warnings, err := NewClients("require", one.file, second)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "CRL 2 of")
	require.Contains(t, warnings[0], "out of date")
	require.Len(t, c.Warnings(time.Now().Add(2*time.Hour)), 2)
	require.Empty(t, c.Warnings(late.Add(-time.Minute)))
	require.Len(t, c.trusted.Load().revoked.entries, 3)

	block, _ := pem.Decode(firstText)
	write(t, second, block.Bytes)
	changed, err := c.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.Len(t, c.trusted.Load().revoked.entries, 1)
}

// A client whose certificate is on a list that is out of date is refused, and others are not.
func TestOutOfDateListCounts(t *testing.T) {
	clients := newAuthority(t, "clients")
	bad := clients.named(t, "bad")
	c, warnings, err := NewClients("require", clients.file, clients.revoke(t, time.Now().Add(-time.Hour), nil, parsed(t, bad).SerialNumber))
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	r := newRenewing(t, clients.file, "")
	server := serverConfig(t, ServerOptions{GetCertificate: r.server.GetCertificate, Clients: c})
	require.Error(t, connect(t, server, r.client(0, bad)).clientErr)
	connect(t, server, r.client(0, clients.named(t, "good"))).requireOK(t)
}

// Clients come while their authorities and revocations change and ticket keys do: every handshake of a good one succeeds.
func TestClientsConcurrent(t *testing.T) {
	authority := newAuthority(t, "clients")
	crl := authority.revoke(t, time.Now().Add(time.Hour), nil)
	r := newRenewing(t, authority.file, crl)
	good := authority.named(t, "good")
	var running sync.WaitGroup
	outcomes := make(chan outcome, 8*20)
	for range 8 {
		client := r.client(0, good)
		running.Go(func() {
			for range 20 {
				outcomes <- connect(t, r.server, client)
			}
		})
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	renewals := 0
	for renewed := true; renewed; renewals++ {
		write(t, crl, authority.list(t, time.Now().Add(time.Hour), nil, big.NewInt(int64(renewals+1))))
		r.reload(true)
		select {
		case <-done:
			renewed = false
		default:
		}
	}
	for range cap(outcomes) {
		(<-outcomes).requireOK(t)
	}
	t.Logf("%d handshakes, %d renewals", cap(outcomes), renewals)
}
