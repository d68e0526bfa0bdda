package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

func TestDrain(t *testing.T) {
	f := func(stdout, call string, argv ...string) {
		t.Helper()
		r := newRunning(t)
		got := r.ask(argv...)
		assert.Equal(t, ran{0, stdout, ""}, got)
		assert.Equal(t, []string{call}, r.told())
	}
	f("http://10.0.0.1:80 is drained; 2 requests in flight\n", "drain http://10.0.0.1:80", "drain", "api", "http://10.0.0.1:80")
	f("http://10.0.0.2:80 is drained; 1 request in flight\n", "drain 10.0.0.2:80", "drain", "10.0.0.2:80")
	f("http://10.0.0.1:80 is drained; 2 requests in flight; it will be undrained by itself, 5m0s after it was drained\n",
		"drain 10.0.0.1:80 300s", "drain", "api", "10.0.0.1:80", "--for", "5m")
	f("http://10.0.0.1:80 is undrained; its state is: available\n", "undrain 10.0.0.1:80", "undrain", "api", "10.0.0.1:80")
}

func TestDrainUnknown(t *testing.T) {
	r := newRunning(t)
	assert.Equal(t, ran{1, "", "l7: there is no server 10.0.0.7:80\n"}, r.ask("drain", "api", "10.0.0.7:80", "--wait"))
	assert.Equal(t, ran{1, "", "l7: there is no server 10.0.0.1:80\n"}, r.ask("undrain", "web", "10.0.0.1:80"))
}

func TestDrainWait(t *testing.T) {
	f := func(argv ...string) ran {
		t.Helper()
		r := newRunning(t)
		r.looked = empties(0, 0)
		r.status.Backends[0].Servers[0].InFlight = 3
		got := r.ask(argv...)
		assert.Zero(t, got.code)
		assert.Equal(t, "http://10.0.0.1:80: 2 requests in flight\nhttp://10.0.0.1:80: 1 request in flight\nhttp://10.0.0.1:80: 0 requests in flight\n", got.stderr)
		return got
	}
	assert.Equal(t, "http://10.0.0.1:80 is drained; 0 requests in flight\n", f("drain", "api", "10.0.0.1:80", "--wait").stdout)
	assert.Equal(t, "http://10.0.0.1:80 is drained; 0 requests in flight\n", f("drain", "10.0.0.1:80", "--wait").stdout)
	var server api.Server
	require.NoError(t, json.Unmarshal([]byte(f("drain", "10.0.0.1:80", "--wait", "--json").stdout), &server))
	assert.True(t, server.Drained)
	assert.Zero(t, server.InFlight)
}

func TestDrainWaitsInVain(t *testing.T) {
	f := func(want string, looked func(n int, s *api.Status), argv ...string) {
		t.Helper()
		r := newRunning(t)
		r.looked = looked
		got := r.ask(argv...)
		assert.Equal(t, exitWrong, got.code)
		assert.Empty(t, got.stdout)
		lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(got.stderr, r.socket, "SOCKET")), "\n")
		assert.Equal(t, want, lines[len(lines)-1])
	}
	const stays = "; http://10.0.0.1:80 stays drained. To undrain it: l7 undrain --admin SOCKET "
	f("l7: 2 requests still in flight at http://10.0.0.1:80 after 1ms"+stays+"api http://10.0.0.1:80", nil,
		"drain", "api", "10.0.0.1:80", "--wait", "--timeout", "1ms")
	f("l7: cannot wait for http://10.0.0.1:80 any longer: it was undrained meanwhile",
		func(_ int, s *api.Status) { s.Backends[0].Servers[0].Drained = false }, "drain", "api", "10.0.0.1:80", "--wait")
	f("l7: cannot wait for http://10.0.0.1:80 any longer: it is not in the config any more",
		func(n int, s *api.Status) {
			if n == 2 {
				s.Backends = s.Backends[1:]
			}
		}, "drain", "api", "10.0.0.1:80", "--wait")
	interrupt := interruptible(t)
	f("l7: interrupted"+stays+"http://10.0.0.1:80",
		func(n int, _ *api.Status) {
			if n == 2 {
				interrupt()
			}
		}, "drain", "10.0.0.1:80", "--wait")
}

// TestDrainOfTheLast: nothing told that a backend was left without a server, as roll does.
func TestDrainOfTheLast(t *testing.T) {
	f := func(want, state, other string, argv ...string) {
		t.Helper()
		r := newRunning(t)
		servers := r.status.Backends[0].Servers
		servers[0].State, servers[1].State = state, other
		got := r.ask(append([]string{"drain"}, argv...)...)
		assert.Zero(t, got.code)
		assert.Equal(t, want, got.stderr)
		assert.Equal(t, 1, len(r.told()))
	}
	const warning = "warning: http://10.0.0.1:80 was the last server of api that was available\n"
	f(warning, "available", "draining", "api", "10.0.0.1:80")
	f(warning, "available", "unhealthy", "10.0.0.1:80")
	f(warning, "full", "ejected", "http://10.0.0.1:80", "--json")
	f("", "available", "available", "10.0.0.1:80")
	f("", "available", "full", "10.0.0.1:80")
	f("", "unhealthy", "unhealthy", "10.0.0.1:80")
	f("", "draining", "draining", "10.0.0.1:80")
}
