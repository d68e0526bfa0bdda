package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// linesOf waits until a file has n lines.
func linesOf(t *testing.T, l *l7, path string, n int) []string {
	t.Helper()
	var lines []string
	l.await("lines in "+filepath.Base(path), func() bool {
		content, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		lines = strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
		return len(content) > 0 && len(lines) >= n
	})
	require.Len(t, lines, n)
	return lines
}

// TestAccessLog: a line for each request, whatever became of it, with what somebody at night wants to know.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	path := filepath.Join(t.TempDir(), "access.log")
	config := func(access string) []string {
		return []string{
			listenAnywhere, "log: {access: " + access + ", access_file: " + path + ", access_redact: [token]}",
			"forwarding: [x-request-id]", "users: {alice: '" + secret + "-a'}",
			"backends: {example.com: {servers: ['127.0.0.1:1', " + server.address + "], policy: first}}",
		}
	}
	l := startFile(t, config("json")...)
	l.send(call{url: "http://example.com/a?token=" + secret + "&x=1", user: "alice:" + secret + "-a"}).from("a")
	l.send(call{url: "http://other.example/", user: "alice:" + secret + "-a"}).is(http.StatusNotFound)
	l.send(call{url: "http://example.com/", user: "mallory:" + secret}).is(http.StatusUnauthorized)

	var entries []map[string]any
	for _, line := range linesOf(t, l, path, 3) {
		entry := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		assert.NotContains(t, line, secret)
		assert.Regexp(t, `^[0-9a-f]{32}$`, entry["id"])
		assert.Equal(t, "127.0.0.1", entry["client"])
		assert.Positive(t, entry["total_ms"])
		entries = append(entries, entry)
	}
	// Lines are whole, and not strictly in the order of time.
	slices.SortFunc(entries, func(a, b map[string]any) int { return int(b["status"].(float64)) - int(a["status"].(float64)) })
	first := entries[2]
	assert.Equal(t, "/a?token=***&x=1", first["path"])
	assert.Equal(t, "alice", first["user"])
	assert.Equal(t, "example.com", first["backend"])
	assert.Equal(t, "http://"+server.address, first["server"])
	assert.EqualValues(t, 2, first["attempts"], "the first server refuses connections")
	assert.EqualValues(t, 200, first["status"])
	assert.NotContains(t, first, "cause")
	assert.Positive(t, first["first_byte_ms"])
	assert.Equal(t, []any{404.0, "no_route"}, []any{entries[0]["status"], entries[0]["cause"]})
	assert.Equal(t, []any{401.0, "unauthorized", "example.com"}, []any{entries[1]["status"], entries[1]["cause"], entries[1]["backend"]})

	// Logrotate moves the file away and sends HUP; the config may change at the same time, or be wrong.
	require.NoError(t, os.Rename(path, path+".1"))
	l.reload(config("clf")...)
	l.send(call{url: "http://example.com/b", user: "alice:" + secret + "-a"}).from("a")
	clf := regexp.MustCompile(`^127\.0\.0\.1 - alice \[[^]]+\] "GET /b HTTP/1\.1" 200 \d+ "-" "[^"]*"$`)
	assert.Regexp(t, clf, linesOf(t, l, path, 1)[0])
	linesOf(t, l, path+".1", 3)

	require.NoError(t, os.Rename(path, path+".2"))
	l.rewrite("nonsense")
	l.signal(syscall.SIGHUP)
	l.awaitLog("cannot reload; the config in force stays", 1)
	l.send(call{url: "http://example.com/c", user: "alice:" + secret + "-a"}).from("a")
	linesOf(t, l, path, 1)
	linesOf(t, l, path+".2", 1)

	// What was logged last is there when the process has ended.
	for range 100 {
		l.send(call{url: "http://example.com/d", user: "alice:" + secret + "-a"}).from("a")
	}
	l.signal(syscall.SIGTERM)
	require.Zero(t, l.exit())
	linesOf(t, l, path, 101)
}

// A log that cannot be opened keeps l7 from starting, and a reload from being done, and says which key is to blame.
func TestAccessLogThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	lines := []string{listenAnywhere, "log: {access: json, access_file: /nowhere/access.log}", "backends: {example.com: {servers: ['127.0.0.1:1']}}"}
	l := run{config: text(lines...)}.launch(t)
	require.Equal(t, 1, l.exit())
	assert.Contains(t, l.stderr.String(), "/nowhere/access.log")
	assert.Contains(t, l.stderr.String(), "log.access_file")

	l = startFile(t, lines[0], lines[2])
	l.rewrite(lines...)
	l.signal(syscall.SIGHUP)
	assert.Contains(t, l.awaitLog("cannot reload; the config in force stays", 1).field("error"), "log.access_file")
}

// TestWatch: with watch: true a change of the file is a reload, and one that is wrong changes nothing.
func TestWatch(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	config := func(address string) []string {
		return []string{listenAnywhere, "watch: true", "backends: {example.com: {servers: [" + address + "]}}"}
	}
	l := startFile(t, config(servers[0].address)...)
	l.get("http://example.com/").from("a")
	l.rewrite(config(servers[1].address)...)
	l.awaitLog("reloaded", 1)
	l.get("http://example.com/").from("b")
	l.rewrite("watch: true", "backends: {example.com: {server: []}}")
	assert.Contains(t, l.awaitLog("cannot reload; the config in force stays", 1).field("error"), "l7.yml:2:")
	l.get("http://example.com/").from("b")
	l.rewrite(append(config(servers[0].address)[:1], config(servers[0].address)[2:]...)...)
	l.awaitLog("reloaded", 2)
	l.get("http://example.com/").from("a")
	assert.Len(t, l.log("the config has changed"), 3)
}

// TestWatchFromTheStart: a change that comes between the reading of the file and the serving of what it said is not lost.
func TestWatchFromTheStart(t *testing.T) {
	t.Parallel()
	servers, names := startUpstreams(t, 2), newNameServer(t)
	names.silence("slow.test.")
	config := func(i int) string {
		return text(listenAnywhere, "watch: true", "resolver: '"+names.address+"'",
			"backends: {example.com: {servers: ["+servers[i].address+"]}, slow.test: {servers: [slow.test]}}")
	}
	l := run{config: config(0)}.launch(t)
	l.await("the name is asked for", func() bool { return names.questions() > 0 })
	l.rewrite(config(1))
	l.client = newClient(t, l.listening(1)[0])
	l.await("the change is in force", func() bool { return l.get("http://example.com/").server() == "b" })
}
