package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// explained is what `l7 explain --json` says, as far as it is looked at.
type explained struct {
	Status  int
	Cause   string
	Error   string
	Queue   string
	Added   []string
	Servers []struct{ Address, Reason string }
}

// asked is a request that is explained, and made.
type asked struct {
	method string // GET where empty
	url    string
	fields []string
	body   string
}

func (a asked) args(more ...string) []string {
	args := append([]string{"explain"}, more...)
	for _, field := range a.fields {
		args = append(args, "-H", field)
	}
	if a.method != "" {
		args = append(args, a.method)
	}
	return append(args, a.url)
}

func (a asked) explain(t *testing.T, more ...string) (d explained) {
	t.Helper()
	got := command(t, a.args(append([]string{"--json"}, more...)...)...)
	require.Zero(t, got.code, got.stderr)
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &d), got.stdout)
	return d
}

// send makes the request of a listener, byte by byte, as curl would.
func (a asked) send(t *testing.T, address string) reply {
	t.Helper()
	u, err := url.Parse(a.url)
	require.NoError(t, err)
	head := a.method
	if head == "" {
		head = "GET"
	}
	host, fields := u.Host, ""
	for _, field := range a.fields {
		if value, found := strings.CutPrefix(field, "Host: "); found {
			host = value
			continue
		}
		fields += field + "\r\n"
	}
	if u.User != nil {
		fields += "Authorization: Basic " + basic(u.User.String()) + "\r\n"
	}
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	if u.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // l7 made the certificate
	}
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, head+" "+u.RequestURI()+" HTTP/1.1\r\nHost: "+host+"\r\n"+fields+"\r\n"+a.body)
	require.NoError(t, err)
	c := connection{conn, t, bufio.NewReader(conn)}
	return c.read()
}

// causeIn is the word for why l7 has answered by itself.
func causeIn(r reply) string {
	_, word, found := strings.Cut(r.Header.Get("Proxy-Status"), `details="`)
	if !found {
		return "ok"
	}
	return strings.TrimSuffix(word, `"`)
}

// TestExplainIsTrue compares what `l7 explain --live` says with what a real request gets. It said "passed on" where all servers were out, full or
// of weight 0, and of a body that is too large; and it knew nothing of listeners.
func TestExplainIsTrue(t *testing.T) {
	t.Parallel()
	server, full := startUpstream(t, "a"), startUpstream(t, "full")
	admin := filepath.Join(socketFolder(t), "admin.sock")
	plain, redirecting, denying, secure := freePort(t), freePort(t), freePort(t), freePort(t)
	dead := "127.0.0.1:" + freePort(t)
	l := run{env: []string{"L7_ADMIN__SOCKET=" + admin}, config: text(
		"listen:",
		"  - '127.0.0.1:"+plain+"'",
		"  - {address: '127.0.0.1:"+redirecting+"', redirect_https: true}",
		"  - {address: '127.0.0.1:"+denying+"', deny: [127.0.0.1]}",
		"  - {address: '127.0.0.1:"+secure+"', tls: {certificate: self}}",
		"forwarding: [x-forwarded-port, x-request-id]",
		"limits: {body: 1KiB}",
		"backends:",
		"  fine.com: {servers: ["+server.address+"]}",
		"  login.com: {servers: ["+server.address+"], users: {alice: "+secret+"}}",
		"  closed.com: {servers: ["+server.address+"], deny: [127.0.0.1]}",
		"  empty.com: {servers: []}",
		"  weightless.com: {servers: [{address: '"+server.address+"', weight: 0}], all_down: serve}",
		"  drained.com: {servers: ["+server.address+"]}",
		"  full.com: {servers: [{address: '"+full.address+"', max_in_flight: 1}]}",
		"  waiting.com: {servers: [{address: '"+full.address+"', max_in_flight: 1}], queue: {length: 1, timeout: 100ms}}",
		"  dead.com: {servers: ["+dead+"], health: {path: /, interval: 100ms, fall: 1}}",
		"  hopeful.com: {servers: ["+dead+"], health: {path: /, interval: 100ms, fall: 1}, all_down: serve}",
		"  limited.com: {servers: ["+server.address+"], rate_limit: 1/h}",
		"  fine.com/api: {servers: ["+server.address+"]}",
	)}.start(t)
	l.listening(4)
	require.Zero(t, command(t, "drain", "--admin", admin, "drained.com", server.address).code)
	for _, host := range []string{"full.com", "waiting.com"} {
		l.begin(call{url: "http://" + host + "/?delay=" + patience.String()})
	}
	full.awaitInFlight(2)
	l.awaitText("dead.com", "unhealthy")
	l.awaitText("hopeful.com", "unhealthy")
	l.get("http://limited.com/").from("a")

	at := func(scheme, port, rest string) string { // the URL of a host and path at a port
		host, path, _ := strings.Cut(rest, "/")
		return scheme + "://" + host + ":" + port + "/" + path
	}
	f := func(a asked, status int, cause string) {
		t.Helper()
		d := a.explain(t, "--admin", admin)
		u, err := url.Parse(a.url)
		require.NoError(t, err)
		got := a.send(t, "127.0.0.1:"+u.Port())
		assert.Equal(t, status, got.StatusCode, "%v", a)
		assert.Equal(t, cause, causeIn(got), "%v", a)
		assert.Equal(t, status, d.Status, "%v: %+v", a, d)
		assert.Equal(t, cause, d.Cause, "%v: %+v", a, d)
		if status != http.StatusOK {
			return
		}
		require.Equal(t, server.name, got.server())
		fields := got.echo().Fields
		for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Host", "X-Forwarded-For"} {
			assert.Contains(t, d.Added, name+": "+fields.Get(name))
		}
		assert.Contains(t, d.Added, "X-Request-ID: (made anew for each request)")
	}
	get := func(scheme, port, rest string, fields ...string) asked {
		return asked{url: at(scheme, port, rest), fields: fields}
	}
	f(get("http", plain, "fine.com/x?y"), 200, "ok")
	f(get("https", secure, "fine.com/x"), 200, "ok")
	f(get("http", redirecting, "fine.com/x"), 308, "redirected")
	f(get("http", denying, "fine.com/x"), 403, "forbidden")
	f(get("http", plain, "closed.com/"), 403, "forbidden")
	f(get("http", plain, "unknown.com/"), 404, "no_route")
	f(get("http", plain, "empty.com/"), 503, "no_server")
	f(get("http", plain, "weightless.com/"), 503, "unavailable")
	f(get("http", plain, "drained.com/"), 503, "unavailable")
	f(get("http", plain, "dead.com/"), 503, "unavailable")
	f(get("http", plain, "full.com/"), 503, "full")
	f(get("http", plain, "limited.com/"), 429, "rate_limited")
	f(get("http", plain, "login.com/"), 401, "unauthorized")
	f(get("http", plain, "alice:"+secret+"@login.com/"), 200, "ok")
	f(get("http", plain, "alice:"+secret+"-wrong@login.com/"), 401, "unauthorized")
	f(get("http", plain, "unknown.com/", "Host: fine.com"), 200, "ok")
	f(get("http", plain, "bücher.com/"), 400, "bad_request")
	f(get("http", plain, "fine.com/a/../b"), 400, "ambiguous_path")
	f(get("http", plain, "fine.com/"+strings.Repeat("a", 9<<10)), 414, "target_too_long")
	f(get("http", plain, "fine.com/", "A: "+strings.Repeat("a", 33<<10)), 431, "header_too_large")
	f(asked{method: "CONNECT", url: at("http", plain, "fine.com/")}, 400, "bad_request")
	f(asked{method: "POST", url: at("http", plain, "fine.com/"), fields: []string{"Content-Length: 5000"}}, 413, "body_too_large")
	f(asked{method: "POST", url: at("http", plain, "fine.com/"), fields: []string{"Content-Length: 4"}, body: "body"}, 200, "ok")

	waits := get("http", plain, "waiting.com/")
	assert.Equal(t, "all servers are full; 0 wait before it; 503 (queue_timeout) after 100ms", waits.explain(t, "--admin", admin).Queue)
	assert.Equal(t, "queue_timeout", causeIn(waits.send(t, "127.0.0.1:"+plain)))
	hopeful := get("http", plain, "hopeful.com/")
	assert.Equal(t, 200, hopeful.explain(t, "--admin", admin).Status)
	assert.Equal(t, "connect_refused", causeIn(hopeful.send(t, "127.0.0.1:"+plain)), "it was tried")

	// Plain HTTP where TLS is wanted is answered before it is a request.
	d := get("http", secure, "fine.com/").explain(t, "--admin", admin)
	assert.Equal(t, []any{400, "plain HTTP on a listener that wants TLS"}, []any{d.Status, d.Error})
	newClient(t, "127.0.0.1:"+secure).get("http://fine.com/").is(400)
}
