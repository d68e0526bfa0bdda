package discovery

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// watched follows names at zones, and returns channels of what is told.
func watched(t *testing.T, names []Name, zones ...*zone) (n *used, changes <-chan []Name, logs <-chan error) {
	t.Helper()
	told, failed := make(chan []Name, 100), make(chan error, 100)
	n = &used{options: Options{Servers: clientOf(0, zones...).servers, Timeout: 2 * time.Second}}
	n.Names = Start(nil, func(names []Name) { told <- names }, func(_ Name, s Set) { failed <- s.Err })
	t.Cleanup(n.Close)
	n.Use(names)
	return n, told, failed
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("BUG: after Fatal")
	}
}

// A name that moves is followed when its TTL is over.
func TestFollowed(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{"A web.example.": records("web.example. 1 IN A 10.0.0.1")})
	n, changes, logs := watched(t, []Name{web}, z)
	n.Await(bounded(t))
	require.Equal(t, at("web.example", "10.0.0.1"), n.Get(web).Targets)
	require.Equal(t, []Name{web}, receive(t, changes))

	before := n.Get(web).At
	z.set("A web.example.", records("web.example. 3600 IN A 10.0.0.2", "web.example. 3600 IN A 10.0.0.3"))
	require.Equal(t, []Name{web}, receive(t, changes))
	s := n.Get(web)
	require.Equal(t, at("web.example", "10.0.0.2", "10.0.0.3"), s.Targets)
	require.GreaterOrEqual(t, s.At.Sub(before), time.Second)
	require.GreaterOrEqual(t, s.Next.Sub(s.At), time.Hour)
	require.Empty(t, logs)
}

// Whatever a server does wrong, the last good set stays, and the name is followed again when the server has recovered.
func TestLastGoodSetStays(t *testing.T) {
	t.Parallel()
	faults := map[Name]reply{
		{Host: "servfail.example"}: {rcode: dns.RcodeServerFailure},
		{Host: "nxdomain.example"}: {rcode: dns.RcodeNameError},
		{Host: "timeout.example"}:  silent(),
		{Host: "garbage.example"}:  {raw: func(w dns.ResponseWriter, _ *dns.Msg) { _, _ = w.Write([]byte("garbage garbage")) }},
		{Host: "empty.example"}:    {},
	}
	z := newZone(t, map[string]reply{})
	set := func(name Name, a, aaaa reply) {
		z.set("AAAA "+name.Host+".", aaaa)
		z.set("A "+name.Host+".", a)
	}
	address := func(name Name, ip string) reply { return records(name.Host + ". 0 IN A " + ip) }
	for name := range faults {
		set(name, address(name, "10.0.0.1"), reply{})
	}
	n, changes, logs := watched(t, slices.Collect(maps.Keys(faults)), z)
	n.Await(bounded(t))
	require.Len(t, receive(t, changes), len(faults))

	for name, fault := range faults {
		set(name, fault, fault)
	}
	for range faults {
		require.Error(t, receive(t, logs))
	}
	for name := range faults {
		require.Equal(t, at(name.Host, "10.0.0.1"), n.Get(name).Targets)
		require.Error(t, n.Get(name).Err)
		set(name, address(name, "10.0.0.2"), reply{})
	}
	require.Empty(t, changes)
	for range faults {
		require.NoError(t, receive(t, logs))
	}
	for told := 0; told < len(faults); {
		told += len(receive(t, changes))
	}
	for name := range faults {
		require.Equal(t, at(name.Host, "10.0.0.2"), n.Get(name).Targets)
	}
}

func TestServiceFollowed(t *testing.T) {
	t.Parallel()
	z := newZone(t, map[string]reply{"SRV _web._tcp.example.": {
		answer: []string{"_web._tcp.example. 1 IN SRV 1 2 80 a.example."}, extra: []string{"a.example. 60 IN A 10.0.0.1"},
	}})
	n, changes, _ := watched(t, []Name{webService}, z)
	require.Equal(t, []Name{webService}, receive(t, changes))
	require.Equal(t, []Target{{IP: ip("10.0.0.1"), Port: 80, Weight: 2, Priority: 1, Host: "a.example"}}, n.Get(webService).Targets)
	z.set("SRV _web._tcp.example.", records("_web._tcp.example. 60 IN SRV 0 0 0 ."))
	receive(t, changes)
	require.Empty(t, n.Get(webService).Targets)
	require.True(t, n.Get(webService).Resolved)
}

// The first server is dead from the start: nothing is told of it, and the name is found.
func TestFirstServerDead(t *testing.T) {
	t.Parallel()
	dead := newZone(t, map[string]reply{"A web.example.": silent(), "AAAA web.example.": silent()})
	good := newZone(t, map[string]reply{"A web.example.": records("web.example. 60 IN A 10.0.0.1")})
	n, changes, logs := watched(t, []Name{web}, dead, good)
	receive(t, changes)
	require.Equal(t, at("web.example", "10.0.0.1"), n.Get(web).Targets)
	require.NoError(t, n.Get(web).Err)
	require.Empty(t, logs)
}

// The second server was asked when the first had been waited for in full, which was as long as a start waits for names: each began with 503.
func TestSecondServerInTime(t *testing.T) {
	t.Parallel()
	dead := newZone(t, map[string]reply{"A web.example.": silent(), "AAAA web.example.": silent()})
	good := newZone(t, map[string]reply{"A web.example.": records("web.example. 60 IN A 10.0.0.1")})
	timeout, began := 6*time.Second, time.Now()
	a, err := clientOf(timeout, dead, good).lookup(bounded(t), web, nil)
	require.NoError(t, err)
	require.Equal(t, at("web.example", "10.0.0.1"), a.targets)
	require.Less(t, time.Since(began), timeout)
}

// A server that is only slow still counts, when the others are worse.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	z := newZone(t, map[string]reply{"A web.example.": {raw: func(w dns.ResponseWriter, q *dns.Msg) {
		select {
		case <-asked:
		case <-t.Context().Done():
		}
		_ = w.WriteMsg(records("web.example. 60 IN A 10.0.0.1").message(q, "udp"))
	}}})
	worse := newZone(t, map[string]reply{"A web.example.": {rcode: dns.RcodeServerFailure, edit: func(*dns.Msg) { close(asked) }}})
	a, err := clientOf(6*time.Second, z, worse).lookup(bounded(t), web, nil)
	require.NoError(t, err)
	require.Equal(t, at("web.example", "10.0.0.1"), a.targets)
}

// Who knows no such name is not asked first because another one was slow.
func TestServerThatKnowsLess(t *testing.T) {
	t.Parallel()
	slow := newZone(t, map[string]reply{"A web.example.": silent(), "AAAA web.example.": silent()})
	less := newZone(t, map[string]reply{"A web.example.": {rcode: dns.RcodeNameError}, "AAAA web.example.": {rcode: dns.RcodeNameError}})
	c := clientOf(6*time.Second, slow, less)
	_, err := c.lookup(bounded(t), web, nil)
	require.ErrorIs(t, err, errNoName)
	require.Zero(t, c.first.Load())
}
