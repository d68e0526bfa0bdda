package app

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"l7/config"
	"l7/server"
)

// running is an App that serves a config on a port that the system chooses.
func running(t *testing.T, self Self, yaml string) *App {
	t.Helper()
	file := configFile(t, "listen: '127.0.0.1:0'\nadmin: {socket: 'off'}\n"+yaml)
	a, err := Start(Source{Args: config.Args{File: file}, Self: self}, zerolog.New(io.Discard), io.Discard)
	require.NoError(t, err)
	return a
}

const twoServers = "backends: {a.com: {servers: ['127.0.0.1:1', '127.0.0.1:2']}, b.com: {servers: ['127.0.0.1:1']}}"

// drained are the servers that are out, as they are carried over.
func drained(a *App) []drainedServer { return a.carry().Drained }

// A drain belongs to backend and address; what the config has no more is forgotten, and the secret of the cookies stays.
func TestWhatIsCarriedOver(t *testing.T) {
	before := running(t, Self{}, twoServers)
	for _, view := range before.server.Snapshot().Views() {
		for _, m := range view.Members() {
			m.Drain(view.Name() == "a.com")
		}
	}
	timed := before.server.Snapshot().Views()[0].Members()[1]
	before.undrains.set(timed.Standing, time.Second, true)
	state, err := json.Marshal(before.carry())
	require.NoError(t, err)
	require.Len(t, drained(before), 2)

	after := running(t, Self{}, "backends: {a.com: {servers: ['127.0.0.1:2', '127.0.0.1:3']}, b.com: {servers: ['127.0.0.1:1', '127.0.0.1:2']}}")
	c := &carried{}
	require.NoError(t, json.Unmarshal(state, c))
	c.restore(after.server.Snapshot(), &after.undrains)
	got := drained(after)
	require.Len(t, got, 1)
	require.Equal(t, []string{"a.com", "http://127.0.0.1:2"}, []string{got[0].Backend, got[0].Server})
	require.WithinDuration(t, before.undrains.when(timed.Standing), got[0].Until, time.Second/4)
	require.Eventually(t, func() bool { return len(drained(after)) == 0 }, 20*time.Second, time.Millisecond, "it is drained without end")
	require.Equal(t, before.parts.Secret, c.Secret)
	require.Equal(t, before.parts.tickets.Keys(), c.Tickets)
	require.WithinDuration(t, before.parts.tickets.Since(), c.TicketsSince, 0)
	require.NoError(t, before.Drain())
	require.NoError(t, after.Drain())
}

// A new process that neither serves nor ends is ended, and this one goes on.
func TestUpgradeThatIsNeverReady(t *testing.T) {
	a := running(t, Self{Binary: "/bin/sleep", Args: []string{"60"}, Patience: 200 * time.Millisecond}, twoServers)
	require.ErrorContains(t, a.Upgrade(t.Context()).err, "not ready in time")
	require.NoError(t, a.Ready())
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a.Addrs()[0].String())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, a.Reload())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, a.Upgrade(ctx).err, context.Canceled)
	require.NoError(t, a.Drain())
	require.ErrorIs(t, a.Ready(), errStopping)
	require.ErrorIs(t, a.Upgrade(t.Context()).err, errStopping)
	require.ErrorIs(t, a.Reload(), errStopping)
}

func TestUpgradeWithoutABinary(t *testing.T) {
	a := running(t, Self{}, twoServers)
	require.ErrorIs(t, a.Upgrade(t.Context()).err, errNoBinary)
	require.NoError(t, a.Drain())
}

// A link is not followed: who replaces a version replaces the link.
func TestFindBinary(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "l7")
	require.NoError(t, os.Symlink("/bin/sh", link))
	require.Equal(t, link, FindBinary(link))
	t.Chdir(dir)
	require.Equal(t, link, FindBinary("./l7"))
	t.Setenv("PATH", dir)
	require.Equal(t, link, FindBinary("l7"))
	own, err := os.Executable()
	require.NoError(t, err)
	require.Equal(t, own, FindBinary("missing"))
}

// A fault of our own costs the reload that ran into it, and nothing else.
func TestAFaultCostsTheReload(t *testing.T) {
	a := running(t, Self{}, twoServers)
	lookUp := a.parts.lookUp
	a.parts.lookUp = func(*config.Config) server.Names { panic("lost") }
	require.ErrorContains(t, a.Reload(), "a fault of l7 itself, which the log has more of: lost")
	a.parts.lookUp = lookUp
	require.NoError(t, a.Reload())
	require.NoError(t, a.Drain())
}
