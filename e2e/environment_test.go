package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEnvironmentAloneIsEnough(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	port := freePort(t)
	l := run{env: []string{
		"L7_PORT=" + port,
		"L7_USERS=admin:" + secret + "-admin bob:" + secret + ":x",
		"L7_SERVERS=example.com=" + servers[0].address + " example.com/api=" + servers[1].address,
	}}.start(t)

	assert.Contains(t, l.addr, ":"+port)
	l.get("http://example.com/").is(http.StatusUnauthorized)
	l.send(call{url: "http://example.com/", user: "admin:" + secret + "-admin"}).from("a")
	l.send(call{url: "http://example.com/api/", user: "bob:" + secret + ":x"}).from("b")
}

func TestEnvironmentNamesTheFile(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	file := writeFile(t, text(listenAnywhere, "backends: {example.com: {servers: ["+servers[0].address+"]}}"))
	l := run{env: []string{"L7_CONFIG=" + file}}.start(t)
	l.get("http://example.com/").from("a")

	l.file = file
	l.reload(listenAnywhere, "backends: {example.com: {servers: ["+servers[1].address+"]}}")
	l.get("http://example.com/").from("b")

	got := program{path: built.l7, args: []string{"check"}, env: []string{"L7_CONFIG=" + file + ".absent"}}.run(t)
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "L7_CONFIG")
}

func TestEnvironmentReachesTheKeysOfTheFile(t *testing.T) {
	t.Parallel()
	l := run{
		env:  []string{loopback, "L7_TIMEOUTS__CONNECT=400ms"},
		args: []string{"example.com=" + silentAddress(t)},
	}.start(t)
	began := time.Now()
	l.get("http://example.com/").is(http.StatusGatewayTimeout)
	assert.GreaterOrEqual(t, time.Since(began), 400*time.Millisecond)
	assert.Less(t, time.Since(began), 1900*time.Millisecond, "this is the default")
}

// TestHigherLayersWin lays all four over each other: defaults, file, environment, flags.
func TestHigherLayersWin(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 3)
	port := freePort(t)
	file := writeFile(t, text(
		listenAnywhere,
		"timeouts: {connect: 1s, idle: 1s}",
		"users: {alice: '"+secret+"-file', bob: '"+secret+"-file', carol: '"+secret+"-file'}",
		"backends: {file.example: {servers: ["+servers[0].address+"]}}"))
	env := []string{
		"L7_PORT=1", "L7_TIMEOUTS__CONNECT=2s",
		"L7_USERS=bob:" + secret + "-env carol:" + secret + "-env",
		"L7_SERVERS=env.example=" + servers[1].address,
	}
	args := []string{"--config", file, "--port", port, "--user", "carol:" + secret + "-flag", "flag.example=" + servers[2].address}

	l := run{args: args, env: env}.start(t)
	assert.Contains(t, l.addr, ":"+port)
	l.awaitText("warn", "--port", "replaces listen")
	l.send(call{url: "http://file.example/", user: "alice:" + secret + "-file"}).from("a")
	l.send(call{url: "http://env.example/", user: "bob:" + secret + "-env"}).from("b")
	l.send(call{url: "http://flag.example/", user: "carol:" + secret + "-flag"}).from("c")
	l.send(call{url: "http://file.example/", user: "bob:" + secret + "-file"}).is(http.StatusUnauthorized)
	l.send(call{url: "http://file.example/", user: "carol:" + secret + "-env"}).is(http.StatusUnauthorized)

	dumped := program{path: built.l7, args: append([]string{"dump", "--origin"}, args...), env: env}.run(t)
	require.Zero(t, dumped.code, dumped.stderr)
	assert.Contains(t, dumped.stdout, "connect: 2s # L7_TIMEOUTS__CONNECT")
	assert.Regexp(t, `idle: 1s # .*l7\.yml:2`, dumped.stdout)
	assert.Contains(t, dumped.stdout, "server_idle: 1m # default")
}

// TestKubernetesVariablesArePassedOver: they are in every pod beside a Service named l7.
func TestKubernetesVariablesArePassedOver(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := run{args: []string{"example.com=" + server.address}, env: []string{
		loopback,
		"L7_PORT=tcp://10.96.0.12:80",
		"L7_PORT_80_TCP=tcp://10.96.0.12:80",
		"L7_PORT_80_TCP_ADDR=10.96.0.12",
		"L7_PORT_80_TCP_PORT=80",
		"L7_PORT_80_TCP_PROTO=tcp",
		"L7_SERVICE_HOST=10.96.0.12",
		"L7_SERVICE_PORT=80",
		"L7_SERVICE_PORT_HTTP=80",
	}}.start(t)
	l.awaitText(`"warn"`, "L7_PORT", "Kubernetes")
	l.get("http://example.com/").from("a")
}

func TestUnknownVariableIsRefused(t *testing.T) {
	t.Parallel()
	f := func(variable string, words ...string) {
		t.Helper()
		got := program{path: built.l7, args: []string{"check", "example.com=127.0.0.1:1"}, env: []string{variable}}.run(t)
		assert.Equal(t, 1, got.code, variable)
		for _, word := range words {
			assert.Contains(t, got.stderr, word, variable)
		}
	}
	f("L7_TIMEOUTS__CONECT=1s", "L7_TIMEOUTS__CONECT", "did you mean", "L7_TIMEOUTS__CONNECT")
	f("L7_TIMEOUTS__CONNECT=1", "L7_TIMEOUTS__CONNECT", "unit")
	f("L7_PORT=70000", "L7_PORT", "70000")
	f("L7_BACKENDS=x", "L7_SERVERS")
	f("L7_SERVERS=example.com=127.0.0.1:2", "example.com", "L7_SERVERS")
}
