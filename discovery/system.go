package discovery

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// system asks the system's resolver, which tells no TTL. It knows search domains and /etc/hosts.
type system struct {
	resolver systemResolver
	strict   systemResolver // the same one, which does not go on to another search domain after a fault
	interval time.Duration
	longest  time.Duration
}

// systemResolver is what net.Resolver can do.
type systemResolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

func newSystem(o Options) *system {
	return &system{resolver: new(net.Resolver), strict: &net.Resolver{StrictErrors: true}, interval: o.Interval, longest: tries * o.Timeout}
}

func (s *system) lookup(ctx context.Context, name Name, last []Target) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.longest)
	defer cancel()
	if !name.Service {
		return host(ctx, name, last, s.addresses)
	}
	_, records, err := s.resolver.LookupSRV(ctx, "", "", name.Host)
	if err != nil && len(records) == 0 { // with records it only says that some are malformed
		return answer{}, err
	}
	found := services{ttl: s.interval, addresses: s.addresses}
	for _, r := range records {
		found.records = append(found.records, service{host: r.Target, port: r.Port, priority: int(r.Priority), weight: int(r.Weight)})
	}
	return found.lookup(ctx, last)
}

// addresses asks for both families with one question: asked for apart, they could come of two search domains, and so be two hosts.
func (s *system) addresses(ctx context.Context, host string, last []netip.Addr) (addresses, error) {
	ips, err := s.resolver.LookupNetIP(ctx, "ip", host)
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	a := addresses{ips: ips, ttl: s.interval}
	if err == nil {
		s.keep(ctx, &a, host, last)
	}
	return a, err
}

// keep adds the last addresses of a family that has none now, unless it has gone: an answer for both hides that one of them has failed.
func (s *system) keep(ctx context.Context, a *addresses, host string, last []netip.Addr) {
	network, found, missing := "ip6", netip.Addr.Is4, netip.Addr.Is6
	if !slices.ContainsFunc(a.ips, found) {
		network, found, missing = "ip4", missing, found
	}
	missed := slices.DeleteFunc(slices.Clone(last), found)
	if len(missed) == 0 || slices.ContainsFunc(a.ips, missing) {
		return
	}
	if _, err := s.strict.LookupNetIP(ctx, network, host); !gone(err) {
		a.ips, a.kept, a.partial = append(a.ips, missed...), err, true
	}
}
