package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDumpBySignalLoadsAgain puts the passwords back into what USR1 has written, and has it checked and served.
func TestDumpBySignalLoadsAgain(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startFile(t,
		listenAnywhere,
		"log: {level: debug}",
		"timeouts: {connect: 1500ms}",
		"users: {alice: '"+secret+": yes, \"that\" one'}",
		"backends:",
		"  example.com/api: {servers: ["+server.address+", 'unix:/run/a b.sock'], hosts: [www.example.com]}",
		"  '*.example.com': {servers: [], users: {}}",
		"  '*': {servers: [{address: '//"+server.address+"'}], users: {alice: '"+secret+": yes, \"that\" one'}}")

	l.signal(syscall.SIGUSR1)
	want := command(t, "dump", "-c", l.file)
	require.Zero(t, want.code)
	l.await("the dump is complete", func() bool { return len(l.stdout.String()) >= len(want.stdout) })
	dumped := l.stdout.String()
	require.Equal(t, want.stdout, dumped, "the dump of the process and that of `l7 dump`")
	assert.Contains(t, dumped, "***")

	asDumped := command(t, "check", "-c", writeFile(t, dumped))
	assert.Equal(t, 1, asDumped.code, "a dump without its passwords was taken for a config")
	assert.Contains(t, asDumped.stderr, "***")

	restored := strings.ReplaceAll(dumped, "'***'", `'`+secret+`: yes, "that" one'`)
	got := command(t, "check", "-c", writeFile(t, restored))
	require.Zero(t, got.code, got.stderr)
	again := run{config: restored}.start(t)
	again.send(call{url: "http://example.org/", user: "alice:" + secret + `: yes, "that" one`}).from("a")
	assert.Equal(t, "nothing", l.reload(restored))
}

func TestDumpBySignalAfterAReloadIsTheNewConfig(t *testing.T) {
	t.Parallel()
	l := startFile(t, listenAnywhere, "backends: {first.example: {servers: ['127.0.0.1:1']}}")
	l.reload(listenAnywhere, "backends: {second.example: {servers: ['127.0.0.1:1']}}")
	l.signal(syscall.SIGUSR1)
	l.await("dump", func() bool { return strings.Contains(l.stdout.String(), "second.example") })
	assert.NotContains(t, l.stdout.String(), "first.example")
}

// TestNoPasswordIsShown runs all commands with passwords wherever one can stand, misplaced ones too. What they write is searched
// at the end of every process, see checkOutput.
func TestNoPasswordIsShown(t *testing.T) {
	t.Parallel()
	hash := hashOf(t, secret+"-hashed")
	file := writeFile(t, text(
		listenAnywhere,
		"debug: true",
		"users_file: htpasswd",
		"users: {alice: '"+secret+"-file', bob: '"+hash+"'}",
		"backends:",
		"  example.com: {servers: ['127.0.0.1:1'], users: {carol: '"+secret+"-backend'}}"))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), "htpasswd"), []byte("dora:"+hash+"\n"), 0o600))
	env := []string{"L7_USERS=erik:" + secret + "-environment"}
	for _, args := range [][]string{{"check"}, {"dump"}, {"dump", "--origin"}} {
		args = append(args, "-c", file, "--user", "frieda:"+secret+"-flag", "other.example=127.0.0.1:1")
		got := program{path: built.l7, args: args, env: env}.run(t)
		require.Zero(t, got.code, "%q: %s", args, got.stderr)
	}

	mistakes := []program{
		{args: []string{"check", "--user", secret, "a.example=127.0.0.1:1"}},
		{args: []string{"check", "--user", ":" + secret, "a.example=127.0.0.1:1"}},
		{args: []string{"check", "--user", "alice:" + secret + "\x01", "--user", "alice:" + secret, "--user", "alice:" + secret}},
		{args: []string{"check", "a.example=http://alice:" + secret + "@127.0.0.1:1"}},
		{args: []string{"check", "alice:" + secret + "=x"}},
		{args: []string{"check", "a.example=127.0.0.1:1"}, env: []string{"L7_USERS=" + secret}},
		{args: []string{"check", "a.example=127.0.0.1:1"}, env: []string{"L7_USERS=alice:" + secret + " alice:" + secret}},
		{args: []string{"check", "-c", writeFile(t, "users:\n  alice:"+secret+": x\nbackends: {}\n")}},
		{args: []string{"check", "-c", writeFile(t, "users: {alice: ["+secret+"]}\n")}},
		{args: []string{"check", "-c", writeFile(t, "users: {alice: {password: "+secret+"}}\n")}},
		{args: []string{"check", "-c", writeFile(t, "users: alice:"+secret+"\n")}},
		{args: []string{"check", "-c", writeFile(t, "users: {alice: '$2y$10$"+secret+"'}\nbackends: {a: {servers: ['127.0.0.1:1']}}\n")}},
		{args: []string{"check", "-c", writeFile(t, "backends: {a: {servers: ['http://alice:"+secret+"@127.0.0.1:1']}}\n")}},
	}
	for _, p := range mistakes {
		p.path, p.hashes = built.l7, true // a cut hash is none
		got := p.run(t)
		assert.NotZero(t, got.code, "%q %q: %s", p.args, p.env, got.stdout)
		assert.NotEmpty(t, got.stderr, "%q", p.args)
	}
}

// TestNoPasswordIsLogged has a process that logs all it can see the credentials of requests.
func TestNoPasswordIsLogged(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "--debug", "--user", "alice:"+secret, "example.com="+server.address, "refusing.example="+refusingAddress(t))
	for _, user := range []string{"alice:" + secret, "alice:" + secret + "-wrong", secret + ":x", "alice:" + secret + "\x00"} {
		for _, host := range []string{"example.com", "refusing.example", "unknown.example"} {
			l.send(call{url: "http://" + host + "/", user: user})
			l.send(call{method: "CONNECT", url: "http://" + host + "/", user: user})
			l.send(call{url: "http://" + host + "/?abort=1", user: user})
		}
	}
	l.send(call{url: "http://example.com/", authorization: "Basic " + secret})
	l.raw("GET / HTTP/1.1\r\nHost: example.com\r\nAuthorization: Basic " + strings.Repeat(secret, 10000) + "\r\n\r\n")
	l.signal(syscall.SIGUSR1)
	l.await("dump", func() bool { return strings.Contains(l.stdout.String(), "refusing.example") })
	l.signal(syscall.SIGTERM)
	assert.Zero(t, l.exit())
}

// TestNoPasswordOfAnUnreadableRequestIsLogged: what is wrong with a line is said without the line.
func TestNoPasswordOfAnUnreadableRequestIsLogged(t *testing.T) {
	t.Parallel()
	l := startArgs(t, "--debug", "example.com=127.0.0.1:1")
	for _, fields := range []string{
		"Host: a b\r\nAuthorization: Basic " + secret,
		"Authorization Basic " + secret,
		"Host: example.com\r\nAuthorization : Basic " + secret,
		"Host: example.com\r\nAuthorization: Basic " + secret + "\x00",
		"Host: example.com\r\nContent-Length: x\r\nAuthorization: Basic " + secret,
	} {
		got := l.raw("GET / HTTP/1.1\r\n" + fields + "\r\n\r\n")
		assert.NotEmpty(t, got.Header.Get("Proxy-Status"), fields)
	}
}
