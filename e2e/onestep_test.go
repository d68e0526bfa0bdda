package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReloadIsOneStep: one config asks everybody for a password, and the other lets nobody in on this listener. Requests between the two were
// let in by what was new of one half and old of the other.
func TestReloadIsOneStep(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	backends := "backends: {example.com: {servers: [" + server.address + "]}}"
	configs := [][]string{
		{"listen: [{address: '127.0.0.1:0'}]", "users: {alice: '" + hashOf(t, "secret") + "'}", backends},
		{"listen: [{address: '127.0.0.1:0', deny: 127.0.0.0/8}]", backends},
	}
	l := startFile(t, configs[0]...)
	var stop atomic.Bool
	var counts sync.Map
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			c := newClient(t, l.addr)
			for !stop.Load() {
				got, err := c.try(call{url: "http://example.com/"})
				if err != nil {
					counts.Store(err.Error(), true)
					return
				}
				counts.Store(got.StatusCode, true)
			}
		})
	}
	for n := range 40 {
		l.rewrite(configs[(n+1)%2]...)
		l.signal(syscall.SIGHUP)
		l.awaitLog("reloaded", n+1)
	}
	stop.Store(true)
	group.Wait()
	seen := map[any]bool{}
	counts.Range(func(what, _ any) bool { seen[what] = true; return true })
	assert.Equal(t, map[any]bool{http.StatusUnauthorized: true, http.StatusForbidden: true}, seen)
	assert.Zero(t, server.stats().Requests)
}

// TestReloadOfCertificates: certificates come, go and are renamed under load. Adding one took the process down.
func TestReloadOfCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	var pairs []string
	for i, name := range []string{"example.com", "b.test", "c.test"} {
		cert, key := a.sign(fmt.Sprint("server", i), hence(time.Hour), name)
		pairs = append(pairs, pairOf(cert, key))
	}
	server := startUpstream(t, "a")
	config := func(certificates string) []string {
		return []string{
			"listen: [{address: '127.0.0.1:0', tls: {certificates: [" + certificates + "]}}]",
			"backends: {example.com: {servers: [" + server.address + "]}}",
		}
	}
	l := run{config: text(config(pairs[0])...)}.start(t)
	d := startTLSLoad(t, l.addr, a)
	changes := func(n int, certificates, want string) {
		t.Helper()
		l.rewrite(config(certificates)...)
		l.signal(syscall.SIGHUP)
		assert.Contains(t, l.awaitLog("reloaded", n).field("changes"), want)
	}
	changes(1, pairs[0]+", "+pairs[1], "tls.certificates: +")
	conn, err := tls.Dial("tcp", l.addr, a.trusting("b.test"))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	changes(2, pairs[0]+", "+pairs[2], "tls.certificates: +")
	changes(3, pairs[0], "tls.certificates: -")
	d.end()
	d.failed.Range(func(what, _ any) bool { t.Error(what); return true })
}

// startMoving starts an l7 whose only server is known by a name, which leads to a first server. move has it lead to a second one.
func startMoving(t *testing.T, start func(config string) *l7) (l *l7, move func()) {
	t.Helper()
	names, port := newNameServer(t), freePort(t)
	startUpstream(t, "a", "127.0.0.1:"+port)
	startUpstream(t, "b", "127.0.0.2:"+port)
	names.set("app.test.", "app.test. 1 IN A 127.0.0.1")
	l = start(text(listenAnywhere, "drain: {delay: 1m}", "resolver: '"+names.address+"'", "backends: {example.com: {servers: ['http://app.test:"+port+"']}}"))
	l.get("http://example.com/").from("a")
	return l, func() {
		t.Helper()
		names.set("app.test.", "app.test. 1 IN A 127.0.0.2")
		eventually(t, "the new server serves", func() bool { return l.get("http://example.com/").server() == "b" })
	}
}

// TestNamesMoveDuringTheDelay: requests are still taken then, and went to where servers had been before.
func TestNamesMoveDuringTheDelay(t *testing.T) {
	t.Parallel()
	l, move := startMoving(t, func(config string) *l7 { return run{config: config}.start(t) })
	l.signal(syscall.SIGTERM)
	l.awaitLog("draining", 1)
	move()
	l.signalAgain(syscall.SIGTERM)
	assert.Equal(t, 1, l.exit())
}

// TestNamesMoveDuringAnUpgrade: it may take a minute, in which this process serves alone.
func TestNamesMoveDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	var d *dynasty
	_, move := startMoving(t, func(config string) *l7 { d = startDynasty(t, run{config: config}); return d.l7 })
	gate := filepath.Join(t.TempDir(), "gate")
	require.NoError(t, syscall.Mkfifo(gate, 0o600))
	d.write(t, fmt.Appendf(nil, "#!/bin/sh\necho 'at the gate' >&2\nread line < '%s'\nexit 3\n", gate))
	d.signal(syscall.SIGUSR2)
	d.awaitText("at the gate")
	move()
	require.NoError(t, os.WriteFile(gate, []byte("go\n"), 0o600))
	d.awaitLog("cannot upgrade; this process goes on", 1)
}
