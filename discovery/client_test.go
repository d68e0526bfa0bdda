package discovery

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

var web = Name{Host: "web.example"}

const soa = "example. 60 IN SOA ns.example. admin.example. 1 60 60 60 60"

func TestHost(t *testing.T) {
	t.Parallel()
	f := func(name string, replies map[string]reply, wantTTL time.Duration, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			z := newZone(t, replies)
			a, err := clientOf(patience, z).lookup(bounded(t), web, nil)
			require.NoError(t, err)
			require.Equal(t, at("web.example", want...), tidy(a.targets))
			require.Equal(t, wantTTL, a.ttl)
			require.NoError(t, a.kept)
			require.False(t, a.partial)
		})
	}
	f("both families", map[string]reply{
		"A web.example.":    records("web.example. 60 IN A 10.0.0.2", "web.example. 60 IN A 10.0.0.1"),
		"AAAA web.example.": records("web.example. 30 IN AAAA fd00::1"),
	}, 30*time.Second, "10.0.0.1", "10.0.0.2", "fd00::1")
	f("the smallest TTL", map[string]reply{
		"A web.example.": records("web.example. 60 IN A 10.0.0.2", "web.example. 7 IN A 10.0.0.1"),
	}, 7*time.Second, "10.0.0.1", "10.0.0.2")
	f("AAAA only", map[string]reply{"AAAA web.example.": records("web.example. 30 IN AAAA fd00::1")}, 30*time.Second, "fd00::1")
	f("AAAA only, of a server that says of A that there is no such name", map[string]reply{
		"A web.example.":    {rcode: dns.RcodeNameError},
		"AAAA web.example.": records("web.example. 30 IN AAAA fd00::1"),
	}, 30*time.Second, "fd00::1")
	f("duplicates, one of them wrapped", map[string]reply{
		"A web.example.":    records("web.example. 60 IN A 10.0.0.1", "WEB.example. 60 IN A 10.0.0.1"),
		"AAAA web.example.": records("web.example. 60 IN AAAA ::ffff:10.0.0.1"),
	}, time.Minute, "10.0.0.1")
	f("no server's addresses", map[string]reply{
		"A web.example.": records("web.example. 60 IN A 0.0.0.0", "web.example. 60 IN A 224.0.0.1", "web.example. 60 IN A 10.0.0.1"),
	}, time.Minute, "10.0.0.1")
	f("records of others", map[string]reply{
		"A web.example.": records("web.example. 60 IN A 10.0.0.1", "bank.example. 60 IN A 10.0.0.66", "web.example. 60 CH A 10.0.0.67"),
	}, time.Minute, "10.0.0.1")
	f("aliases in the answer, in any order", map[string]reply{
		"A web.example.": records("b.example. 60 IN A 10.0.0.1", "a.example. 5 IN CNAME b.example.", "web.example. 60 IN CNAME a.example."),
	}, 5*time.Second, "10.0.0.1")
	f("aliases that the answer does not follow", map[string]reply{
		"A web.example.": records("web.example. 5 IN CNAME a.example."),
		"A a.example.":   records("a.example. 60 IN CNAME b.example."),
		"A b.example.":   records("b.example. 60 IN A 10.0.0.1"),
	}, 5*time.Second, "10.0.0.1")
	f("a TTL with the highest bit", map[string]reply{"A web.example.": {
		answer: []string{"web.example. 60 IN A 10.0.0.1"},
		edit:   func(m *dns.Msg) { m.Answer[0].Header().Ttl = 1<<31 | 60 },
	}}, 0, "10.0.0.1")
	f("EDNS is refused", map[string]reply{"A web.example.": {raw: func(w dns.ResponseWriter, q *dns.Msg) {
		if q.IsEdns0() != nil {
			_ = w.WriteMsg(&dns.Msg{MsgHdr: dns.MsgHdr{Id: q.Id, Response: true, Rcode: dns.RcodeFormatError}})
			return
		}
		_ = w.WriteMsg(records("web.example. 60 IN A 10.0.0.1").message(q, "udp"))
	}}}, time.Minute, "10.0.0.1")
}

// An alias whose end is said to have no such records costs no further question.
func TestAliasOfNothing(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{
		"A web.example.":    records("web.example. 60 IN CNAME a.example.", "a.example. 60 IN A 10.0.0.1"),
		"AAAA web.example.": {answer: []string{"web.example. 60 IN CNAME a.example."}, end: []string{soa}},
	})
	a, err := clientOf(patience, z).lookup(bounded(t), web, nil)
	require.NoError(t, err)
	require.Equal(t, at("web.example", "10.0.0.1"), a.targets)
	require.Equal(t, []string{"udp A web.example.", "udp AAAA web.example."}, z.questions())
}

func TestTrailingDotAndLiteral(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{"A web.example.": records("web.example. 60 IN A 10.0.0.1")})
	c := clientOf(patience, z)
	a, err := c.lookup(bounded(t), Name{Host: "web.example."}, nil)
	require.NoError(t, err)
	require.Equal(t, at("web.example", "10.0.0.1"), a.targets)
	z.questions()
	a, err = c.lookup(bounded(t), Name{Host: "10.0.0.9"}, nil)
	require.NoError(t, err)
	require.Equal(t, at("10.0.0.9", "10.0.0.9"), a.targets)
	require.Empty(t, z.questions())
}

func forged(w dns.ResponseWriter, q *dns.Msg, edit func(*dns.Msg)) {
	m := records("web.example. 60 IN A 10.0.0.66").message(q, "udp")
	edit(m)
	_ = w.WriteMsg(m)
}

// A negative answer says who gave it, as a failure does. It did not.
func TestHostFails(t *testing.T) {
	t.Parallel()
	f := func(name string, r reply, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := newZone(t, map[string]reply{"A web.example.": r, "AAAA web.example.": r})
			_, err := clientOf(patience, z).lookup(bounded(t), web, nil)
			require.EqualError(t, err, strings.Replace(want, "SERVER", z.address, 1))
		})
	}
	f("no such name", reply{rcode: dns.RcodeNameError, end: []string{soa}}, "SERVER: no such name")
	f("nothing", reply{end: []string{soa}}, "SERVER: no records")
	f("only unusable addresses", records("web.example. 60 IN A 0.0.0.0", "web.example. 60 IN AAAA ::"), "no records")
	f("aliases in a circle", records("web.example. 60 IN CNAME a.example.", "a.example. 60 IN CNAME web.example."), "SERVER: no records")
}

func TestServerFails(t *testing.T) {
	t.Parallel()
	none := "no answer within 100ms"
	f := func(name string, r reply, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := newZone(t, map[string]reply{"A web.example.": r, "AAAA web.example.": r})
			timeout := patience
			if want == none {
				timeout = 100 * time.Millisecond
			}
			_, err := clientOf(timeout, z).lookup(bounded(t), web, nil)
			require.EqualError(t, err, fmt.Sprintf("%s: %s", z.address, want))
			require.False(t, gone(err))
		})
	}
	f("SERVFAIL", reply{rcode: dns.RcodeServerFailure}, "SERVFAIL")
	f("REFUSED", reply{rcode: dns.RcodeRefused}, "REFUSED")
	f("FORMERR", reply{rcode: dns.RcodeFormatError}, "FORMERR")
	f("unknown code", reply{rcode: 13}, "response code 13")
	f("silent", silent(), none)
	f("garbage", reply{raw: func(w dns.ResponseWriter, _ *dns.Msg) { _, _ = w.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }}, none)
	f("short", reply{raw: func(w dns.ResponseWriter, _ *dns.Msg) { _, _ = w.Write([]byte{1}) }}, none)
	f("wrong number", reply{edit: func(m *dns.Msg) { m.Id++ }}, none)
	f("a question", reply{edit: func(m *dns.Msg) { m.Response = false }}, none)
	f("another name", reply{edit: func(m *dns.Msg) { m.Question[0].Name = "bank.example." }}, none)
	f("another type", reply{edit: func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT }}, none)
	f("no question", reply{edit: func(m *dns.Msg) { m.Question = nil }}, none)
	f("truncated over TCP too", reply{edit: func(m *dns.Msg) { m.Truncated = true }}, "truncated answer")
	f("garbage over TCP", reply{raw: func(w dns.ResponseWriter, q *dns.Msg) {
		if w.RemoteAddr().Network() == "tcp" {
			q.Id++
		}
		m := new(dns.Msg).SetReply(q)
		m.Truncated = true
		_ = w.WriteMsg(m)
	}}, "not an answer to the question")
}

// Aliases without end are given up.
func TestEndlessAliases(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{})
	next := func(i int) string { return fmt.Sprintf("a%d.example.", i) }
	for i := range 30 {
		z.set("A "+next(i), records(next(i)+" 60 IN CNAME "+next(i+1)))
	}
	_, err := clientOf(patience, z).lookup(bounded(t), Name{Host: "a0.example"}, nil)
	require.EqualError(t, err, `more than 8 aliases in a row`)
	require.Len(t, z.questions(), mostQueries+1) // and one for AAAA
}

// Packets that are no answers end nothing: the answer is waited for.
func TestForgedPackets(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{"A web.example.": {raw: func(w dns.ResponseWriter, q *dns.Msg) {
		_, _ = w.Write([]byte("x"))
		_, _ = w.Write(make([]byte, 100))
		forged(w, q, func(m *dns.Msg) { m.Id++ })
		forged(w, q, func(m *dns.Msg) { m.Question[0].Name = "bank.example." })
		forged(w, q, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })
		_ = w.WriteMsg(records("web.example. 60 IN A 10.0.0.1").message(q, "udp"))
	}}})
	a, err := clientOf(patience, z).lookup(bounded(t), web, nil)
	require.NoError(t, err)
	require.Equal(t, at("web.example", "10.0.0.1"), a.targets)
}

// many returns addresses that no packet has room for.
func many(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("web.example. 60 IN A 10.0.%d.%d", i/250, i%250+1))
	}
	return lines
}

func TestTruncation(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{"A web.example.": {answer: many(300), truncate: true}})
	a, err := clientOf(patience, z).lookup(bounded(t), web, nil)
	require.NoError(t, err)
	require.Len(t, a.targets, 300)
	require.Equal(t, []string{"tcp A web.example.", "udp A web.example.", "udp AAAA web.example."}, z.questions())

	cut := func(w dns.ResponseWriter, q *dns.Msg) { // in the middle of a record
		m := records(many(20)...).message(q, "tcp")
		m.Truncated = w.RemoteAddr().Network() == "udp"
		text, _ := m.Pack()
		if m.Truncated {
			text = text[:len(text)-5]
		}
		_, _ = w.Write(text)
	}
	z.set("A web.example.", reply{raw: cut})
	a, err = clientOf(patience, z).lookup(bounded(t), web, nil)
	require.NoError(t, err)
	require.Len(t, a.targets, 20)
}

func TestMostTargets(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{"A web.example.": {answer: many(1500), truncate: true}})
	a, err := clientOf(patience, z).lookup(bounded(t), web, nil)
	require.NoError(t, err)
	require.Len(t, tidy(a.targets), mostTargets)
}

// A server that does not answer is passed over, and asked first no more.
func TestServers(t *testing.T) {
	t.Parallel()
	f := func(name string, first *zone) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := newZone(t, map[string]reply{"A web.example.": records("web.example. 60 IN A 10.0.0.1")})
			c := clientOf(3*time.Second, first, good)
			for range 3 {
				a, err := c.lookup(bounded(t), web, nil)
				require.NoError(t, err)
				require.Equal(t, at("web.example", "10.0.0.1"), a.targets)
				require.Equal(t, int64(1), c.first.Load())
			}
			good.set("A web.example.", reply{rcode: dns.RcodeServerFailure})
			good.set("AAAA web.example.", reply{rcode: dns.RcodeServerFailure})
			_, err := c.lookup(bounded(t), web, nil)
			require.ErrorContains(t, err, good.address+": SERVFAIL; "+first.address+": ", "each says what is wrong with it")
		})
	}
	packets, listener := bothAt(t)
	require.NoError(t, packets.Close())
	require.NoError(t, listener.Close())
	f("dead", &zone{address: packets.LocalAddr().String()})
	f("silent", newZone(t, map[string]reply{"A web.example.": silent(), "AAAA web.example.": silent()}))
	f("refuses", newZone(t, map[string]reply{"A web.example.": {rcode: dns.RcodeRefused}, "AAAA web.example.": {rcode: dns.RcodeRefused}}))
}

// One lost packet is no failure.
func TestLostPacket(t *testing.T) {
	t.Parallel()
	var lost atomic.Bool
	z := newZone(t, map[string]reply{"A web.example.": {raw: func(w dns.ResponseWriter, q *dns.Msg) {
		if lost.Swap(true) {
			_ = w.WriteMsg(records("web.example. 60 IN A 10.0.0.1").message(q, "udp"))
		}
	}}})
	a, err := clientOf(4*time.Second, z).lookup(bounded(t), web, nil)
	require.NoError(t, err)
	require.Equal(t, at("web.example", "10.0.0.1"), a.targets)
}

// What fails for one family takes away no address of it, and nothing of the other.
func TestOneFamilyFails(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{
		"A web.example.":    records("web.example. 60 IN A 10.0.0.2"),
		"AAAA web.example.": {rcode: dns.RcodeServerFailure},
	})
	c := clientOf(patience, z)
	a, err := c.lookup(bounded(t), web, at("web.example", "10.0.0.1", "fd00::1"))
	require.NoError(t, err)
	require.Equal(t, at("web.example", "10.0.0.2", "fd00::1"), a.targets)
	require.EqualError(t, a.kept, fmt.Sprintf("cannot look up all addresses: %s: SERVFAIL", z.address))
	require.True(t, a.partial)

	a, err = c.lookup(bounded(t), web, at("web.example", "10.0.0.1"))
	require.NoError(t, err)
	require.Equal(t, at("web.example", "10.0.0.2"), a.targets)
	require.NoError(t, a.kept, "nobody misses an address")
	require.True(t, a.partial, "but there may be one")

	z.set("AAAA web.example.", reply{rcode: dns.RcodeNameError})
	a, err = c.lookup(bounded(t), web, at("web.example", "10.0.0.1", "fd00::1"))
	require.NoError(t, err)
	require.Equal(t, at("web.example", "10.0.0.2"), a.targets, "it has gone, and that is no failure")
	require.False(t, a.partial)

	z.set("A web.example.", reply{rcode: dns.RcodeNameError})
	z.set("AAAA web.example.", reply{rcode: dns.RcodeServerFailure})
	_, err = c.lookup(bounded(t), web, at("web.example", "10.0.0.1", "fd00::1"))
	require.ErrorContains(t, err, "SERVFAIL")
}

// Who is not interested any more does not wait for the answer.
func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	z := newZone(t, map[string]reply{"A web.example.": {raw: func(dns.ResponseWriter, *dns.Msg) { cancel() }}})
	began := time.Now()
	_, err := clientOf(time.Hour, z).lookup(ctx, web, nil)
	require.Error(t, err)
	require.Less(t, time.Since(began), patience)
}

// A TCP connection that stalls is given up in time.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	r := reply{raw: func(w dns.ResponseWriter, q *dns.Msg) {
		if w.RemoteAddr().Network() == "udp" {
			m := new(dns.Msg).SetReply(q)
			m.Truncated = true
			_ = w.WriteMsg(m)
		}
	}}
	z := newZone(t, map[string]reply{"A web.example.": r, "AAAA web.example.": r})
	_, err := clientOf(100*time.Millisecond, z).lookup(bounded(t), web, nil)
	require.ErrorContains(t, err, "no answer within 100ms")
}

func TestWithPort(t *testing.T) {
	f := func(server, want string) {
		t.Helper()
		require.Equal(t, want, withPort(server))
		_, _, err := net.SplitHostPort(want)
		require.NoError(t, err)
	}
	f("10.0.0.2", "10.0.0.2:53")
	f("10.0.0.2:5353", "10.0.0.2:5353")
	f("10.0.0.2:", "10.0.0.2:53")
	f("fd00::2", "[fd00::2]:53")
	f("[fd00::2]", "[fd00::2]:53")
	f("[fd00::2]:5353", "[fd00::2]:5353")
	f("dns", "dns:53")
}

// slowly is a reply that comes after a while.
func slowly(after time.Duration, r reply) reply {
	return reply{raw: func(w dns.ResponseWriter, q *dns.Msg) {
		time.Sleep(after)
		_ = w.WriteMsg(r.message(q, "udp")) // the client asks again
	}}
}

// A server that is slow to answer knows more than one that is quick to know nothing, and was asked because the first was silent.
func TestNothingFromTheSecondServerWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	first := newZone(t, map[string]reply{
		"A web.example.": slowly(time.Second, records("web.example. 60 IN A 10.0.0.1")), "AAAA web.example.": records("web.example. 60 IN AAAA fd00::1"),
	})
	second := newZone(t, map[string]reply{"A web.example.": {rcode: dns.RcodeNameError}, "AAAA web.example.": {rcode: dns.RcodeNameError}})
	a, err := clientOf(3*time.Second, first, second).lookup(bounded(t), web, nil)
	require.NoError(t, err)
	require.Len(t, a.targets, 2)
}
