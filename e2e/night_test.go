package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOperatingUnderLoadLosesNoRequest: 100 reloads, 20 drains and undrains and 10 upgrades, all at the same time, under 64 clients.
func TestOperatingUnderLoadLosesNoRequest(t *testing.T) {
	const reloads, drains = 100, 20
	servers := startUpstreams(t, 3)
	control := filepath.Join(socketFolder(t), "admin.sock")
	config := func(n int) string {
		return text(listenAnywhere, "admin: {socket: '"+control+"'}", "timeouts: {idle: "+fmt.Sprint(60+n%2)+"s}",
			"backends: {example.com: {servers: ["+servers[0].address+", "+servers[1].address+", "+servers[2].address+"]}}")
	}
	l := startDynasty(t, run{config: config(0)})
	d := startLasting(t, l.addr, "http://example.com/")
	var operators sync.WaitGroup
	var refused, taken, replaced int
	operators.Go(func() {
		for n := range reloads {
			l.rewrite(config(n + 1))
			if retried(t, 0, "reload", "--admin", control) {
				taken++
			} else {
				refused++
			}
		}
	})
	operators.Go(func() {
		for n := range drains {
			server := servers[n%3].address
			assert.True(t, retried(t, 0, "drain", "--admin", control, "--wait", "example.com", server))
			assert.True(t, retried(t, 0, "undrain", "--admin", control, "example.com", server))
		}
	})
	operators.Go(func() {
		for n := 1; n <= upgrades; n++ {
			before := d.sent.Load()
			eventually(t, "requests are answered between two upgrades", func() bool { return d.sent.Load() > before+5*clients || d.idle() })
			l.upgrade()
			replaced++
		}
	})
	operators.Wait()
	d.end()

	d.requireNothingLost(t, servers)
	assert.Equal(t, reloads, taken, "%d were refused", refused)
	assert.Equal(t, upgrades, replaced)
	l.stop()
	t.Logf("%d requests, %d of them POST, %d reloads, %d drains, %d upgrades", d.sent.Load(), d.posted.Load(), taken, drains, replaced)
}

// retried runs a command until it ends with the code: a process that is being replaced says so and is to be asked again.
func retried(t *testing.T, code int, args ...string) bool {
	var got outcome
	for range 200 {
		if got = command(t, args...); got.code == code {
			return true
		}
	}
	t.Errorf("%q: %d, %s", args, got.code, got.stderr)
	return false
}

// TestAWrongConfigIsRefusedInTheSameWords: by signal, by command, by the file's change and by the API; and nothing has changed.
func TestAWrongConfigIsRefusedInTheSameWords(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	control := filepath.Join(socketFolder(t), "admin.sock")
	port := freePort(t)
	admin := "admin: {listen: '127.0.0.1:" + port + "', users: {ops: '" + hashOf(t, secret+"-ops") + "'}}"
	lines := []string{listenAnywhere, admin, "backends: {example.com: {servers: [" + server.address + "]}}"}
	l := run{config: text(lines...), env: []string{"L7_ADMIN__SOCKET=" + control}}.start(t)
	api := newClient(t, "127.0.0.1:"+port)
	ops := "ops:" + secret + "-ops"
	metrics := func() string {
		return api.send(call{url: "http://127.0.0.1/metrics", user: ops}).is(http.StatusOK).body
	}

	wrong := append([]string{lines[0], lines[1]}, "backends: {example.com: {servrs: []}}")
	l.rewrite(wrong...)
	const want = `l7.yml:3:26: backends.example.com.servrs: unknown key; did you mean "servers"?`
	refused := func(n int) {
		t.Helper()
		assert.Contains(t, l.awaitLog("cannot reload; the config in force stays", n).field("error"), want)
		l.get("http://example.com/").from("a")
		assert.Contains(t, metrics(), fmt.Sprintf("l7_config_reloads_total{result=\"refused\"} %d\n", n))
		assert.Contains(t, metrics(), "l7_config_last_reload_success 0\n")
		assert.Contains(t, metrics(), "l7_config_generation 1\n")
	}
	l.signal(syscall.SIGHUP)
	refused(1)
	got := command(t, "reload", "--admin", control)
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, want)
	refused(2)
	answer := api.send(call{method: http.MethodPost, url: "http://127.0.0.1/api/reload", user: ops}).is(http.StatusUnprocessableEntity)
	assert.Contains(t, strings.ReplaceAll(answer.body, `\"`, `"`), want)
	refused(3)
	assert.Contains(t, command(t, "status", "--admin", control).stdout, "FAILED: "+l.file+":3:26")
	got = command(t, "diff", "--admin", control, l.file)
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, want)

	l.reload(append(lines, "watch: true")...)
	l.rewrite(append(wrong, "watch: true")...)
	assert.Contains(t, l.awaitLog("cannot reload; the config in force stays", 4).field("error"), want)
	l.get("http://example.com/").from("a")
	assert.Contains(t, metrics(), "l7_config_generation 2\n")
}

// basic is a login as it stands in a request.
func basic(login string) string { return base64.StdEncoding.EncodeToString([]byte(login)) }

// TestNoSecretIsShown has everything say something that says anything, and looks for passwords and hashes in all of it.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	control := filepath.Join(socketFolder(t), "admin.sock")
	port := freePort(t)
	log := filepath.Join(t.TempDir(), "access.log")
	config := func(more string) []string {
		return []string{
			listenAnywhere, "log: {access: json, access_file: '" + log + "', level: debug, access_redact: [token]}",
			"admin: {listen: '127.0.0.1:" + port + "', pprof: true, users: {ops: '" + secret + "-ops'}}",
			"users: {alice: '" + secret + "-a', bob: '" + hashOf(t, secret+"-b") + "'}",
			"backends:", "  example.com: {servers: [" + server.address + "], sticky: {cookie: l7, secret: '" + secret + "-sticky'}" + more + "}",
		}
	}
	l := run{config: text(config("")...), env: []string{"L7_ADMIN__SOCKET=" + control}}.start(t)
	ops, alice := "ops:"+secret+"-ops", "alice:"+secret+"-a"
	l.send(call{url: "http://example.com/?token=" + secret, user: alice}).from("a")
	l.send(call{url: "http://example.com/", user: "alice:" + secret + "-wrong"}).is(http.StatusUnauthorized)

	shown := map[string]string{}
	api := newClient(t, "127.0.0.1:"+port)
	for _, path := range []string{
		"/", "/app.js", "/metrics", "/healthz", "/readyz", "/api/status", "/api/config", "/api/events", "/api/history?server=" + server.address,
		"/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/api/nothing",
	} {
		shown["GET "+path] = api.send(call{url: "http://127.0.0.1" + path, user: ops}).body
	}
	ask := func(path, body string) {
		shown["POST "+path] = api.send(call{method: http.MethodPost, url: "http://127.0.0.1" + path, user: ops, body: body}).body
	}
	question, err := json.Marshal(map[string]any{"url": "http://example.com/", "fields": []string{"Authorization: Basic " + basic(alice), "Cookie: a=" + secret}})
	require.NoError(t, err)
	ask("/api/explain", string(question))
	ask("/api/drain", `{"backend":"example.com","server":"`+server.address+`"}`)
	ask("/api/undrain", `{"backend":"example.com","server":"`+server.address+`"}`)
	l.rewrite(config(", max: '" + secret + "'")...)
	ask("/api/reload", "")
	for _, args := range [][]string{
		{"reload"},
		{"status"},
		{"status", "--json"},
		{"why", server.address},
		{"events"},
		{"diff", l.file},
		{"top", "--once"},
		{"explain", "--live", "-H", "Authorization: Basic " + basic(alice), "http://example.com/"},
	} {
		got := command(t, append(args[:1:1], append([]string{"--admin", control}, args[1:]...)...)...)
		shown["l7 "+strings.Join(args, " ")] = got.stdout + got.stderr
	}
	l.rewrite(config("")...)
	l.reload(config("")...)
	l.signal(syscall.SIGUSR1)
	l.await("the dump", func() bool { return strings.Contains(l.stdout.String(), "backends:") })
	for _, args := range [][]string{{"check"}, {"dump"}, {"dump", "--origin"}} {
		got := command(t, append(args, "--config", l.file)...)
		shown["l7 "+strings.Join(args, " ")] = got.stdout + got.stderr
	}
	content, err := os.ReadFile(log)
	require.NoError(t, err)
	shown["access log"] = string(content)

	hash := regexp.MustCompile(shownHash.String())
	for where, what := range shown {
		assert.NotEmpty(t, what, where)
		for _, line := range strings.Split(what, "\n") {
			assert.False(t, showsSecret(line) || hash.MatchString(line), "%s shows a secret: %s", where, line)
		}
	}
	t.Logf("%d outputs of the process were searched; its log is by every test", len(shown))
}
