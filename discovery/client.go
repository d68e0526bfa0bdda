package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpSize is how large an answer over UDP may be; this size is not fragmented on the way (dnsflagday.net/2020).
	udpSize = 1232
	// mostQueries bounds how often the end of an alias is asked for, where the answer has not followed it.
	mostQueries = 8
	// leastTries is how often a question is sent at least, since a packet may get lost.
	leastTries = 2
	// nextAfter is what part of the timeout a server may be silent before the next one is asked as well. A start waits no longer than one
	// timeout for its names: that has to be enough for the second server.
	nextAfter = 4
	// lateAfter is what part of it one that was asked before another has, to contradict that there is nothing.
	lateAfter = 2
)

// The negative answers. Nothing was at fault, so there is no sense in asking another server.
var (
	errNoName = errors.New("no such name")
	errEmpty  = errors.New("no records")
)

// gone is true when the answer was that there is nothing, unlike when there was none. The system's resolver says so of a family that
// /etc/hosts has no address of by an AddrError.
func gone(err error) bool {
	var system *net.DNSError
	var unsuitable *net.AddrError
	return errors.Is(err, errNoName) || errors.Is(err, errEmpty) || errors.As(err, &system) && system.IsNotFound || errors.As(err, &unsuitable)
}

// client asks DNS servers.
type client struct {
	servers []string
	timeout time.Duration
	first   atomic.Int64 // the index of the server that is asked first
}

func (c *client) lookup(ctx context.Context, name Name, last []Target) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, tries*c.timeout)
	defer cancel()
	if name.Service {
		return c.service(ctx, name, last)
	}
	return host(ctx, name, last, c.addresses(nil))
}

func (c *client) service(ctx context.Context, name Name, last []Target) (answer, error) {
	f, err := c.resolve(ctx, dns.Fqdn(name.Host), dns.TypeSRV)
	if err != nil {
		return answer{}, err
	}
	s := services{records: f.services(), ttl: f.ttl, addresses: c.addresses(f.extra)}
	return s.lookup(ctx, last)
}

// addresses finds those of both families. If one of them fails while the other has some, its last ones stand in.
func (c *client) addresses(glue []dns.RR) lookupHost {
	return func(ctx context.Context, host string, last []netip.Addr) (addresses, error) {
		if ip, err := netip.ParseAddr(host); err == nil {
			return addresses{ips: []netip.Addr{ip}, ttl: latest}, nil
		}
		var four, six family
		var both sync.WaitGroup
		both.Go(func() { four = c.family(ctx, host, dns.TypeA, glue) })
		both.Go(func() { six = c.family(ctx, host, dns.TypeAAAA, glue) })
		both.Wait()
		switch {
		case four.err == nil || six.err == nil:
		case gone(four.err):
			return addresses{}, six.err
		default:
			return addresses{}, four.err
		}
		a := addresses{ttl: latest}
		a.add(four, last, netip.Addr.Is4)
		a.add(six, last, netip.Addr.Is6)
		return a, nil
	}
}

// family takes what came along with another answer, or asks. That A came along says nothing of AAAA (RFC 2782: additional records are there
// as far as the server has them).
func (c *client) family(ctx context.Context, host string, qtype uint16, came []dns.RR) (f family) {
	if f.found = glue(came, host, qtype); len(f.records) == 0 {
		f.found, f.err = c.resolve(ctx, dns.Fqdn(host), qtype)
	}
	return f
}

// family is what came of the question for A or for AAAA.
type family struct {
	found
	err error
}

func (a *addresses) add(f family, last []netip.Addr, is func(netip.Addr) bool) {
	if f.err == nil {
		a.ips = append(a.ips, f.addresses()...)
		a.ttl = min(a.ttl, f.ttl)
		return
	}
	if gone(f.err) {
		return
	}
	a.partial = true
	for _, ip := range last {
		if is(ip) {
			a.ips, a.kept = append(a.ips, ip), f.err
		}
	}
}

// resolve asks for the records of one type, and for the end of an alias where the answer stops at one. It returns at least one record.
func (c *client) resolve(ctx context.Context, name string, qtype uint16) (found, error) {
	f := found{ttl: latest}
	for range mostQueries {
		m, server, err := c.ask(ctx, name, qtype)
		if err != nil {
			return found{}, err
		}
		end := f.follow(m, name, qtype)
		switch {
		case m.Rcode == dns.RcodeNameError:
			return found{}, fmt.Errorf("%s: %w", server, errNoName)
		case len(f.records) > 0:
			return f, nil
		case end == name || isFinal(m):
			return found{}, fmt.Errorf("%s: %w", server, errEmpty)
		}
		name = end
	}
	return found{}, fmt.Errorf("more than %d aliases in a row", mostQueries)
}

// ask sends a question to one server after the other, until one answers, which it returns too. That one is asked first from then on, unless all
// it says is that there is no such name: others may know more names.
func (c *client) ask(ctx context.Context, name string, qtype uint16) (m *dns.Msg, server string, err error) {
	first := c.first.Load()
	servers := slices.Concat(c.servers[first:], c.servers[:first])
	o := c.race(ctx, servers, name, qtype)
	if o.err == nil && o.answer.Rcode == dns.RcodeSuccess {
		c.first.CompareAndSwap(first, (first+int64(o.at))%int64(len(servers)))
	}
	return o.answer, servers[o.at], o.err
}

// outcome is what came of asking the server at an index.
type outcome struct {
	at     int
	answer *dns.Msg
	err    error
}

// race asks the next server when one fails, and also when it is silent for a while. That one is not given up: it may only be slow.
func (c *client) race(ctx context.Context, servers []string, name string, qtype uint16) outcome {
	var tries sync.WaitGroup
	defer tries.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	most := max(len(servers), leastTries)
	outcomes := make(chan outcome, most)
	errs := make([]error, len(servers)) // the second of one server says the same
	var nothing *outcome                // is what one says who was asked after others, and may know less than they
	late := time.After(c.timeout / lateAfter)
	for asked, failed := 0, 0; failed < most; {
		var silence <-chan time.Time
		if asked < most {
			at := asked % len(servers)
			tries.Go(func() {
				m, err := c.try(ctx, servers[at], name, qtype)
				outcomes <- outcome{at, m, err}
			})
			asked++
			silence = time.After(c.timeout / nextAfter)
		}
		select {
		case o := <-outcomes:
			if o.err == nil && (o.at == 0 || len(o.answer.Answer) > 0) {
				return o
			}
			failed++
			if o.err == nil {
				nothing = &o
			} else {
				errs[o.at] = fmt.Errorf("%s: %w", servers[o.at], o.err)
			}
		case <-silence:
		case <-late:
			late = nil
		}
		if nothing != nil && (late == nil || errs[0] != nil) {
			return *nothing
		}
	}
	if nothing != nil {
		return *nothing
	}
	err := errs[0]
	for _, next := range errs[1:] {
		err = fmt.Errorf("%w; %w", err, next)
	}
	return outcome{err: err}
}

// try asks one server. A server that does not know EDNS is asked without (RFC 6891 section 7), and for an answer that is too long for a
// packet a connection is made.
func (c *client) try(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(udpSize, false)
	m, err := c.exchange(ctx, "udp", server, q)
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		q.Extra = nil
		m, err = c.exchange(ctx, "udp", server, q)
	}
	if err == nil && m.Truncated {
		m, err = c.exchange(ctx, "tcp", server, q)
	}
	switch {
	case err != nil:
		return nil, c.explain(err)
	case m.Truncated: // even so
		return nil, errors.New("truncated answer")
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, errors.New(rcode(m.Rcode))
	}
	return m, nil
}

func rcode(code int) string {
	if text, known := dns.RcodeToString[code]; known {
		return text
	}
	return fmt.Sprintf("response code %d", code)
}

// explain tells people of an error: the innermost one, since the others only say again who was asked.
func (c *client) explain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer within %s", c.timeout)
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return errors.New(strings.TrimPrefix(err.Error(), "dns: "))
}

// exchange sends a question once and waits for its answer. Of packets that are none it waits for another one: they may be forged. Client
// of the library would take the first with the right number, and waits for no context.
func (c *client) exchange(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })() // fails when it is closed, and is not needed then
	conn := &dns.Conn{Conn: raw, UDPSize: dns.DefaultMsgSize}                       // some send more than they were asked to
	if err := conn.WriteMsg(q); err != nil {
		return nil, err
	}
	for {
		text, err := conn.ReadMsgHeader(nil)
		if err != nil && !errors.Is(err, dns.ErrShortRead) {
			return nil, err
		}
		if m := answerTo(q, text); m != nil {
			return m, nil
		}
		if network == "tcp" {
			return nil, errors.New("not an answer to the question")
		}
	}
}
