package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSNI(t *testing.T) {
	ca := newAuthority(t, "ca")
	k := keeper(t, ca.named(t, "default.test"), ca.named(t, "*.wild.test"), ca.named(t, "www.wild.test"))
	f := func(name string, isStrict bool, want string) {
		t.Helper()
		server := serverConfig(t, ServerOptions{GetCertificate: k.GetCertificate, StrictSNI: isStrict})
		o := connect(t, server, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if want != "" {
			require.Equal(t, want, o.shown(t).DNSNames[0])
			return
		}
		nameError, ok := errors.AsType[*NameError](o.serverErr)
		require.True(t, ok, "%v", o.serverErr)
		require.Equal(t, name, nameError.Name)
		require.ErrorContains(t, o.serverErr, "strict_sni")
		require.ErrorContains(t, o.clientErr, "unrecognized name")
	}
	for _, isStrict := range []bool{false, true} {
		f("default.test", isStrict, "default.test")
		f("x.wild.test", isStrict, "*.wild.test")
		f("www.wild.test", isStrict, "www.wild.test")
		f("WWW.Wild.Test", isStrict, "www.wild.test")
	}
	f("unknown.test", false, "default.test")
	f("", false, "default.test")
	f("a.b.wild.test", false, "default.test")
	f("unknown.test", true, "")
	f("", true, "")
	f("a.b.wild.test", true, "")
}

// A ticket of any listener let a client in under a name that no certificate is for: TLS 1.3 asks for no certificate when it resumes.
func TestStrictForTickets(t *testing.T) {
	ca := newAuthority(t, "ca")
	known, other := keeper(t, ca.named(t, "a.test")), keeper(t, ca.named(t, "b.test"))
	tickets := NewTickets(nil, time.Time{})
	config := func(k *Keeper, isStrict bool, clients *Clients) *tls.Config {
		return serverConfig(t, ServerOptions{GetCertificate: k.GetCertificate, StrictSNI: isStrict, Clients: clients, Tickets: tickets})
	}
	clients := clientsOf(t, "request", ca.file, "")
	f := func(from, to *tls.Config, name string, ok bool) {
		t.Helper()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := &tls.Config{ServerName: "a.test", RootCAs: ca.pool(), MaxVersion: version, ClientSessionCache: &stuckCache{}}
			connect(t, from, client).requireOK(t)
			client = client.Clone()
			client.ServerName, client.InsecureSkipVerify = name, true
			o := connect(t, to, client)
			if ok {
				require.True(t, o.requireOK(t).server.DidResume)
				continue
			}
			require.IsType(t, &NameError{}, o.serverErr)
			require.ErrorContains(t, o.clientErr, "unrecognized name")
		}
	}
	for _, from := range []*tls.Config{config(known, true, nil), config(known, false, nil)} {
		for _, to := range []*tls.Config{config(known, true, nil), config(known, true, clients)} {
			f(from, to, "a.test", true)
			f(from, to, "unknown.test", false)
			f(from, to, "", false)
		}
		f(from, config(other, true, nil), "a.test", false)
		f(from, config(known, false, nil), "unknown.test", true)
	}
}

// Another source of certificates may leave the parsing to us, have none, or fail.
func TestStrictOtherSource(t *testing.T) {
	cert, err := SelfSigned(nil, time.Now())
	require.NoError(t, err)
	f := func(cert *tls.Certificate, failure error, ok bool) {
		t.Helper()
		server := serverConfig(t, ServerOptions{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, failure }, StrictSNI: true,
		})
		o := connect(t, server, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true})
		require.Equal(t, ok, o.serverErr == nil && o.clientErr == nil, "%v, %v", o.serverErr, o.clientErr)
	}
	f(cert, nil, true)
	f(&tls.Certificate{Certificate: cert.Certificate, PrivateKey: cert.PrivateKey}, nil, true)
	f(&tls.Certificate{Certificate: [][]byte{[]byte("garbled")}}, nil, false)
	f(nil, nil, false)
	f(nil, ErrNoCertificate, false)
}

// A renewed pair is in force after Reload; between its two files, and while it is broken, the one before is.
func TestReload(t *testing.T) {
	ca := newAuthority(t, "ca")
	first, second := ca.named(t, "a.test"), ca.named(t, "b.test")
	k := keeper(t, first, second)
	require.Len(t, k.Files(), 4)
	require.IsIncreasing(t, k.Files())
	server := serverConfig(t, ServerOptions{GetCertificate: k.GetCertificate})
	shown := func(name string) string {
		t.Helper()
		return connect(t, server, &tls.Config{RootCAs: ca.pool(), ServerName: name}).shown(t).SerialNumber.String()
	}
	reload := func(renewed string, broken ...string) {
		t.Helper()
		found, warnings, err := k.Reload()
		require.Empty(t, warnings)
		var names []string
		for _, e := range found {
			names = append(names, e.Names...)
		}
		require.Equal(t, renewed, strings.Join(names, " "))
		if len(broken) == 0 {
			require.NoError(t, err)
		}
		for _, file := range broken {
			require.ErrorContains(t, err, file)
		}
	}
	beforeA, beforeB := shown("a.test"), shown("b.test")
	same := k.Store().Get("a.test", nil)
	reload("")
	require.Same(t, same, k.Store().Get("a.test", nil), "what has not changed is not read again")

	cert, key := ca.sign(t, leaf("a.test"), newECDSA(t))
	write(t, first.Cert, cert)
	ca.renew(t, second, leaf("b.test"), newECDSA(t))
	reload("b.test", first.Key)
	require.Equal(t, beforeA, shown("a.test"))
	require.NotEqual(t, beforeB, shown("b.test"), "one broken pair holds up no other")
	write(t, first.Key, key)
	reload("a.test")
	require.NotEqual(t, beforeA, shown("a.test"))

	beforeA = shown("a.test")
	require.NoError(t, os.Remove(first.Cert))
	write(t, second.Key, []byte("garbled"))
	reload("", first.Cert, second.Key)
	require.Equal(t, beforeA, shown("a.test"))
	shown("b.test")
}

// What is warned of is what is new.
func TestReloadWarnings(t *testing.T) {
	ca := newAuthority(t, "ca")
	expired := leaf("a.test")
	expired.NotAfter = time.Now().Add(-time.Minute)
	pair, other := ca.named(t, "a.test"), ca.named(t, "b.test")
	k := keeper(t, pair, other)
	f := func(renewed Pair, template *x509.Certificate, want int) {
		t.Helper()
		ca.renew(t, renewed, template, newECDSA(t))
		found, warnings, err := k.Reload()
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, renewed.Cert, found[0].File)
		require.Len(t, warnings, want)
	}
	f(pair, expired, 1)
	f(other, leaf("b.test"), 0)
}

// A keeper for a new config takes over what is broken now and was not before, and leaves the keeper before alone.
func TestNewKeeper(t *testing.T) {
	ca := newAuthority(t, "ca")
	kept, fresh := ca.named(t, "a.test"), ca.named(t, "b.test")
	before := keeper(t, kept)
	store := before.Store()
	write(t, kept.Key, []byte("garbled"))

	k, warnings, err := NewKeeper([]Pair{fresh, kept}, before)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], kept.Key)
	require.Contains(t, warnings[0], "stays in use")
	require.Same(t, store.Default(), k.Store().Get("a.test", nil))
	require.Equal(t, []string{"b.test"}, k.Store().Default().Leaf.DNSNames)

	write(t, fresh.Cert, []byte("garbled"))
	_, _, err = NewKeeper([]Pair{fresh, kept}, before)
	require.ErrorContains(t, err, fresh.Cert)
	require.NotContains(t, err.Error(), kept.Key)
	require.Same(t, store, before.Store())
	_, _, err = NewKeeper([]Pair{kept}, nil)
	require.ErrorContains(t, err, kept.Key)
}

// Clients come while certificates are renewed and ticket keys change: every handshake succeeds.
func TestConcurrent(t *testing.T) {
	ca := newAuthority(t, "ca")
	pair := ca.named(t, "a.test")
	k, tickets := keeper(t, pair), NewTickets(nil, time.Time{})
	server := serverConfig(t, ServerOptions{GetCertificate: k.GetCertificate, Tickets: tickets})
	client := &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", ClientSessionCache: tls.NewLRUClientSessionCache(10)}
	var clients sync.WaitGroup
	outcomes := make(chan outcome, 8*20)
	for range 8 {
		clients.Go(func() {
			for range 20 {
				outcomes <- connect(t, server, client)
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	renewals := 0
	for renewed := true; renewed; renewals++ {
		ca.renew(t, pair, leaf("a.test"), newECDSA(t))
		_, _, err := k.Reload()
		require.NoError(t, err)
		tickets.Rotate()
		k.Store().Expiries()
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
