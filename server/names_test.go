package server

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"l7/auth"
	"l7/balancer"
	"l7/config"
	"l7/discovery"
	"l7/exchange"
)

// book knows what names stand for by heart.
type book map[discovery.Name]discovery.Set

func (b book) Get(name discovery.Name) discovery.Set { return b[name] }

var (
	host    = discovery.Name{Host: "app.test"}
	service = discovery.Name{Host: "_w._tcp.test", Service: true}
)

// target is one behind 10.0.0.N.
func target(n byte, host string, weight, priority int) discovery.Target {
	return discovery.Target{IP: netip.AddrFrom4([4]byte{10, 0, 0, n}), Port: 443, Weight: weight, Priority: priority, Host: host}
}

// write changes what a name stands for.
func (b book) write(name discovery.Name, targets ...discovery.Target) {
	b[name] = discovery.Set{Targets: targets, Resolved: true}
}

// byBook is a snapshot with one backend, whose servers are known by a book.
func byBook(t *testing.T, known book, servers ...config.Server) *Snapshot {
	t.Helper()
	cfg := config.Default()
	cfg.Backends = map[string]config.Backend{"*": config.DefaultBackend()}
	backend := cfg.Backends["*"]
	backend.Servers = servers
	cfg.Backends["*"] = backend
	pools := exchange.NewPools()
	snapshot, findings := NewSnapshot(&cfg, Parts{
		Registry: balancer.NewRegistry(pools, func(balancer.Change) {}), Verifier: auth.NewVerifier(), Pools: pools,
		Limiters: NewLimiters(), Cells: NewCells(), Names: NewNames(known, []discovery.Name{host, service}),
	})
	require.Empty(t, findings)
	return snapshot
}

func serverAt(t *testing.T, address string, weight int) config.Server {
	t.Helper()
	parsed, err := config.ParseAddress(address)
	require.NoError(t, err)
	return config.Server{Address: parsed, Weight: weight}
}

// An address that is there both as it is and behind a name is who it is first: its certificate was asked for another's name.
func TestAddressAndNameOfOneServer(t *testing.T) {
	known := book{}
	known.write(host, target(1, "app.test", 1, 0), target(2, "app.test", 1, 0))
	s := byBook(t, known, serverAt(t, "https://10.0.0.1:443", 1), serverAt(t, "https://app.test:443", 1))
	servers, names, err := s.source.resolved(s.source.cfg.Backends["*"].Servers)
	require.NoError(t, err)
	require.Len(t, servers, 2)
	require.Equal(t, map[config.Address]string{servers[1].Address: "app.test"}, names)
}

// Weights that are too large together keep their shares, those of backups apart: all that were too large became the same.
func TestWeightsOfNames(t *testing.T) {
	f := func(weight int, targets []discovery.Target, want ...int) {
		t.Helper()
		known := book{}
		known.write(service, targets...)
		s := byBook(t, known, serverAt(t, "srv+http://_w._tcp.test", weight), serverAt(t, "http://10.0.0.9", 40))
		var got []int
		for _, m := range s.backends[0].Members() {
			got = append(got, m.Config().Weight)
		}
		require.Equal(t, want, got)
	}
	f(100, []discovery.Target{target(1, "a", 60, 0), target(2, "b", 20, 0)}, 1000, 333, 7)
	f(1, []discovery.Target{target(1, "a", 60, 0), target(2, "b", 20, 0)}, 60, 20, 40)
	f(10, []discovery.Target{target(1, "a", 100, 0), target(2, "b", 20, 0)}, 1000, 200, 40)
	f(1000, []discovery.Target{target(1, "a", 1000, 0), target(2, "b", 1, 0)}, 1000, 1, 1)
	f(0, []discovery.Target{target(1, "a", 1000, 0)}, 0, 40)
	f(10, []discovery.Target{target(1, "a", 1, 0), target(2, "b", 200, 1), target(3, "c", 100, 1)}, 10, 1000, 500, 40)
}

// Another host at the same address has another certificate, and is another server: it was not noticed before a reload.
func TestRenew(t *testing.T) {
	known := book{}
	known.write(service, target(1, "a.test", 1, 0))
	s := byBook(t, known, serverAt(t, "srv+https://_w._tcp.test", 1))
	names := func(s *Snapshot) map[config.Address]string {
		_, names, _ := s.source.resolved(s.source.cfg.Backends["*"].Servers)
		return names
	}
	at := s.backends[0].Members()[0].Address()
	known.write(service, target(1, "b.test", 1, 0))
	require.Equal(t, map[config.Address]string{at: "a.test"}, names(s), "it is as it was built")
	next, _, _ := s.Renew([]discovery.Name{host})
	require.Nil(t, next, "nobody uses that name")

	next, changed, done := s.Renew([]discovery.Name{service})
	require.Equal(t, []string{"*"}, changed)
	require.Equal(t, map[config.Address]string{at: "b.test"}, names(next))
	require.NotSame(t, s.backends[0].Members()[0].Server, next.backends[0].Members()[0].Server)
	require.Same(t, s.backends[0].Members()[0].Standing, next.backends[0].Members()[0].Standing, "what is known of the address stays")
	done()
	again, _, _ := next.Renew([]discovery.Name{service})
	require.Nil(t, again, "nothing has changed since")

	known.write(service, target(1, "b.test", 1, 0), target(2, "b.test", 1, 0))
	more, _, done := next.Renew([]discovery.Name{service})
	require.Len(t, more.backends[0].Members(), 2)
	done()
}

// The reason is what is known when it is read.
func TestWhyUnresolved(t *testing.T) {
	known := book{}
	s := byBook(t, known, serverAt(t, "http://app.test", 1))
	err := s.backends[0].Unresolved()
	require.EqualError(t, err, "app.test: its first lookup has not ended yet")
	known[host] = discovery.Set{Err: errors.New("no answer")}
	require.EqualError(t, err, "app.test: no answer")
}
