package certs

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGet(t *testing.T) {
	ca := newAuthority(t, "ca")
	pairs := []Pair{
		ca.named(t, "default.test", "10.0.0.1", "::1"),
		ca.named(t, "*.example.test"),
		ca.named(t, "www.example.test", "UPPER.test"),
		ca.pair(t, leaf(), newECDSA(t)),
		ca.named(t, "default.test"), // never: the first of a name is in its place
	}
	store, _, err := Load(pairs, time.Now())
	require.NoError(t, err)
	f := func(name string, want int) {
		t.Helper()
		got := store.Get(name, nil)
		if want < 0 {
			require.Nil(t, got)
			return
		}
		require.NotNil(t, got)
		require.Equal(t, parsed(t, pairs[want]).SerialNumber, got.Leaf.SerialNumber)
	}
	f("default.test", 0)
	f("DEFAULT.test.", 0)
	f("10.0.0.1", 0)
	f("::1", 0)
	f("www.example.test", 2)
	f("upper.test", 2)
	f("other.example.test", 1)
	f("Other.Example.Test", 1)
	f("a.b.example.test", -1)
	f("example.test", -1)
	f(".example.test", -1)
	f("*.example.test", 1)
	f("", -1)
	f("other.test", -1)
	f("10.0.0.2", -1)
	require.Equal(t, parsed(t, pairs[0]).SerialNumber, store.Default().Leaf.SerialNumber)

	expiries := store.Expiries()
	require.Len(t, expiries, len(pairs))
	require.Equal(t, []string{"default.test", "10.0.0.1", "::1"}, expiries[0].Names)
	require.Equal(t, pairs[0].Cert, expiries[0].File)
	require.WithinDuration(t, time.Now().Add(time.Hour), expiries[0].NotAfter, time.Minute)
}

func TestEmptyStore(t *testing.T) {
	store, warnings, err := Load(nil, time.Now())
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Nil(t, store.Default())
	require.Nil(t, store.Get("a.test", nil))
	_, err = keeper(t).GetCertificate(&tls.ClientHelloInfo{})
	require.ErrorIs(t, err, ErrNoCertificate)
}

// A certificate may be for nothing but a wildcard, or for nothing at all, and be the default.
func TestDefaultWithoutName(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := func(first Pair) {
		t.Helper()
		store, _, err := Load([]Pair{first, ca.named(t, "other.test")}, time.Now())
		require.NoError(t, err)
		require.Equal(t, parsed(t, first).SerialNumber, store.Default().Leaf.SerialNumber)
	}
	f(ca.named(t, "*.a.test"))
	f(ca.pair(t, leaf(), newECDSA(t)))
}

func TestLoadRefuses(t *testing.T) {
	ca := newAuthority(t, "ca")
	good := ca.named(t, "a.test")
	other := ca.named(t, "b.test")
	empty := ca.named(t, "c.test")
	write(t, empty.Cert, []byte("nothing"))
	garbled := ca.named(t, "d.test")
	write(t, garbled.Cert, pemOf("CERTIFICATE", []byte("garbled")))
	noKey := ca.named(t, "e.test")
	write(t, noKey.Key, []byte("nothing"))
	f := func(index int, file, text string, pairs ...Pair) {
		t.Helper()
		store, warnings, err := Load(pairs, time.Now())
		require.Nil(t, store)
		require.Nil(t, warnings)
		pairError, ok := errors.AsType[*PairError](err)
		require.True(t, ok)
		require.Equal(t, index, pairError.Index)
		require.Equal(t, file, pairError.File)
		require.ErrorContains(t, err, file)
		require.ErrorContains(t, err, text)
	}
	f(0, "missing.pem", "no such file", Pair{"missing.pem", good.Key})
	f(1, "missing.pem", "no such file", good, Pair{good.Cert, "missing.pem"})
	f(0, other.Key, "does not match", Pair{good.Cert, other.Key})
	f(0, empty.Cert, "no certificate in PEM form", empty)
	f(1, garbled.Cert, "certificate 1 in it cannot be read", good, garbled)
	f(0, noKey.Key, "it is no key for certificate", noKey)
	// A certificate of the chain before that of the server, and keys with a password.
	rootFirst := ca.named(t, "f.test")
	leafText, err := os.ReadFile(rootFirst.Cert)
	require.NoError(t, err)
	write(t, rootFirst.Cert, append(pemOf("CERTIFICATE", ca.cert.Raw), leafText...))
	f(0, rootFirst.Key, "the server's own certificate comes first in the file", rootFirst)
	encrypted := ca.named(t, "g.test")
	write(t, encrypted.Key, pemOf("ENCRYPTED PRIVATE KEY", []byte("garbled")))
	f(0, encrypted.Key, "it is encrypted; `openssl pkey -in "+encrypted.Key+" -out plain.key`", encrypted)
	old := pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("garbled")}
	write(t, encrypted.Key, pem.EncodeToMemory(&old))
	f(0, encrypted.Key, "it is encrypted; ", encrypted)

	_, _, err = Load([]Pair{empty, good, noKey}, time.Now())
	require.ErrorContains(t, err, empty.Cert)
	require.ErrorContains(t, err, noKey.Key)
	_, _, err = Load([]Pair{{"missing.pem", "missing.pem"}}, time.Now())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWarnings(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := func(want string, pair Pair, now time.Time) {
		t.Helper()
		store, warnings, err := Load([]Pair{pair}, now)
		require.NoError(t, err)
		require.NotNil(t, store.Default())
		if want == "" {
			require.Empty(t, warnings)
			return
		}
		require.Len(t, warnings, 1)
		require.Contains(t, warnings[0], want)
		require.Contains(t, warnings[0], pair.Cert)
	}
	feature := func(features ...int) Pair {
		value, err := asn1.Marshal(features)
		require.NoError(t, err)
		template := leaf("a.test")
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: value}}
		return ca.pair(t, template, newECDSA(t))
	}
	now := time.Now()
	f("", ca.named(t, "a.test"), now)
	f("expired on ", ca.named(t, "a.test"), now.Add(2*time.Hour))
	f("is not valid before ", ca.named(t, "a.test"), now.Add(-2*time.Hour))
	f("no subject alternative name", ca.pair(t, leaf(), newECDSA(t)), now)
	f("must-staple", feature(17, 5), now)
	f("", feature(17), now)

	// The chain counts as well: its authority is valid for a day.
	short := ca.named(t, "a.test")
	chained := leaf("a.test")
	chained.NotAfter = now.Add(48 * time.Hour)
	cert, key := ca.sign(t, chained, newECDSA(t))
	write(t, short.Cert, append(cert, pemOf("CERTIFICATE", ca.cert.Raw)...))
	write(t, short.Key, key)
	f("expired on ", short, now.Add(30*time.Hour))
}

// Of one name there may be certificates of two algorithms, and each client gets what it supports, also by default.
func TestAlgorithms(t *testing.T) {
	ca := newAuthority(t, "ca")
	ecdsaPair, rsaPair := ca.named(t, "a.test"), ca.pair(t, leaf("a.test"), newRSA(t))
	wildECDSA, wildRSA := ca.named(t, "*.test"), ca.pair(t, leaf("*.wild.test"), newRSA(t))
	exactECDSA := ca.named(t, "b.wild.test")
	server := plain(t, ecdsaPair, rsaPair, wildECDSA, wildRSA, exactECDSA)
	f := func(name string, suite uint16, want Pair) {
		t.Helper()
		client := &tls.Config{ServerName: name, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}, InsecureSkipVerify: true}
		require.Equal(t, parsed(t, want).SerialNumber, connect(t, server, client).shown(t).SerialNumber)
	}
	const onlyECDSA, onlyRSA = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	f("a.test", onlyECDSA, ecdsaPair)
	f("a.test", onlyRSA, rsaPair)
	f("unknown", onlyECDSA, ecdsaPair)
	f("unknown", onlyRSA, rsaPair)
	f("", onlyECDSA, ecdsaPair)
	f("", onlyRSA, rsaPair)
	f("b.wild.test", onlyECDSA, exactECDSA)
	f("b.wild.test", onlyRSA, wildRSA)

	// What nobody supports is still the certificate of that name.
	hello := &tls.ClientHelloInfo{ServerName: "b.wild.test", SupportedVersions: []uint16{tls.VersionTLS10}}
	require.NotNil(t, keeper(t, wildRSA, exactECDSA).Lookup(hello))
	require.NotNil(t, keeper(t, ecdsaPair, rsaPair).Store().defaultFor(hello))
}

// A client that dials an address gets the certificate for it, and a Unix socket has none.
func TestByAddress(t *testing.T) {
	ca := newAuthority(t, "ca")
	pairs := []Pair{ca.named(t, "a.test"), ca.named(t, "127.0.0.1", "fe80::1")}
	for _, isStrict := range []bool{false, true} {
		server := serverConfig(t, ServerOptions{GetCertificate: keeper(t, pairs...).GetCertificate, StrictSNI: isStrict})
		connect(t, server, &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1"}).requireOK(t)
	}
	f := func(addr net.Addr, want string) {
		t.Helper()
		require.Equal(t, want, nameWanted(&tls.ClientHelloInfo{Conn: local{addr: addr}}))
	}
	f(&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 443}, "fe80::1")
	f(&net.TCPAddr{IP: net.ParseIP("::ffff:1.2.3.4"), Port: 443}, "1.2.3.4")
	f(&net.UnixAddr{Name: "/run/l7.sock"}, "")
}

// local is a connection that has an address and nothing else.
type local struct {
	net.Conn
	addr net.Addr
}

func (l local) LocalAddr() net.Addr { return l.addr }
