package discovery

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// mostAliases bounds how many aliases of one answer are followed.
const mostAliases = 16

// answerTo reads a message, and returns nil unless it is an answer to the question. The end of a truncated one may be missing or broken.
func answerTo(q *dns.Msg, text []byte) *dns.Msg {
	m := new(dns.Msg)
	err := m.Unpack(text)
	switch {
	case err != nil && !m.Truncated, m.Id != q.Id, !m.Response, m.Opcode != dns.OpcodeQuery:
		return nil
	case len(m.Question) == 0:
		// One who has not understood the question need not repeat it.
		if err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			return m
		}
		return nil
	}
	asked, told := q.Question[0], m.Question[0]
	if len(m.Question) > 1 || told.Qtype != asked.Qtype || told.Qclass != asked.Qclass || !strings.EqualFold(told.Name, asked.Name) {
		return nil
	}
	return m
}

// isFinal is true for an answer that says itself that there are no such records (RFC 2308 section 2.2): its alias was followed.
func isFinal(m *dns.Msg) bool {
	for _, rr := range m.Ns {
		if _, is := rr.(*dns.SOA); is {
			return true
		}
	}
	return false
}

// found is what one question has led to.
type found struct {
	records []dns.RR
	extra   []dns.RR      // what the server has added
	ttl     time.Duration // the smallest of the records, and of the aliases that led to them
}

// follow takes the records of a type from an answer, through the aliases in it, in whatever order they are. It returns the name at which
// the aliases end.
func (f *found) follow(m *dns.Msg, name string, qtype uint16) (end string) {
	f.extra = m.Extra
	for range mostAliases {
		next := ""
		for _, rr := range m.Answer {
			if h := rr.Header(); h.Class != dns.ClassINET || !strings.EqualFold(h.Name, name) {
				continue
			}
			if rr.Header().Rrtype == qtype {
				f.records, f.ttl = append(f.records, rr), min(f.ttl, ttl(rr))
			} else if alias, is := rr.(*dns.CNAME); is && next == "" {
				next, f.ttl = alias.Target, min(f.ttl, ttl(rr))
			}
		}
		if len(f.records) > 0 || next == "" {
			return name
		}
		name = next
	}
	return name
}

// ttl takes a TTL with the highest bit for 0 (RFC 2181 section 8).
func ttl(rr dns.RR) time.Duration {
	if seconds := rr.Header().Ttl; seconds < 1<<31 {
		return time.Duration(seconds) * time.Second
	}
	return 0
}

// addresses are those of the records, and may be none.
func (f *found) addresses() (ips []netip.Addr) {
	for _, rr := range f.records {
		if ip, ok := address(rr); ok {
			ips = append(ips, ip)
		}
	}
	return ips
}

func address(rr dns.RR) (netip.Addr, bool) {
	var raw []byte
	switch rr := rr.(type) {
	case *dns.A:
		raw = rr.A
	case *dns.AAAA:
		raw = rr.AAAA
	}
	ip, ok := netip.AddrFromSlice(raw)
	return ip.Unmap(), ok
}

// glue are the records of a host that came along with another answer.
func glue(came []dns.RR, host string, qtype uint16) found {
	f := found{ttl: latest}
	for _, rr := range came {
		if h := rr.Header(); h.Rrtype == qtype && h.Class == dns.ClassINET && strings.EqualFold(h.Name, dns.Fqdn(host)) {
			f.records, f.ttl = append(f.records, rr), min(f.ttl, ttl(rr))
		}
	}
	return f
}

func (f *found) services() []service {
	all := make([]service, 0, len(f.records))
	for _, rr := range f.records {
		if srv, is := rr.(*dns.SRV); is {
			all = append(all, service{host: srv.Target, port: srv.Port, priority: int(srv.Priority), weight: int(srv.Weight)})
		}
	}
	return all
}
