package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

var webService = Name{Host: "_web._tcp.example", Service: true}

func TestService(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{
		"SRV _web._tcp.example.": {
			answer: []string{
				"_web._tcp.example. 60 IN SRV 10 5 8080 A.example.",
				"_web._tcp.example. 60 IN SRV 0 20 8081 b.example.",
				"_web._tcp.example. 60 IN SRV 0 10 8082 c.example.",
			},
			extra: []string{"a.example. 30 IN A 10.0.0.1", "a.example. 20 IN AAAA fd00::1", "other.example. 1 IN A 10.0.0.66"},
		},
		"A b.example.":    records("b.example. 40 IN A 10.0.0.2"),
		"A c.example.":    records("c.example. 50 IN CNAME d.example.", "d.example. 50 IN A 10.0.0.4"),
		"AAAA c.example.": records("c.example. 50 IN CNAME d.example.", "d.example. 50 IN AAAA fd00::4"),
	})
	a, err := clientOf(patience, z).lookup(bounded(t), webService, nil)
	require.NoError(t, err)
	require.Equal(t, []Target{
		{IP: ip("10.0.0.2"), Port: 8081, Weight: 20, Host: "b.example"},
		{IP: ip("10.0.0.4"), Port: 8082, Weight: 10, Host: "c.example"},
		{IP: ip("fd00::4"), Port: 8082, Weight: 10, Host: "c.example"},
		{IP: ip("10.0.0.1"), Port: 8080, Weight: 5, Priority: 10, Host: "a.example"},
		{IP: ip("fd00::1"), Port: 8080, Weight: 5, Priority: 10, Host: "a.example"},
	}, tidy(a.targets))
	require.Equal(t, 20*time.Second, a.ttl)
	require.Equal(t, []string{
		"udp A b.example.", "udp A c.example.", "udp AAAA b.example.", "udp AAAA c.example.", "udp SRV _web._tcp.example.",
	}, z.questions(), "what came along is not asked for")
}

// Some servers add only the A records of a host, or have room for no more: it may have others all the same.
func TestGlueOfOneFamily(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{
		"SRV _web._tcp.example.": {
			answer: []string{"_web._tcp.example. 60 IN SRV 0 1 80 a.example.", "_web._tcp.example. 60 IN SRV 0 1 80 b.example."},
			extra:  []string{"a.example. 30 IN A 10.0.0.1", "b.example. 30 IN AAAA fd00::2"},
		},
		"AAAA a.example.": records("a.example. 20 IN AAAA fd00::1"),
	})
	a, err := clientOf(patience, z).lookup(bounded(t), webService, nil)
	require.NoError(t, err)
	require.Equal(t, []Target{
		{IP: ip("10.0.0.1"), Port: 80, Weight: 1, Host: "a.example"},
		{IP: ip("fd00::1"), Port: 80, Weight: 1, Host: "a.example"},
		{IP: ip("fd00::2"), Port: 80, Weight: 1, Host: "b.example"},
	}, tidy(a.targets))
	require.Equal(t, 20*time.Second, a.ttl)
	require.Equal(t, []string{"udp A b.example.", "udp AAAA a.example.", "udp SRV _web._tcp.example."}, z.questions())
}

// A service whose only target is "." is there no more; that empties the set, and is no failure.
func TestNoService(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{"SRV _web._tcp.example.": records("_web._tcp.example. 60 IN SRV 0 0 0 .")})
	a, err := clientOf(patience, z).lookup(bounded(t), webService, []Target{{IP: ip("10.0.0.1"), Port: 80, Host: "a.example"}})
	require.NoError(t, err)
	require.Empty(t, a.targets)
	require.Equal(t, time.Minute, a.ttl)
}

func TestServiceFails(t *testing.T) {
	t.Parallel()
	f := func(name string, replies map[string]reply, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			z := newZone(t, replies)
			_, err := clientOf(patience, z).lookup(bounded(t), webService, nil)
			require.ErrorContains(t, err, want)
		})
	}
	one := records("_web._tcp.example. 60 IN SRV 0 0 80 a.example.")
	f("no such name", map[string]reply{"SRV _web._tcp.example.": {rcode: dns.RcodeNameError}}, "no such name")
	f("SERVFAIL", map[string]reply{"SRV _web._tcp.example.": {rcode: dns.RcodeServerFailure}}, "SERVFAIL")
	f("no records", nil, "no records")
	f("no hosts", map[string]reply{"SRV _web._tcp.example.": records(`_web._tcp.example. 60 IN SRV 0 0 80 a\010b\;.example.`)}, "no records")
	f("no port", map[string]reply{"SRV _web._tcp.example.": records("_web._tcp.example. 60 IN SRV 0 0 0 a.example.")}, "no records")
	f("no addresses", map[string]reply{"SRV _web._tcp.example.": one}, "no records")
	f("addresses fail", map[string]reply{"SRV _web._tcp.example.": one, "A a.example.": {rcode: dns.RcodeServerFailure}}, "SERVFAIL")
}

// A host that fails keeps its addresses, at the port and weight it has now; one that has gone does not.
func TestServiceHostFails(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{
		"SRV _web._tcp.example.": records("_web._tcp.example. 60 IN SRV 0 2 80 a.example.", "_web._tcp.example. 60 IN SRV 1 1 81 b.example."),
		"A a.example.":           records("a.example. 60 IN A 10.0.0.1"),
		"A b.example.":           {rcode: dns.RcodeServerFailure},
		"AAAA b.example.":        {rcode: dns.RcodeServerFailure},
	})
	c := clientOf(patience, z)
	last := []Target{{IP: ip("10.0.0.2"), Port: 8000, Weight: 9, Host: "b.example"}, {IP: ip("10.0.0.3"), Port: 8000, Weight: 9, Host: "c.example"}}
	first := Target{IP: ip("10.0.0.1"), Port: 80, Weight: 2, Host: "a.example"}
	a, err := c.lookup(bounded(t), webService, last)
	require.NoError(t, err)
	require.Equal(t, []Target{first, {IP: ip("10.0.0.2"), Port: 81, Weight: 1, Priority: 1, Host: "b.example"}}, tidy(a.targets))
	require.EqualError(t, a.kept, fmt.Sprintf(`cannot look up all addresses of "b.example": %s: SERVFAIL`, z.address))
	require.True(t, a.partial)

	a, err = c.lookup(bounded(t), webService, nil)
	require.NoError(t, err)
	require.Equal(t, []Target{first}, a.targets)
	require.ErrorContains(t, a.kept, "b.example", "a server is missed from the start")

	z.set("A b.example.", reply{rcode: dns.RcodeNameError})
	z.set("AAAA b.example.", reply{rcode: dns.RcodeNameError})
	a, err = c.lookup(bounded(t), webService, last)
	require.NoError(t, err)
	require.Equal(t, []Target{first}, tidy(a.targets))
	require.NoError(t, a.kept)
	require.False(t, a.partial)
}

// Hosts of many addresses do not multiply: the set is bounded, and the best priority comes first.
func TestMostServiceTargets(t *testing.T) {
	t.Parallel()
	var ips []netip.Addr
	for i := range 2 * mostTargets {
		ips = append(ips, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	s := services{addresses: func(context.Context, string, []netip.Addr) (addresses, error) {
		return addresses{ips: slices.Concat(ips, ips)}, nil
	}}
	for i := range 20 {
		s.records = append(s.records, service{host: fmt.Sprintf("%d.example.", i), port: 80, priority: 20 - i})
	}
	a, err := s.lookup(bounded(t), nil)
	require.NoError(t, err)
	require.Len(t, a.targets, mostTargets)
	require.Equal(t, Target{IP: ips[0], Port: 80, Weight: 1, Priority: 1, Host: "19.example"}, a.targets[0])
}

func TestShares(t *testing.T) {
	f := func(weights []int, want ...int) {
		t.Helper()
		records := []service{{priority: 7, weight: 65535}} // another priority does not matter
		for _, w := range weights {
			records = append(records, service{weight: w})
		}
		require.Equal(t, append([]int{1000}, want...), shares(records))
	}
	f([]int{1, 2, 3}, 1, 2, 3)
	f([]int{0, 0}, 1, 1)
	f([]int{5}, 5)
	f([]int{0}, 1)
	f([]int{0, 1, 2}, 1, 100, 200)
	f([]int{0, 10, 20}, 1, 100, 200)
	f([]int{0, 100}, 1, 100)
	f([]int{0, 65535}, 10, 1000)
	f([]int{65535, 65535}, 1000, 1000)
	f([]int{1, 65535}, 1, 1000)
	f([]int{2000, 1000}, 1000, 500)
}

func TestTidy(t *testing.T) {
	a := Target{IP: ip("10.0.0.1"), Port: 80, Weight: 1, Priority: 1, Host: "a"}
	better, heavier, other := a, a, a
	better.Priority, heavier.Weight, other.Port = 0, 9, 81
	require.Equal(t, []Target{better, other}, tidy([]Target{other, a, heavier, better, a}))
	require.Equal(t, []Target{heavier}, tidy([]Target{a, heavier}))
	require.Empty(t, tidy([]Target{{}}))
}

// scripted is a system's resolver.
type scripted struct {
	ips map[string][]netip.Addr
	srv []*net.SRV
	err error
}

func (s *scripted) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip" {
		return nil, errors.New("not both families")
	}
	if ips := s.ips[host]; len(ips) > 0 {
		return ips, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (s *scripted) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	return service + proto + name, s.srv, s.err
}

func TestSystem(t *testing.T) {
	r := &scripted{ips: map[string][]netip.Addr{"web": {ip("::ffff:10.0.0.2"), ip("10.0.0.1"), ip("fd00::1")}}}
	s := &system{resolver: r, interval: 5 * time.Second, longest: patience}
	a, err := s.lookup(t.Context(), Name{Host: "web"}, nil)
	require.NoError(t, err)
	require.Equal(t, at("web", "10.0.0.1", "10.0.0.2", "fd00::1"), tidy(a.targets))
	require.Equal(t, 5*time.Second, a.ttl)
	_, err = s.lookup(t.Context(), Name{Host: "none"}, nil)
	require.EqualError(t, err, "lookup none: no such host")

	r.srv = []*net.SRV{{Target: "web.", Port: 80, Priority: 1, Weight: 2}, {Target: "none.", Port: 80}}
	r.ips["web."], r.err = r.ips["web"], errors.New("some are malformed")
	a, err = s.lookup(t.Context(), webService, nil)
	require.NoError(t, err)
	require.Len(t, a.targets, 3)
	require.Equal(t, Target{IP: ip("10.0.0.1"), Port: 80, Weight: 2, Priority: 1, Host: "web"}, tidy(a.targets)[0])
	r.srv = nil
	_, err = s.lookup(t.Context(), webService, nil)
	require.EqualError(t, err, "some are malformed")
}

// The real one knows this machine.
func TestSystemLocalhost(t *testing.T) {
	t.Parallel()
	a, err := newSystem(Options{}.complete()).lookup(bounded(t), Name{Host: "localhost"}, nil)
	require.NoError(t, err)
	require.True(t, a.targets[0].IP.IsLoopback())
	require.Equal(t, usualInterval, a.ttl)
}
