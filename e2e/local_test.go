package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve runs a server in the test's own process, for what a test has to see or to steer itself. It returns the address.
func serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: patience}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(socket) }()
	return socket.Addr().String()
}

// limited is a context for what has to happen in time.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// await receives what another goroutine of the test tells.
func await[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		require.FailNow(t, "this does not come: "+what)
		panic("not reached")
	}
}

// startReleased starts l7 as it is released, for figures that the race detector would falsify.
func startReleased(t testing.TB, lines ...string) *l7 {
	t.Helper()
	binary, err := built.released()
	require.NoError(t, err)
	return run{binary: binary, config: text(lines...)}.start(t)
}

// The figures of a process's memory, as the system names them.
const (
	resident = "VmRSS:"
	peak     = "VmHWM:" // the largest that resident has been
)

// memory is how much a process has, in bytes.
func (p *process) memory(figure string) int64 {
	p.t.Helper()
	status, err := os.ReadFile(p.proc("status"))
	require.NoError(p.t, err)
	_, rest, found := strings.Cut(string(status), figure)
	require.True(p.t, found, string(status))
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(p.t, err)
	return kib << 10
}

// forgetPeak starts the peak anew, from what is resident.
func (p *process) forgetPeak() {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(p.proc("clear_refs"), []byte("5"), 0))
}

func (p *process) proc(name string) string {
	p.t.Helper()
	if runtime.GOOS != "linux" {
		p.t.Skip("memory is measured on Linux")
	}
	return "/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/" + name
}
