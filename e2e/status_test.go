package e2e

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

// TestStatusOfCertificates: l7 status did not show until when certificates are valid, and the metrics left out those without a name.
func TestStatusOfCertificates(t *testing.T) {
	t.Parallel()
	ca, control := newAuthority(t), filepath.Join(socketFolder(t), "admin.sock")
	nameless, key := ca.sign("nameless", hence(73*time.Hour), "")
	l := run{env: []string{"L7_ADMIN__SOCKET=" + control}, config: text("admin: {listen: '127.0.0.1:0'}",
		"listen: [{address: '127.0.0.1:0', tls: {certificates: ["+pairOf(ca.sign("named", hence(2*time.Hour), "a.io", "b.io"))+", "+pairOf(nameless, key)+"]}}]",
		"backends: {a.io: {servers: []}}")}.start(t)
	admin := l.awaitLog("admin listening", 1).field("address")
	assert.Regexp(t, `(?m)^a.io and 1 more +1h\d\dm  .*/named.pem\n\(no name\) +3d0\dh  `+nameless+"$", command(t, "status", "--admin", control).stdout)
	assert.Contains(t, command(t, "status", "--json", "--admin", control).stdout, `"names": []`)
	scrape := newClient(t, admin).get("http://" + admin + "/metrics").is(http.StatusOK).body
	assert.Contains(t, scrape, `l7_tls_certificate_not_after_timestamp_seconds{file="`+nameless+`",name=""}`)
}

// TestStatusBeforeAnybodyAsks: a backend that serves nobody was up in the status, on the page and in the metrics until the first request had failed, and
// nothing said why a single server fails, which is never ejected.
func TestStatusBeforeAnybodyAsks(t *testing.T) {
	t.Parallel()
	names := newNameServer(t)
	names.set("nowhere.test.")
	servers := startUpstreams(t, 1)
	nobody := "127.0.0.1:" + freePort(t)
	control := filepath.Join(socketFolder(t), "admin.sock")
	l := run{env: []string{"L7_ADMIN__SOCKET=" + control}, config: text(listenAnywhere, "admin: {listen: '127.0.0.1:0'}", "resolver: '"+names.address+"'", "backends:",
		"  drained.io: {servers: ["+servers[0].address+"]}", "  empty.io: {servers: []}", "  name.io: {servers: ['http://nowhere.test']}",
		"  refused.io: {servers: ["+nobody+"]}", "  well.io: {servers: ["+servers[0].address+"]}")}.start(t)
	admin := l.awaitLog("admin listening", 1).field("address")
	ask := func(args ...string) string {
		t.Helper()
		got := command(t, append(args, "--admin", control)...)
		require.Zero(t, got.code, got.stderr)
		return got.stdout
	}
	require.Contains(t, ask("drain", "drained.io", servers[0].address), servers[0].address)

	scrape := newClient(t, admin).get("http://" + admin + "/metrics").is(http.StatusOK).body
	var status api.Status
	require.NoError(t, json.Unmarshal([]byte(ask("status", "--json")), &status))
	assert.True(t, status.ReadOnly)
	require.Len(t, status.Backends, 5)
	f := func(n int, name, state, up, problem string) {
		t.Helper()
		b := status.Backends[n]
		assert.Equal(t, name, b.Name)
		assert.Equal(t, state, b.State, name)
		assert.Contains(t, b.Problem, problem, name)
		assert.Contains(t, scrape, `l7_backend_up{backend="`+name+`"} `+up+"\n")
	}
	f(0, "drained.io", "down", "0", "no server is available")
	f(1, "empty.io", "down", "0", "it has no servers")
	f(2, "name.io", "down", "0", "cannot resolve nowhere.test")
	f(3, "refused.io", "up", "1", "")
	f(4, "well.io", "up", "1", "")
	assert.Empty(t, l.log("backend changed"), "nobody has missed anything yet")

	l.get("http://refused.io/").refusedFor(http.StatusBadGateway, "connect_refused")
	l.get("http://well.io/").from("a")
	l.get("http://empty.io/").refusedFor(http.StatusServiceUnavailable, "no_server")
	l.get("http://name.io/").refusedFor(http.StatusServiceUnavailable, "name_unresolved")
	table := ask("status")
	assert.Regexp(t, `http://`+nobody+` +available .* failed \d+s ago: connect_refused: dial tcp `, table, "whose failure it is stands there already")
	assert.Regexp(t, `the last attempt failed \d+s ago: connect_refused: dial tcp `, ask("why", nobody))
	assert.NotContains(t, ask("why", servers[0].address, "--backend", "well.io"), "failed")
	l.awaitLog("backend changed", 2)
	changes := l.log("backend changed")
	assert.Contains(t, changes[0].field("reason"), "it has no servers")
	assert.Contains(t, changes[1].field("reason"), "cannot resolve nowhere.test")

	got := command(t, "why", "10.1.2.3", "--admin", control)
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "no backend has the server http://10.1.2.3:80; known are http://"+servers[0].address+", http://"+nobody)
	got = command(t, "why", nobody, "--backend", "well.io", "--admin", control)
	assert.Contains(t, got.stderr, `backend "well.io" has no server http://`+nobody+"; known are http://"+servers[0].address)
}
