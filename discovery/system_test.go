package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// systemAt is a system's resolver that asks a zone.
func systemAt(z *zone) *system {
	toZone := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, z.address)
	}
	return &system{
		resolver: &net.Resolver{PreferGo: true, Dial: toZone},
		strict:   &net.Resolver{PreferGo: true, Dial: toZone, StrictErrors: true},
		interval: time.Minute, longest: patience,
	}
}

// One question for both families has no error when one of them fails, and all servers of that one were lost.
func TestSystemOneFamilyFails(t *testing.T) {
	t.Parallel()
	host := Name{Host: "web.example."} // with its dot no search domain is tried
	v4, v6 := records("web.example. 60 IN A 10.0.0.2"), records("web.example. 60 IN AAAA fd00::2")
	last := at("web.example", "10.0.0.1", "fd00::1")
	f := func(name string, a, aaaa reply, last []Target, kept bool, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := newZone(t, map[string]reply{"A web.example.": a, "AAAA web.example.": aaaa})
			got, err := systemAt(z).lookup(bounded(t), host, last)
			require.NoError(t, err)
			require.Equal(t, at("web.example", want...), tidy(got.targets))
			require.Equal(t, kept, got.partial)
			if kept {
				require.ErrorContains(t, got.kept, `cannot look up all addresses: lookup web.example.`)
			} else {
				require.NoError(t, got.kept)
			}
		})
	}
	fault := reply{rcode: dns.RcodeServerFailure}
	f("A", fault, v6, last, true, "10.0.0.1", "fd00::2")
	f("AAAA", v4, fault, last, true, "10.0.0.2", "fd00::1")
	f("AAAA refused", v4, reply{rcode: dns.RcodeRefused}, last, true, "10.0.0.2", "fd00::1")
	f("AAAA, of which nothing was known", v4, fault, at("web.example", "10.0.0.1"), false, "10.0.0.2")
	f("AAAA at the first time", v4, fault, nil, false, "10.0.0.2")
	none := reply{end: []string{soa}, edit: func(m *dns.Msg) { m.RecursionAvailable = true }} // else it is taken for a referral
	f("A has gone", none, v6, last, false, "fd00::2")
	f("AAAA has gone", v4, reply{rcode: dns.RcodeNameError}, last, false, "10.0.0.2")
	f("neither", v4, v6, last, false, "10.0.0.2", "fd00::2")
}

// A host that fails beside others of its service keeps what it had of each family.
func TestSystemServiceOneFamilyFails(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{
		"SRV _web._tcp.example.": records("_web._tcp.example. 60 IN SRV 0 1 80 a.example."),
		"A a.example.":           {rcode: dns.RcodeServerFailure},
		"AAAA a.example.":        records("a.example. 60 IN AAAA fd00::2"),
	})
	a, err := systemAt(z).lookup(bounded(t), webService, []Target{{IP: ip("10.0.0.1"), Port: 80, Weight: 1, Host: "a.example"}})
	require.NoError(t, err)
	require.Equal(t, []Target{
		{IP: ip("10.0.0.1"), Port: 80, Weight: 1, Host: "a.example"}, {IP: ip("fd00::2"), Port: 80, Weight: 1, Host: "a.example"},
	}, tidy(a.targets))
	require.ErrorContains(t, a.kept, "a.example")
}

// later is asked for one family, after the answer for both.
type later struct {
	systemResolver
	asked []string
	err   error
}

func (l *later) LookupNetIP(_ context.Context, network, _ string) ([]netip.Addr, error) {
	l.asked = append(l.asked, network)
	return nil, l.err
}

func TestSystemMissedFamily(t *testing.T) {
	f := func(now []netip.Addr, err error, wantKept bool, asked []string, want ...string) {
		t.Helper()
		l := &later{err: err}
		s := &system{resolver: &scripted{ips: map[string][]netip.Addr{"web": now}}, strict: l, interval: time.Minute, longest: patience}
		a, failed := s.lookup(t.Context(), Name{Host: "web"}, at("web", "10.0.0.1", "fd00::1"))
		require.NoError(t, failed)
		require.Equal(t, at("web", want...), tidy(a.targets))
		require.Equal(t, asked, l.asked)
		require.Equal(t, wantKept, a.kept != nil)
	}
	v4, v6 := []netip.Addr{ip("::ffff:10.0.0.2")}, []netip.Addr{ip("fd00::2")}
	f(v4, context.DeadlineExceeded, true, []string{"ip6"}, "10.0.0.2", "fd00::1")
	f(v6, &net.DNSError{IsTimeout: true}, true, []string{"ip4"}, "10.0.0.1", "fd00::2")
	f(v6, nil, false, []string{"ip4"}, "10.0.0.1", "fd00::2") // the fault is over: the next answer for both is asked for soon
	f(v4, &net.DNSError{IsNotFound: true}, false, []string{"ip6"}, "10.0.0.2")
	f(v4, &net.AddrError{Err: "no suitable address found"}, false, []string{"ip6"}, "10.0.0.2") // of /etc/hosts
	f([]netip.Addr{v4[0], v6[0]}, errors.New("nobody asks"), false, nil, "10.0.0.2", "fd00::2")
}

// What /etc/hosts has of one family only is no fault of the other, and neither is a literal.
func TestSystemHostsAndLiteral(t *testing.T) {
	t.Parallel()
	s := newSystem(Options{}.complete())
	for _, host := range []string{"localhost", "10.0.0.1"} {
		a, err := s.lookup(bounded(t), Name{Host: host}, at(host, "10.0.0.1", "fd00::1"))
		require.NoError(t, err)
		require.NotContains(t, a.targets, at(host, "fd00::1")[0])
		require.NoError(t, a.kept)
		require.False(t, a.partial)
	}
}
