package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

// startSlowToReload starts an l7 whose reloads take two seconds each: a name is never resolved. None has begun.
func startSlowToReload(t *testing.T, more ...string) *l7 {
	t.Helper()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	config := append([]string{listenAnywhere, "resolver: '" + silent.LocalAddr().String() + "'"}, more...)
	l := startFile(t, append(config, "backends: {example.com: {servers: ['127.0.0.1:1']}}")...)
	l.rewrite(append(config, "backends: {example.com: {servers: ['http://silent.test:80']}}")...)
	return l
}

// TestTermIsNotLostAmongManyReloads: of 60 HUPs, 34 led to reloads one after the other, and the TERM behind them to nothing.
func TestTermIsNotLostAmongManyReloads(t *testing.T) {
	t.Parallel()
	l := startSlowToReload(t)
	for range 60 {
		l.signal(syscall.SIGHUP)
	}
	l.signal(syscall.SIGTERM)
	assert.Zero(t, l.exit())
	assert.Len(t, l.log("draining"), 1)
	assert.LessOrEqual(t, len(l.log("reloaded")), 2, "one and what came meanwhile are two")
}

// TestReloadThatIsAskedForDuringOne is done after it, since the file may have changed behind its back.
func TestReloadThatIsAskedForDuringOne(t *testing.T) {
	t.Parallel()
	l := startSlowToReload(t)
	l.signal(syscall.SIGHUP)
	time.Sleep(200 * time.Millisecond) // the reload says nothing before its end
	l.rewrite(listenAnywhere, "backends: {example.com: {servers: ['127.0.0.1:2']}}")
	l.signal(syscall.SIGHUP)
	l.signal(syscall.SIGUSR1)
	assert.Contains(t, l.awaitLog("reloaded", 1).field("changes"), "+http://silent.test:80")
	assert.Contains(t, l.awaitLog("reloaded", 2).field("changes"), "+http://127.0.0.1:2")
	l.await("the dump", func() bool { return len(l.stdout.lines()) > 0 })
}

// TestTermWaitsForNoReload: one that hangs in a read, as of a file on a server that is down, kept the process from draining; and so did an upgrade
// that waits for it.
func TestTermWaitsForNoReload(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	config := []string{listenAnywhere, "watch: true", "backends: {example.com: {servers: [" + server.address + "]}}"}
	l := startFile(t, config...)
	slow := l.begin(call{url: "http://example.com/?delay=1s"})
	server.awaitInFlight(1)
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	require.NoError(t, os.Rename(fifo, l.file))
	l.signal(syscall.SIGHUP)
	l.await("a reload reads the config", func() bool {
		file, err := os.OpenFile(l.file, os.O_WRONLY|syscall.O_NONBLOCK, 0) // there is somebody who reads
		if err == nil {
			t.Cleanup(func() { _ = file.Close() })
		}
		return err == nil
	})
	l.signal(syscall.SIGUSR2)
	l.signal(syscall.SIGUSR2)
	l.signal(syscall.SIGTERM)
	assert.True(t, slow.wait(t).from("a").Close)
	assert.Zero(t, l.exit())
	l.awaitLog("drained", 1)
	assert.Empty(t, l.log("reloaded"))
}

// TestWatchedFileThatHangs: the watcher that read it kept whoever gave it other files waiting, with all that this one held.
func TestWatchedFileThatHangs(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.sign("one", hence(time.Hour), "example.com")
	cert2, key2 := a.sign("two", hence(time.Hour), "example.com")
	server := startUpstream(t, "a")
	config := func(pair string) []string {
		return []string{"listen: [{address: '127.0.0.1:0', tls: {certificates: [" + pair + "]}}]", "backends: {example.com: {servers: [" + server.address + "]}}"}
	}
	l := startFile(t, config(pairOf(cert, key))...)
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	require.NoError(t, os.Rename(fifo, cert))
	l.await("the watcher reads the file", func() bool {
		file, err := os.OpenFile(cert, os.O_WRONLY|syscall.O_NONBLOCK, 0) // there is somebody who reads
		if err == nil {
			t.Cleanup(func() { _ = file.Close() })
		}
		return err == nil
	})
	for n, pair := range []string{pairOf(cert2, key2), pairOf(cert2, key2)} {
		l.rewrite(config(pair)...)
		l.signal(syscall.SIGHUP)
		l.awaitLog("reloaded", n+1)
	}
	l.signal(syscall.SIGTERM)
	assert.Zero(t, l.exit())
}

// TestDrainDuringAnUpgrade: it was acknowledged, and then nobody knew of it, since the new process had been told before of what is drained.
// A roll waits for the new process.
func TestDrainDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	control := filepath.Join(socketFolder(t), "admin.sock")
	l := startDynasty(t, run{config: text(listenAnywhere, "admin: {socket: '"+control+"'}",
		"backends: {example.com: {servers: ["+servers[0].address+", "+servers[1].address+"]}}")})
	gate := filepath.Join(t.TempDir(), "gate")
	require.NoError(t, syscall.Mkfifo(gate, 0o600))
	t.Cleanup(func() { // nobody waits there when the test has failed
		if file, err := os.OpenFile(gate, os.O_RDWR, 0); err == nil {
			_, _ = file.WriteString("stop\n")
			_ = file.Close()
		}
	})
	l.write(t, fmt.Appendf(nil, "#!/bin/sh\necho 'at the gate' >&2\nread line < '%s' && test $line = go && exec '%s' \"$@\"\n", gate, built.l7))
	drain := func(word string, want int) outcome {
		t.Helper()
		got := command(t, word, "--admin", control, "example.com", servers[0].address)
		assert.Equal(t, want, got.code, got.stderr)
		return got
	}

	l.signal(syscall.SIGUSR2)
	l.awaitText("at the gate")
	assert.Contains(t, drain("drain", 1).stderr, "an upgrade is under way; ask again when it is done")
	got := newClient(t, control).send(call{method: http.MethodPost, url: "http://l7" + api.PathDrain, body: `{"server":"` + servers[0].address + `"}`})
	got.is(http.StatusServiceUnavailable)
	assert.Equal(t, "1", got.Header.Get("Retry-After"))
	require.NoError(t, os.WriteFile(gate, []byte("stop\n"), 0o600))
	l.awaitLog("cannot upgrade; this process goes on", 1)
	drain("drain", 0)

	l.signal(syscall.SIGUSR2)
	eventually(t, "a second one is at the gate", func() bool { return count(l.stderr.lines(), "at the gate") == 2 })
	assert.Contains(t, drain("undrain", 1).stderr, "an upgrade is under way")
	roll := start(t, program{path: built.l7, args: []string{"roll", "--admin", control, "--force", "example.com", "--", "true"}})
	roll.await("the roll waits", func() bool { return strings.Contains(roll.stderr.String(), "waiting for an upgrade to end") })
	require.NoError(t, os.WriteFile(gate, []byte("go\n"), 0o600))
	l.awaitLog("upgraded; the new process serves", 1)
	l.awaitLog("drained", 1)
	assert.True(t, statusOf(t, control).Backends[0].Servers[0].Drained, "it does what it said that it does not")
	assert.Zero(t, roll.exit(), "%s", &roll.stderr)
	drain("undrain", 0)
	l.stop()
}

func count(lines []string, wanted string) (n int) {
	for _, line := range lines {
		if line == wanted {
			n++
		}
	}
	return n
}
