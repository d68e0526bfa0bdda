package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Each line of the answer ends where its text does, only the first server is the one that is picked, and credentials of the URL are used and
// not shown: they were dropped without a word.
func TestExplainOffline(t *testing.T) {
	file := writeConfig(t, "listen: ':8080'\nusers: {alice: hunter2}\nbackends: {a: {policy: first, servers: ['127.0.0.1:1', '127.0.0.1:2']}, b: {users: {}, servers: []}}")
	got := run(nil, "explain", "--config", file, "http://alice:hunter2@a/x")
	assert.Zero(t, got.code, got.stderr)
	assert.NotContains(t, got.stdout+got.stderr, "hunter2")
	assert.NotRegexp(t, "(?m) $", got.stdout)
	for _, line := range []string{
		"request     GET /x HTTP/1.1\nlistener    :8080\nclient      127.0.0.1\nbackend     a\n",
		"auth        accepted alice\noutcome     passed on\n",
		"server 1    http://127.0.0.1:1: available, weight 1, 0 in flight; picked by first\n",
		"server 2    http://127.0.0.1:2: available, weight 1, 0 in flight; next\n",
	} {
		assert.Contains(t, got.stdout, line)
	}
	got = run(nil, "explain", "--config", file, "-H", "Host: b", "http://a/")
	assert.Contains(t, got.stdout, "auth        none wanted\noutcome     answered 503 (no_server)\n")
	got = run(nil, "explain", "--config", file, "http://b\u00fccher.de/")
	assert.Contains(t, got.stdout, "outcome     answered 400 (bad_request): bad_host\n")
	assert.NotRegexp(t, "(?m) $", got.stdout)
	got = run(nil, "explain", "--config", file, "http://alice:hunter2#@a/")
	assert.Equal(t, ran{exitUsage, "", "l7: cannot use the URL; want one with scheme and host, as in http://example.com/api\nSee `l7 explain --help`.\n"}, got)
}

// A config in which an expectation does not come true is explained and dumped: explain is what finds out why it does not.
func TestExplainWithoutExpectations(t *testing.T) {
	file := writeConfig(t, "expect: {request: 'http://a/', backend: b}\nbackends: {a: {servers: ['127.0.0.1:1']}, b: {servers: ['127.0.0.1:2']}}")
	got := run(nil, "explain", "--config", file, "http://a/")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "backend     a\n")
	got = run(nil, "dump", "--config", file)
	assert.Zero(t, got.code, got.stderr)
	got = run(nil, "check", "--config", file)
	assert.Contains(t, got.stderr, `http://a/ leads to backend "a"; want "b"`)
}

// An address behind a good URL was said to be a bad URL.
func TestExplainTakesNoServers(t *testing.T) {
	for _, args := range [][]string{{"http://x.io/", "x.io=127.0.0.1:1"}, {"GET", "http://x.io/", "x.io=127.0.0.1:1"}, {"x.io=127.0.0.1:1"}, {"http://x.io/", "http://y.io/"}} {
		got := run(nil, append([]string{"explain"}, args...)...)
		assert.Equal(t, exitUsage, got.code)
		assert.Contains(t, got.stderr, "l7: want a URL alone, or a method and a URL, as in GET http://example.com/api; the servers are those of --config FILE or L7_SERVERS\n", args)
	}
	got := run([]string{"L7_SERVERS=x.io=127.0.0.1:1"}, "explain", "http://x.io/?a=b")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "backend     x.io\n")
}
