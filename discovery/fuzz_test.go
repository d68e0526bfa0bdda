package discovery

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// FuzzAnswer reads what a server may send. Whatever it is, a set has what Set promises, and nothing panics.
func FuzzAnswer(f *testing.F) {
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV} {
		q := new(dns.Msg).SetQuestion("web.example.", qtype)
		for _, r := range []reply{
			records("web.example. 60 IN A 10.0.0.1", "web.example. 60 IN AAAA fd00::1"),
			records("web.example. 60 IN CNAME a.example.", "a.example. 60 IN CNAME web.example.", "a.example. 60 IN A 10.0.0.1"),
			{answer: []string{"web.example. 60 IN SRV 1 0 80 a.example.", "web.example. 1 IN SRV 1 65535 81 ."}, extra: []string{"a.example. 1 IN A 10.0.0.1"}},
			{rcode: dns.RcodeNameError, end: []string{soa}},
		} {
			text, err := r.message(q, "udp").Pack()
			require.NoError(f, err)
			f.Add(qtype, text)
			f.Add(qtype, text[:len(text)-3])
		}
	}
	f.Fuzz(func(t *testing.T, qtype uint16, text []byte) {
		q := new(dns.Msg).SetQuestion("web.example.", qtype)
		if len(text) >= 2 {
			binary.BigEndian.PutUint16(text, q.Id) // no fuzzer guesses it
		}
		m := answerTo(q, text)
		if m == nil {
			return
		}
		_ = isFinal(m)
		found := found{ttl: latest}
		_ = found.follow(m, "web.example.", qtype)
		requireTTL(t, found.ttl)
		came := func(_ context.Context, host string, _ []netip.Addr) (addresses, error) {
			g := glue(found.extra, host, qtype)
			requireTTL(t, g.ttl)
			return addresses{ips: g.addresses(), ttl: g.ttl}, nil
		}
		targets := []Target{}
		for _, ip := range found.addresses() {
			targets = append(targets, Target{IP: ip, Weight: 1, Host: "web.example"})
		}
		s := services{records: found.services(), ttl: found.ttl, addresses: came}
		if a, err := s.lookup(t.Context(), nil); err == nil {
			requireTTL(t, a.ttl)
			targets = append(targets, a.targets...)
		}
		requireTidy(t, tidy(targets))
	})
}

func requireTTL(t *testing.T, ttl time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, ttl, time.Duration(0))
	require.LessOrEqual(t, ttl, latest)
}

func requireTidy(t *testing.T, targets []Target) {
	t.Helper()
	require.LessOrEqual(t, len(targets), mostTargets)
	seen := map[netip.AddrPort]bool{}
	for i, target := range targets {
		address := netip.AddrPortFrom(target.IP, target.Port)
		require.False(t, seen[address])
		seen[address] = true
		require.True(t, target.IP.IsValid() && !target.IP.IsUnspecified() && !target.IP.IsMulticast() && !target.IP.Is4In6())
		require.True(t, target.Weight >= 1 && target.Weight <= heaviest)
		require.True(t, isHost(target.Host))
		require.True(t, i == 0 || targets[i-1].Priority <= target.Priority)
	}
	require.Equal(t, targets, tidy(slices.Clone(targets)))
}
