package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

// nameServer is a DNS server whose answers change.
type nameServer struct {
	t       *testing.T
	address string

	mu      sync.Mutex // guards all below
	records map[string][]dns.RR
	code    int
	silent  map[string]bool // names that nothing is answered about
	asked   int
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	n := &nameServer{t: t, records: map[string][]dns.RR{}, silent: map[string]bool{}}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(n.answer)}
	go func() { _ = server.ActivateAndServe() }() // it ends with the test
	t.Cleanup(func() { _ = server.Shutdown() })
	n.address = packets.LocalAddr().String()
	return n
}

func (n *nameServer) answer(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.silent[q.Question[0].Name] {
		return
	}
	m := new(dns.Msg)
	m.SetRcode(q, n.code)
	for _, record := range n.records[q.Question[0].Name] {
		if record.Header().Rrtype == q.Question[0].Qtype {
			m.Answer = append(m.Answer, record)
		}
	}
	_ = w.WriteMsg(m) // the client asks again
}

// questions is how many there have been.
func (n *nameServer) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

// set has a name lead to other records from now on.
func (n *nameServer) set(name string, records ...string) {
	n.t.Helper()
	n.mu.Lock()
	n.records[name] = nil
	for _, text := range records {
		record, err := dns.NewRR(text)
		require.NoError(n.t, err)
		n.records[name] = append(n.records[name], record)
	}
	n.mu.Unlock()
}

func (n *nameServer) fail(code int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.code = code
}

// silence leaves the questions about a name without an answer from now on.
func (n *nameServer) silence(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent[name] = true
}

func hostAndPort(t *testing.T, address string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return host, port
}

// TestNamesThatMove: what a name stands for changes under load, and no request is lost; a resolver that fails changes nothing.
func TestNamesThatMove(t *testing.T) {
	t.Parallel()
	names := newNameServer(t)
	port := freePort(t)
	actors := []*actor{
		startActor(t, "a", "127.0.0.1:"+port, t.TempDir()+"/journal"),
		startActor(t, "b", "127.0.0.2:"+port, t.TempDir()+"/journal"),
		startActor(t, "c", "127.0.0.3:"+port, t.TempDir()+"/journal"),
	}
	names.set("app.test.", "app.test. 1 IN A 127.0.0.1")
	l := startFile(t, listenAnywhere, "resolver: '"+names.address+"'", "backends: {example.com: {servers: ['http://app.test:"+port+"']}}")
	assert.Equal(t, map[string]int{"a": 10}, l.serverNames("http://example.com/", 10))
	d := startTraffic(t, l.addr)
	now := func(n int, records ...string) {
		t.Helper()
		before := len(l.log("addresses changed"))
		names.set("app.test.", records...)
		l.awaitLog("addresses changed", before+1)
		eventually(t, "the new servers serve", func() bool { return len(l.serverNames("http://example.com/", 10*n)) == n })
	}
	now(3, "app.test. 1 IN A 127.0.0.1", "app.test. 1 IN A 127.0.0.2", "app.test. 1 IN A 127.0.0.3")
	now(1, "app.test. 1 IN A 127.0.0.2")
	now(2, "app.test. 1 IN A 127.0.0.1", "app.test. 1 IN A 127.0.0.3")
	names.fail(dns.RcodeServerFailure)
	l.awaitLog("cannot resolve a name; the last addresses stay in use", 1)
	assert.Len(t, l.serverNames("http://example.com/", 20), 2)
	names.fail(dns.RcodeSuccess)
	l.awaitLog("a name resolves again", 1)
	d.end()
	assert.Empty(t, first(d.lostGets))
	assert.Empty(t, first(d.lostPosts))
	for _, a := range actors {
		a.awaitInFlight(0)
	}
	t.Logf("%d GETs, %d POSTs while the name moved", d.gets.Load(), d.posts.Load())
}

// TestStatusOfANameThatFails: nothing but the log told that the addresses in use are those of before.
func TestStatusOfANameThatFails(t *testing.T) {
	t.Parallel()
	names, server := newNameServer(t), startUpstream(t, "a")
	_, port := hostAndPort(t, server.address)
	names.set("app.test.", "app.test. 1 IN A 127.0.0.1")
	names.silence("late.test.")
	control := filepath.Join(socketFolder(t), "admin.sock")
	l := run{env: []string{"L7_ADMIN__SOCKET=" + control}, config: text(listenAnywhere, "admin: {listen: '127.0.0.1:0'}", "resolver: '"+names.address+"'",
		"backends:", "  example.com: {servers: ['http://app.test:"+port+"']}", "  other.com: {servers: ["+server.address+", 'http://late.test']}")}.start(t)
	admin := l.awaitLog("admin listening", 1).field("address")
	backends := func() (all []api.Backend, table string) {
		t.Helper()
		got := command(t, "status", "--json", "--admin", control)
		require.Zero(t, got.code, got.stderr)
		var status api.Status
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &status))
		return status.Backends, command(t, "status", "--admin", control).stdout
	}
	requireMetric := func(want string) {
		t.Helper()
		assert.Contains(t, newClient(t, admin).get("http://"+admin+"/metrics").is(http.StatusOK).body, want+"\n")
	}
	all, _ := backends()
	assert.Empty(t, all[0].Unresolved)
	assert.Empty(t, all[0].Problem)
	requireMetric(`l7_name_resolved{name="app.test"} 1`)
	requireMetric(`l7_name_resolved{name="late.test"} 0`)

	names.fail(dns.RcodeServerFailure)
	l.awaitLog("cannot resolve a name; the last addresses stay in use", 1)
	all, table := backends()
	require.Len(t, all[0].Unresolved, 1)
	assert.Equal(t, "up", all[0].State)
	assert.Equal(t, api.Name{Name: "app.test", Error: names.address + ": SERVFAIL", Since: all[0].Unresolved[0].Since, Known: true}, all[0].Unresolved[0])
	assert.NotZero(t, all[0].Unresolved[0].Since)
	assert.Regexp(t, `(?m)^example.com +up .* app.test: `+names.address+`: SERVFAIL for \d+s; the addresses of before are used$`, table)
	assert.Regexp(t, `(?m)^other.com +up .* late.test: `, table)
	assert.Contains(t, all[1].Problem, "; there is no server behind it yet")
	requireMetric(`l7_name_resolved{name="app.test"} 0`)

	names.fail(dns.RcodeSuccess)
	l.awaitLog("a name resolves again", 1)
	all, _ = backends()
	assert.Empty(t, all[0].Unresolved)
	requireMetric(`l7_name_resolved{name="app.test"} 1`)
}

// TestServiceRecords: SRV records tell ports, and who is a backup.
func TestServiceRecords(t *testing.T) {
	t.Parallel()
	names := newNameServer(t)
	servers := startUpstreams(t, 2)
	_, one := hostAndPort(t, servers[0].address)
	_, two := hostAndPort(t, servers[1].address)
	names.set("_web._tcp.test.",
		"_web._tcp.test. 1 IN SRV 10 1 "+one+" a.test.", "_web._tcp.test. 1 IN SRV 20 1 "+two+" b.test.")
	names.set("a.test.", "a.test. 1 IN A 127.0.0.1")
	names.set("b.test.", "b.test. 1 IN A 127.0.0.1")
	l := startFile(t, listenAnywhere, "resolver: '"+names.address+"'", "backends: {example.com: {servers: ['srv+http://_web._tcp.test'], eject: {time: 200ms}}}")
	assert.Equal(t, map[string]int{"a": 20}, l.serverNames("http://example.com/", 20))
	servers[0].kill()
	eventually(t, "the backup serves", func() bool {
		got := l.get("http://example.com/")
		return got.StatusCode == http.StatusOK && got.server() == "b"
	})
}

// TestANameThatDoesNotResolve stops nothing else, and is made good as soon as it does.
func TestANameThatDoesNotResolve(t *testing.T) {
	t.Parallel()
	names := newNameServer(t)
	server := startUpstream(t, "a")
	_, port := hostAndPort(t, server.address)
	l := startFile(t, listenAnywhere, "resolver: '"+names.address+"'", "resolve_interval: 1s",
		"backends: {late.test: {servers: ['http://late.test:"+port+"']}, example.com: {servers: ["+server.address+"]}}")
	l.get("http://example.com/").from("a")
	got := l.get("http://late.test/")
	got.refusedFor(http.StatusServiceUnavailable, "name_unresolved")
	assert.NotContains(t, got.body, "127.0.0.1", "the resolver is nobody's business")
	assert.Contains(t, strings.Join(l.stderr.lines(), "\n"), "late.test")
	l.signal(syscall.SIGHUP)
	l.awaitLog("reloaded", 1)
	assert.Equal(t, 2, strings.Count(l.stderr.String(), "backend late.test: cannot resolve"), "who starts and who reloads are told")
	names.set("late.test.", "late.test. 1 IN A 127.0.0.1")
	eventually(t, "it serves", func() bool { return l.get("http://late.test/").StatusCode == http.StatusOK })
}

// TestStartThatFailsBesideASlowName: a start that failed after a name had become known waited for ever for whoever was to be told of the
// name, who waited for the start to end.
func TestStartThatFailsBesideASlowName(t *testing.T) {
	t.Parallel()
	names, taken := newNameServer(t), startUpstream(t, "a")
	names.set("fast.test.", "fast.test. 1 IN A 127.0.0.1")
	names.silence("slow.test.")
	l := run{config: text("listen: '"+taken.address+"'", "resolver: '"+names.address+"'",
		"backends: {example.com: {servers: ['http://fast.test', 'http://slow.test']}}")}.launch(t)
	assert.Equal(t, 1, l.exit())
	assert.Contains(t, l.stderr.String(), "address already in use")
}

// TestUpgradeWhileNamesAreSilent: a process that took over knew nothing of names, and answered 503 while nobody could be asked.
func TestUpgradeWhileNamesAreSilent(t *testing.T) {
	t.Parallel()
	names, server := newNameServer(t), startUpstream(t, "a")
	_, port := hostAndPort(t, server.address)
	names.set("app.test.", "app.test. 1 IN A 127.0.0.1")
	l := startDynasty(t, run{config: text(listenAnywhere, "resolver: '"+names.address+"'", "backends: {example.com: {servers: ['http://app.test:"+port+"']}}")})
	names.silence("app.test.")
	for range 2 { // the second one is told what the first has only been told
		l.upgrade()
		assert.Equal(t, map[string]int{"a": 10}, l.serverNames("http://example.com/", 10))
	}
	l.stop()
}

// TestRefusedConfigLeavesNamesAlone: what the resolver of a refused config had said of a name was put in use.
func TestRefusedConfigLeavesNamesAlone(t *testing.T) {
	t.Parallel()
	names, others, port := newNameServer(t), newNameServer(t), freePort(t)
	startUpstream(t, "a", "127.0.0.1:"+port)
	wrong := startUpstream(t, "b", "127.0.0.2:"+port)
	startUpstream(t, "c", "127.0.0.3:"+port)
	names.set("app.test.", "app.test. 1 IN A 127.0.0.1")
	others.set("app.test.", "app.test. 1 IN A 127.0.0.2")
	others.silence("slow.test.") // so that app.test is known by the time of the refusal
	backend := "example.com: {servers: ['http://app.test:" + port + "']}"
	l := startFile(t, listenAnywhere, "resolver: '"+names.address+"'", "backends: {"+backend+"}")
	l.rewrite(listenAnywhere, "resolver: '"+others.address+"'", "expect: [{request: 'GET http://example.com/', backend: slow.test}]",
		"backends: {"+backend+", slow.test: {servers: ['http://slow.test']}}")
	l.signal(syscall.SIGHUP)
	l.awaitLog("cannot reload; the config in force stays", 1)
	names.set("app.test.", "app.test. 1 IN A 127.0.0.3")
	assert.Equal(t, []any{"http://127.0.0.3:" + port}, l.awaitLog("addresses changed", 1)["servers"])
	eventually(t, "the new server serves", func() bool { return l.get("http://example.com/").server() == "c" })
	assert.Zero(t, wrong.stats().Requests)
}

// TestWhyANameIsUnknown: the log said that a name had not been looked up yet, whatever had come of looking it up since; and of a first lookup
// that failed, that the last addresses stay in use, where there were none.
func TestWhyANameIsUnknown(t *testing.T) {
	t.Parallel()
	servers := make([]string, 20) // that many keep the first lookup under way for about ten seconds, so that the first request meets it
	for i := range servers {
		names := newNameServer(t)
		names.silence("late.test.")
		servers[i] = "'" + names.address + "'"
	}
	l := startFile(t, listenAnywhere, "resolver: ["+strings.Join(servers, ", ")+"]", "backends: {example.com: {servers: ['http://late.test']}}")
	asked := 0
	requireWhy := func(why string) {
		t.Helper()
		l.get("http://example.com/").refusedFor(http.StatusServiceUnavailable, "name_unresolved")
		asked++
		assert.Contains(t, l.awaitLog("request not passed on", asked).field("error"), why)
	}
	requireWhy("late.test: its first lookup has not ended yet")
	l.awaitLog("cannot resolve a name; there is no server behind it yet, and a backend without others answers 503", 1)
	requireWhy("no answer within 2s")
}
