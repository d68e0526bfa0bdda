package e2e

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSeveralListeners(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	socket := filepath.Join(socketFolder(t), "l7.sock")
	l := startFile(t,
		"listen: ['127.0.0.1:0', {address: '127.0.0.1:"+freePort(t)+"'}, 'unix:"+socket+"']",
		"backends: {example.com: {servers: ["+server.address+"]}}")
	addresses := l.listening(3)
	assert.Contains(t, addresses, socket)
	for _, address := range addresses {
		newClient(t, address).get("http://example.com/").from("a")
	}
	l.signal(syscall.SIGTERM)
	assert.Zero(t, l.exit())
	assert.NoFileExists(t, socket)
}

func TestPortIsDualStack(t *testing.T) {
	t.Parallel()
	if !hasIPv6() {
		t.Skip("there is no IPv6 here")
	}
	server := startUpstream(t, "a")
	port := freePort(t)
	_ = run{args: []string{"--port", port, "*=" + server.address}}.start(t)
	for address, client := range map[string]string{"127.0.0.1": "127.0.0.1", "::1": "::1"} {
		got := newClient(t, net.JoinHostPort(address, port)).get("http://example.com/").from("a")
		assert.Equal(t, client, got.echo().Fields.Get("X-Forwarded-For"))
	}
}

func TestStaleSocketFileIsReplaced(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	socket := filepath.Join(socketFolder(t), "l7.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	require.FileExists(t, socket)

	lines := []string{"listen: 'unix:" + socket + "'", "backends: {example.com: {servers: [" + server.address + "]}}"}
	first := startFile(t, lines...)
	first.get("http://example.com/").from("a")

	// One that is in use is not.
	second := command(t, "-c", first.file)
	assert.Equal(t, 1, second.code)
	assert.Contains(t, second.stderr, socket)
	assert.Contains(t, second.stderr, "another process")
	first.get("http://example.com/").from("a")

	// Killed, a process leaves its file behind.
	first.kill()
	require.FileExists(t, socket)
	startFile(t, lines...).get("http://example.com/").from("a")
}

func TestFileThatIsNoSocketStays(t *testing.T) {
	t.Parallel()
	name := filepath.Join(socketFolder(t), "precious")
	require.NoError(t, os.WriteFile(name, []byte("text"), 0o600))
	got := command(t, "-c", writeFile(t, text("listen: 'unix:"+name+"'", "backends: {a.example: {servers: ['127.0.0.1:1']}}")))
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, name)
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, "text", string(content))
}

func TestPortInUseIsAClearError(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	_, port, err := net.SplitHostPort(server.address)
	require.NoError(t, err)
	got := command(t, "--port", port, "example.com=127.0.0.1:1")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, ":"+port)
	assert.Contains(t, got.stderr, "address already in use")

	// All that cannot be had is named at once.
	got = command(t, "-c", writeFile(t, text(
		"listen: ['127.0.0.1:"+port+"', 'unix:/no/such/folder/l7.sock']",
		"backends: {a.example: {servers: ['127.0.0.1:1']}}")))
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "127.0.0.1:"+port)
	assert.Contains(t, got.stderr, "/no/such/folder/l7.sock")
}

func TestReloadOpensAndClosesListeners(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	backends := "backends: {example.com: {servers: [" + server.address + "]}}"
	stays, goes, comes := freePort(t), freePort(t), filepath.Join(socketFolder(t), "l7.sock")
	l := startFile(t, "listen: ['127.0.0.1:"+stays+"', '127.0.0.1:"+goes+"']", backends)
	l.listening(2)
	kept := newClient(t, "127.0.0.1:"+stays)
	kept.get("http://example.com/").from("a")

	changes := l.reload("listen: ['127.0.0.1:"+stays+"', 'unix:"+comes+"']", backends)
	assert.Regexp(t, `listen: .*\+unix:`+comes, changes)
	assert.Regexp(t, `listen: .*-127\.0\.0\.1:`+goes, changes)
	newClient(t, comes).get("http://example.com/").from("a")
	kept.get("http://example.com/").from("a")
	assert.EqualValues(t, 1, kept.dials.Load(), "a listener that stays closed its connections")
	eventually(t, "the listener is closed", func() bool { return refused("127.0.0.1:" + goes) })

	changes = l.reload("listen: ['127.0.0.1:"+stays+"', '127.0.0.1:"+goes+"']", backends)
	assert.Regexp(t, `-unix:`+comes, changes)
	newClient(t, "127.0.0.1:"+goes).get("http://example.com/").from("a")
	assert.NoFileExists(t, comes)
}
