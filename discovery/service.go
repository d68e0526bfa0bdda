package discovery

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// hostsAtOnce is how many hosts of one service are looked up at the same time.
	hostsAtOnce = 8
	// heaviest is the largest weight of a target, and that of a server in the config. An SRV record may have 65535.
	heaviest = 1000
	// slight is what part of the smallest weight a weight of 0 counts for.
	slight = 0.01
)

// addresses are those of one host.
type addresses struct {
	ips     []netip.Addr
	ttl     time.Duration
	kept    error // why some are those of last time, or a host has none
	partial bool  // a family has failed, or all
}

// lookupHost finds the addresses of a host. It returns some or an error. The last ones are to stand in for a part that fails.
type lookupHost func(ctx context.Context, host string, last []netip.Addr) (addresses, error)

// host looks up a Name that is one.
func host(ctx context.Context, name Name, last []Target, find lookupHost) (answer, error) {
	found, err := find(ctx, name.Host, ipsOf(last, undotted(name.Host)))
	if err == nil && !slices.ContainsFunc(found.ips, usable) {
		err = errEmpty
	}
	if err != nil {
		return answer{}, err
	}
	a := answer{ttl: found.ttl, partial: found.partial}
	if found.kept != nil {
		a.kept = fmt.Errorf("cannot look up all addresses: %w", found.kept)
	}
	for _, ip := range found.ips {
		a.targets = append(a.targets, Target{IP: ip, Weight: 1, Host: undotted(name.Host)})
	}
	return a, nil
}

func ipsOf(targets []Target, host string) (ips []netip.Addr) {
	for _, t := range targets {
		if t.Host == host && !slices.Contains(ips, t.IP) {
			ips = append(ips, t.IP)
		}
	}
	return ips
}

func undotted(host string) string { return strings.TrimSuffix(host, ".") }

// service is an SRV record.
type service struct {
	host             string
	port             uint16
	priority, weight int
}

// services looks up what SRV records name.
type services struct {
	records   []service
	ttl       time.Duration
	addresses lookupHost
}

// lookup finds the addresses of all hosts. One that is known to have none is left out; one that fails keeps those it had. The error is
// nil for a service that is said not to be there (RFC 2782: a target of ".").
func (s *services) lookup(ctx context.Context, last []Target) (answer, error) {
	absent := slices.ContainsFunc(s.records, func(r service) bool { return r.host == "." })
	s.clean()
	if len(s.records) == 0 {
		if absent {
			return answer{ttl: s.ttl}, nil
		}
		return answer{}, errEmpty
	}
	hosts := s.hosts(ctx, last)
	a := answer{ttl: s.ttl}
	var failed error
	for i, weight := range shares(s.records) {
		r, h := s.records[i], hosts[s.records[i].host]
		a.ttl, a.partial = min(a.ttl, h.ttl), a.partial || h.partial
		failed = cmp.Or(failed, h.err)
		if h.kept != nil && a.kept == nil {
			a.kept = fmt.Errorf("cannot look up all addresses of %q: %w", r.host, h.kept)
		}
		for _, ip := range h.ips[:min(len(h.ips), mostTargets-len(a.targets))] {
			a.targets = append(a.targets, Target{IP: ip, Port: r.port, Weight: weight, Priority: r.priority, Host: r.host})
		}
	}
	if len(a.targets) == 0 {
		return answer{}, cmp.Or(failed, errEmpty)
	}
	return a, nil
}

// clean leaves out what names no host or no port, and orders the rest, so that what is too many are always the same ones.
func (s *services) clean() {
	s.records = slices.DeleteFunc(s.records, func(r service) bool { return r.port == 0 || !isHost(r.host) })
	for i := range s.records {
		s.records[i].host = strings.ToLower(undotted(s.records[i].host))
	}
	slices.SortFunc(s.records, func(a, b service) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.host, b.host), cmp.Compare(a.port, b.port), cmp.Compare(b.weight, a.weight))
	})
	s.records = slices.CompactFunc(s.records, func(a, b service) bool { return a.host == b.host && a.port == b.port && a.priority == b.priority })
	s.records = s.records[:min(len(s.records), mostTargets)]
}

// isHost keeps names out that are no host names: they go into certificates, logs and Host fields.
func isHost(name string) bool {
	return name != "" && name != "." && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
}

// hostResult is what came of one host.
type hostResult struct {
	addresses
	err error
}

func (s *services) hosts(ctx context.Context, last []Target) map[string]*hostResult {
	results := map[string]*hostResult{}
	var lookups errgroup.Group
	lookups.SetLimit(hostsAtOnce)
	for _, r := range s.records {
		if results[r.host] != nil {
			continue
		}
		h := &hostResult{}
		results[r.host] = h
		lookups.Go(func() error {
			h.find(ctx, r.host, ipsOf(last, r.host), s.addresses)
			return nil
		})
	}
	_ = lookups.Wait() // each has its own error
	return results
}

// find notes the addresses of a host, or the last ones if that fails. They are ordered and not too many, so that the set is the same each
// time and costs no more than it may.
func (h *hostResult) find(ctx context.Context, host string, last []netip.Addr, find lookupHost) {
	h.addresses, h.err = find(ctx, host, last)
	switch {
	case h.err == nil:
	case gone(h.err):
		h.addresses = addresses{ttl: latest}
	default:
		h.addresses = addresses{ips: last, ttl: latest, kept: h.err, partial: true}
	}
	h.ips = slices.DeleteFunc(h.ips, func(ip netip.Addr) bool { return !usable(ip) })
	slices.SortFunc(h.ips, netip.Addr.Compare)
	h.ips = slices.Compact(h.ips)
	h.ips = h.ips[:min(len(h.ips), mostTargets)]
}

// shares returns a weight for each record, from 1 to heaviest. Within a priority they are as the records say, save that a 0 beside others
// counts for a hundredth of the smallest (RFC 2782: a very small chance), and that larger ones than heaviest are all made smaller alike.
// A host with several addresses has its weight for each of them.
func shares(records []service) []int {
	weights := make([]int, len(records))
	for i, r := range records {
		smallest, largest, zero := group(records, r.priority)
		share, scale := float64(r.weight), 1.0
		if zero {
			scale = max(1, 1/(slight*smallest))
		}
		if r.weight == 0 {
			share = slight * smallest
		}
		scale = min(scale, heaviest/largest)
		weights[i] = max(1, int(math.Round(share*scale)))
	}
	return weights
}

// group returns the smallest and the largest weight above 0 of a priority, and whether there is a 0 too.
func group(records []service, priority int) (smallest, largest float64, zero bool) {
	smallest = math.Inf(1)
	for _, r := range records {
		switch {
		case r.priority != priority:
		case r.weight == 0:
			zero = true
		default:
			smallest, largest = min(smallest, float64(r.weight)), max(largest, float64(r.weight))
		}
	}
	if largest == 0 {
		return 1, 1, false
	}
	return smallest, largest, zero
}
