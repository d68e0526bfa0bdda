package discovery

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// zone is a DNS server with scripted replies, over UDP and TCP.
type zone struct {
	address string

	mu      sync.Mutex // guards all below
	replies map[string]reply
	asked   []string // "udp A web.example."
}

// reply is what comes for a question such as "A web.example.". The zero value has no records.
type reply struct {
	rcode              int
	answer, extra, end []string // in the presentation format; end goes to the authority section
	truncate           bool     // over UDP
	edit               func(*dns.Msg)
	raw                func(w dns.ResponseWriter, q *dns.Msg) // instead of all others
}

func records(all ...string) reply { return reply{answer: all} }

func silent() reply { return reply{raw: func(dns.ResponseWriter, *dns.Msg) {}} }

// newZone serves replies until the test ends.
func newZone(t *testing.T, replies map[string]reply) *zone {
	t.Helper()
	z := &zone{replies: replies}
	packets, listener := bothAt(t)
	z.address = packets.LocalAddr().String()
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: z}, {Listener: listener, Handler: z}} {
		ready, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() {
			defer close(ended)
			_ = s.ActivateAndServe()
		}()
		<-ready
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-ended
		})
	}
	return z
}

// bothAt finds a port that is free for UDP and for TCP.
func bothAt(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		_ = packets.Close()
	}
	t.Fatal("no port is free for both")
	return nil, nil
}

func (z *zone) set(question string, r reply) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.replies[question] = r
}

// questions returns what has been asked since the last call, in order.
func (z *zone) questions() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	all := slices.Sorted(slices.Values(z.asked))
	z.asked = nil
	return all
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	network := w.RemoteAddr().Network()
	z.mu.Lock()
	question := dns.TypeToString[q.Question[0].Qtype] + " " + q.Question[0].Name
	z.asked = append(z.asked, network+" "+question)
	r := z.replies[question]
	z.mu.Unlock()
	if r.raw != nil {
		r.raw(w, q)
		return
	}
	_ = w.WriteMsg(r.message(q, network))
}

func (r reply) message(q *dns.Msg, network string) *dns.Msg {
	m := new(dns.Msg).SetRcode(q, r.rcode)
	m.Compress = true
	m.Answer, m.Extra, m.Ns = parse(r.answer), parse(r.extra), parse(r.end)
	if r.truncate && network == "udp" {
		m.Answer, m.Truncated = m.Answer[:1], true
	}
	if r.edit != nil {
		r.edit(m)
	}
	return m
}

func parse(lines []string) (all []dns.RR) {
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			panic(err)
		}
		all = append(all, rr)
	}
	return all
}

// clientOf asks zones in their order.
func clientOf(timeout time.Duration, zones ...*zone) *client {
	c := &client{timeout: timeout}
	for _, z := range zones {
		c.servers = append(c.servers, z.address)
	}
	return c
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// at is a target of a host.
func at(host string, ips ...string) (targets []Target) {
	for _, s := range ips {
		targets = append(targets, Target{IP: ip(s), Weight: 1, Host: host})
	}
	return targets
}
