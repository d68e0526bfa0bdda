package discovery

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// system asks the system's resolver, which tells no TTL. It knows search domains and /etc/hosts.
type system struct {
	resolver systemResolver
	interval time.Duration
	longest  time.Duration
}

// systemResolver is what net.Resolver can do.
type systemResolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

func newSystem(o Options) *system {
	return &system{resolver: new(net.Resolver), interval: o.Interval, longest: tries * o.Timeout}
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

func (s *system) addresses(ctx context.Context, host string, _ []netip.Addr) (addresses, error) {
	ips, err := s.resolver.LookupNetIP(ctx, "ip", host)
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return addresses{ips: ips, ttl: s.interval}, err
}
