package certs

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stocked is a store of n certificates for two names each.
func stocked(t testing.TB, n int) *Store {
	t.Helper()
	ca, key := newAuthority(t, "ca"), newECDSA(t)
	pairs := make([]Pair, n)
	for i := range pairs {
		pairs[i] = ca.pair(t, leaf(fmt.Sprintf("n%d.test", i), fmt.Sprintf("*.n%d.test", i)), key)
	}
	store, _, err := Load(pairs, time.Now())
	require.NoError(t, err)
	return store
}

func TestGetMakesNoGarbage(t *testing.T) {
	store := stocked(t, 2)
	for _, name := range []string{"n1.test", "www.n1.test", "unknown.test"} {
		hello := &tls.ClientHelloInfo{ServerName: name}
		require.Zero(t, testing.AllocsPerRun(100, func() { store.Get(name, hello) }))
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1, 1000} {
		store := stocked(b, n)
		for _, name := range []string{"n0.test", "www.n0.test", "www.unknown.test"} {
			hello := &tls.ClientHelloInfo{ServerName: name}
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						store.Get(name, hello)
					}
				})
			})
		}
	}
}

func BenchmarkReload(b *testing.B) {
	ca, key := newAuthority(b, "ca"), newECDSA(b)
	pairs := make([]Pair, 1000)
	for i := range pairs {
		pairs[i] = ca.pair(b, leaf(fmt.Sprintf("n%d.test", i)), key)
	}
	k := keeper(b, pairs...)
	b.ReportAllocs()
	for b.Loop() {
		_, _, err := k.Reload()
		require.NoError(b, err)
	}
}

// BenchmarkHandshake is of both sides, over loopback.
func BenchmarkHandshake(b *testing.B) {
	ca := newAuthority(b, "ca")
	ecdsaPair, rsaPair := ca.named(b, "a.test"), ca.pair(b, leaf("a.test"), newRSA(b))
	f := func(name string, version uint16, pair Pair, resumed bool) {
		server := serverConfig(b, ServerOptions{GetCertificate: keeper(b, pair).GetCertificate, Tickets: NewTickets(nil, time.Time{})})
		client := &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", MaxVersion: version}
		if resumed {
			client.ClientSessionCache = &stuckCache{}
			connect(b, server, client).requireOK(b)
		}
		b.Run(name, func(b *testing.B) { handshakes(b, server, client, resumed) })
	}
	f("1.3/ecdsa/full", tls.VersionTLS13, ecdsaPair, false)
	f("1.3/ecdsa/resumed", tls.VersionTLS13, ecdsaPair, true)
	f("1.3/rsa/full", tls.VersionTLS13, rsaPair, false)
	f("1.2/ecdsa/full", tls.VersionTLS12, ecdsaPair, false)
	f("1.2/ecdsa/resumed", tls.VersionTLS12, ecdsaPair, true)
}

func handshakes(b *testing.B, server, client *tls.Config, resumed bool) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer ln.Close()
	served := make(chan error, 1)
	b.ReportAllocs()
	for b.Loop() {
		go func() {
			conn, err := ln.Accept()
			if err == nil {
				defer conn.Close()
				err = tls.Server(conn, server).Handshake()
			}
			served <- err
		}()
		conn, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(b, err)
		secure := tls.Client(conn, client)
		require.NoError(b, secure.Handshake())
		require.Equal(b, resumed, secure.ConnectionState().DidResume)
		require.NoError(b, <-served)
		_ = conn.Close()
	}
}
