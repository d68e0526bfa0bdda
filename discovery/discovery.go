// Package discovery turns a name into a changing set of addresses: it looks names up again and again, and tells which of them stand for
// something else now.
//
// A set is never emptied by a fault. Whatever goes wrong, the last good set stays: no answer, SERVFAIL, NXDOMAIN, garbage, and also a good
// answer without any address, for a name that loses all of them at once is nearly always an outage. Only an SRV record with the target "."
// empties one, since it is there to say that there is no such service.
//
// With servers of their own, names are absolute: neither search domains nor /etc/hosts are asked. The system's resolver does both. DNSSEC
// is not checked, and answers are not kept for others: this is no cache.
package discovery

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// mostTargets bounds a set, and so what an answer can cost.
	mostTargets = 1000
	// soonest and latest bound when a name is looked up again, whatever a TTL says.
	soonest = time.Second
	latest  = time.Hour

	usualInterval = 10 * time.Second
	usualTimeout  = 2 * time.Second
	// tries times the timeout is how long a whole lookup may take, with all questions that it leads to.
	tries = 10
)

// Name is what is looked up: a host (A and AAAA), or a service (SRV), as in _web._tcp.example.com. Two spellings are two names.
type Name struct {
	Host    string `json:"host"`
	Service bool   `json:"service,omitempty"`
}

// Known is what a name stood for, as a process tells the one that takes its place.
type Known struct {
	Name    Name     `json:"name"`
	Targets []Target `json:"targets"`
}

// Target is one address behind a name.
type Target struct {
	IP       netip.Addr `json:"ip"`       // never unspecified or multicast; IPv4 is never wrapped in IPv6
	Port     uint16     `json:"port"`     // of the SRV record; 0 for a host
	Weight   int        `json:"weight"`   // from 1 to 1000, see shares; 1 for a host
	Priority int        `json:"priority"` // of the SRV record, the lowest is to be preferred; 0 for a host
	Host     string     `json:"host"`     // the name that led to it, without a dot at its end: the host itself, or the one the SRV record names
}

// Set is what a name stands for now.
type Set struct {
	// Targets are ordered by priority, then address and port. Address and port are there once: of two records, the one of the better
	// priority counts. There are at most 1000. They are shared and must not be changed.
	Targets []Target
	// Resolved is false as long as no lookup has succeeded.
	Resolved bool
	// Err says why the last lookup failed, or a part of it, but not of what name: the last addresses stand in then, as far as there are any.
	// It is nil when all is well, and also when one family cannot be asked for of which there was no address.
	Err error
	// Failing is since when lookups fail; zero where Err is nil.
	Failing time.Time
	// At is the time of the last lookup that succeeded, Next about that of the next one. Next is zero before the first one has ended.
	At, Next time.Time
}

// Options say how names are looked up. The zero value asks the system's resolver every 10 seconds.
type Options struct {
	// Servers are those asked, as host or host:port. One that fails is passed over and not the first to be asked any more. Without any,
	// the system's resolver is asked.
	Servers []string
	// Interval is how often the system's resolver is asked; it tells no TTL. The servers' TTLs are followed, at least 1s and at most 1h.
	// After a failure it is tried again after 1s, then ever later, up to the interval. It is at least 1s and at most 1h; 0 is 10s.
	Interval time.Duration
	// Timeout is how long one server is waited for; 0 is 2s. After a quarter of it the next one is asked as well. A lookup takes at most ten
	// times that.
	Timeout time.Duration
}

// complete returns the options with what was left out.
func (o Options) complete() Options {
	servers := make([]string, len(o.Servers))
	for i, server := range o.Servers {
		servers[i] = withPort(server)
	}
	if o.Timeout <= 0 {
		o.Timeout = usualTimeout
	}
	return Options{Servers: servers, Interval: within(cmp.Or(o.Interval, usualInterval)), Timeout: o.Timeout}
}

// key is the same for the same options, when they are complete.
func (o Options) key() string { return fmt.Sprintf("%q %s %s", o.Servers, o.Interval, o.Timeout) }

// withPort adds the port of DNS to an address that has none.
func withPort(server string) string {
	if host, port, err := net.SplitHostPort(server); err == nil {
		return net.JoinHostPort(host, cmp.Or(port, "53"))
	}
	return net.JoinHostPort(strings.Trim(server, "[]"), "53")
}

func within(pause time.Duration) time.Duration { return min(max(pause, soonest), latest) }

// tidy makes of targets what Set promises.
func tidy(targets []Target) []Target {
	targets = slices.DeleteFunc(targets, func(t Target) bool { return !usable(t.IP) })
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(byAddress(a, b), cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Host, b.Host))
	})
	targets = slices.CompactFunc(targets, func(a, b Target) bool { return byAddress(a, b) == 0 })
	slices.SortStableFunc(targets, func(a, b Target) int { return cmp.Compare(a.Priority, b.Priority) })
	return slices.Clip(targets[:min(len(targets), mostTargets)])
}

// usable is false for an address that no server can have. An unspecified one would be this machine.
func usable(ip netip.Addr) bool { return ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() }

func byAddress(a, b Target) int { return cmp.Or(a.IP.Compare(b.IP), cmp.Compare(a.Port, b.Port)) }
