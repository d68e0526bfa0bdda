package cli

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

const (
	one = "http://10.0.0.1:80"
	two = "http://10.0.0.2:80"
)

// roll rolls a backend, and returns what came of it with the path of the socket masked.
func (r *running) roll(argv ...string) ran {
	got := r.ask(append([]string{"roll"}, argv...)...)
	got.stderr = strings.ReplaceAll(got.stderr, r.socket, "SOCKET")
	return got
}

// emptiesAll has one request less in flight at each drained server of api with each look.
func emptiesAll(n int, s *api.Status) {
	empties(0, 0)(n, s)
	empties(0, 1)(n, s)
}

func TestRoll(t *testing.T) {
	r := newRunning(t)
	r.looked = emptiesAll
	got := r.roll("api", "--", "sh", "-c", "echo '{server} is {host} and {port}'; echo oops >&2", "--", "{}")
	want := `http://10.0.0.1:80: draining
http://10.0.0.1:80: running sh -c echo 'http://10.0.0.1:80 is 10.0.0.1 and 80'; echo oops >&2 -- {}
http://10.0.0.1:80 is 10.0.0.1 and 80
http://10.0.0.1:80: available
http://10.0.0.2:80: draining
http://10.0.0.2:80: running sh -c echo 'http://10.0.0.2:80 is 10.0.0.2 and 80'; echo oops >&2 -- {}
http://10.0.0.2:80 is 10.0.0.2 and 80
http://10.0.0.2:80: available
unix:/run/old.sock: left out, its weight is 0
api: 2 servers rolled, 1 left out
`
	assert.Equal(t, 0, got.code, got.stderr)
	assert.Equal(t, want, got.stdout)
	assert.Equal(t, one+": 1 request in flight\n"+one+": 0 requests in flight\noops\n"+two+": 0 requests in flight\noops\n", got.stderr)
	assert.Equal(t, []string{"drain " + one, "undrain " + one, "drain " + two, "undrain " + two}, r.told())
}

// A server that comes back from a restart has not been checked yet, and is not well at once.
func TestRollWaitsUntilAvailable(t *testing.T) {
	r := newRunning(t)
	r.undrained = "not checked yet"
	next := map[string]string{"not checked yet": "unhealthy", "unhealthy": "available"}
	r.looked = func(n int, s *api.Status) {
		emptiesAll(n, s)
		for i := range s.Backends[0].Servers {
			if server := &s.Backends[0].Servers[i]; next[server.State] != "" && n%2 == 0 {
				server.State = next[server.State]
			}
		}
	}
	got := r.roll("api", "--", "true")
	assert.Equal(t, 0, got.code, got.stderr)
	assert.Contains(t, got.stderr, one+": unhealthy\n")
	assert.Contains(t, got.stdout, one+": available\n"+two+": draining\n")
	assert.Contains(t, got.stdout, "api: 2 servers rolled, 1 left out\n")
}

// What a check has found before the command says nothing of what the command has started: the first good check after it is waited for.
func TestRollWaitsForACheck(t *testing.T) {
	r := newRunning(t)
	clock := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	r.looked = func(n int, s *api.Status) {
		emptiesAll(n, s)
		s.Time = clock.Add(time.Duration(n) * time.Second)
		server := &s.Backends[0].Servers[0]
		switch seen := len(r.calls); {
		case server.Check == nil:
			server.Check = &api.Check{Time: clock}
		case seen == 1 && server.Check.Reason == "" && n > 8:
			*server.Check = api.Check{Time: s.Time, Reason: "connect: connection refused"}
		case server.Check.Reason != "":
			*server.Check = api.Check{Time: s.Time.Add(time.Second)}
		}
	}
	got := r.roll("api", "--", "true")
	assert.Equal(t, 0, got.code, got.stderr)
	assert.Contains(t, got.stderr, one+": waiting for a check\n"+one+": connect: connection refused\n")
	assert.Equal(t, []string{"drain " + one, "undrain " + one, "drain " + two, "undrain " + two}, r.told())
}

// A server that is busy is no reason to leave the other as it is.
func TestRollWhileAServerIsFull(t *testing.T) {
	r := newRunning(t)
	r.looked = func(n int, s *api.Status) {
		emptiesAll(n, s)
		if server := &s.Backends[0].Servers[1]; server.State == "available" {
			server.State = "full"
		}
	}
	got := r.roll("api", "--", "true")
	assert.Equal(t, 0, got.code, got.stderr)
	assert.Contains(t, got.stdout, "api: 2 servers rolled, 1 left out\n")
}

func TestRollStops(t *testing.T) {
	f := func(want, told string, set func(*running), argv ...string) {
		t.Helper()
		r := newRunning(t)
		r.looked = emptiesAll
		set(r)
		got := r.roll(argv...)
		assert.Equal(t, exitWrong, got.code)
		lines := strings.Split(strings.TrimSpace(got.stderr), "\n")
		assert.Equal(t, want, lines[len(lines)-1])
		assert.Equal(t, told, strings.Join(r.told(), ", "))
	}
	const stays = "; it stays drained. To undrain it: l7 undrain --admin SOCKET api http://10.0.0.1:80"
	const stopped = `l7: the roll of "api" stopped at http://10.0.0.1:80: `
	nothing := func(*running) {}
	f(stopped+`cannot run "false": exit status 1`+stays, "drain "+one, nothing, "api", "--", "false", "{server}")
	f(stopped+`cannot run "/no/such/10.0.0.1": fork/exec /no/such/10.0.0.1: no such file or directory`+stays, "drain "+one, nothing, "api", "--", "/no/such/{host}")
	f(stopped+"2 requests still in flight at "+one+" after 1ms"+stays, "drain "+one,
		func(r *running) { r.looked = nil }, "api", "--drain-timeout", "1ms", "--", "true")
	f(stopped+"not available after 1ms, but unhealthy"+stays, "drain "+one+", undrain "+one+", drain "+one,
		func(r *running) { r.undrained = "unhealthy" }, "api", "--wait-healthy", "1ms", "--", "true")
	f(stopped+"no good check after 1ms, but status 500"+stays, "drain "+one,
		func(r *running) {
			r.looked = func(n int, s *api.Status) {
				emptiesAll(n, s)
				s.Backends[0].Servers[0].Check = &api.Check{Time: s.Time.Add(time.Hour), Reason: "status 500"}
			}
		}, "api", "--wait-healthy", "1ms", "--", "true")
	f(stopped+"it was undrained meanwhile; no server is left drained by it", "drain "+one,
		func(r *running) {
			r.looked = func(_ int, s *api.Status) { s.Backends[0].Servers[0].Drained = false }
		}, "api", "--", "true")
	f(stopped+"no, thanks; no server is left drained by it", "POST /api/drain {\"backend\":\"api\",\"server\":\""+one+"\"}",
		func(r *running) { r.answers[api.PathDrain] = &api.Error{Message: "no, thanks"} }, "api", "--", "true")
	f(stopped+"no other server is available; no server is left drained by it", "",
		func(r *running) {
			r.looked = func(n int, s *api.Status) {
				if n == 2 { // between the first look and the first server's turn
					s.Backends[0].Servers[1].State = "ejected"
				}
			}
		}, "api", "--", "true")
}

func TestRollRefuses(t *testing.T) {
	r := newRunning(t)
	assert.Equal(t, ran{1, "", "l7: there is no backend \"nope\"; known: api, web\n"}, r.roll("nope", "--", "true"))
	assert.Equal(t, ran{1, "", "l7: cannot roll \"web\": 0 servers available, and one at a time is drained; --force does it nevertheless\n"}, r.roll("web", "--", "true"))
	assert.Empty(t, r.told())
	got := r.roll("web", "--force", "--", "true")
	assert.Equal(t, 0, got.code, got.stderr)
	assert.Contains(t, got.stdout, "web: 1 server rolled, 0 left out\n")
}

// TestRollWithoutACommand: a server was drained before it was seen that the command is not there, and was left so.
func TestRollWithoutACommand(t *testing.T) {
	r := newRunning(t)
	f := func(want, program string) {
		t.Helper()
		assert.Equal(t, ran{1, "", "l7: cannot run the command: exec: \"" + program + "\": " + want + "; no server was drained\n"}, r.roll("api", "--", program))
	}
	f("stat /no/such: no such file or directory", "/no/such")
	f("executable file not found in $PATH", "l7-no-such-command")
	got := r.roll("api", "--json", "--", "/no/such")
	assert.Contains(t, got.stdout, "no server was drained")
	assert.Empty(t, r.told())
}

// TestRollWaitsForAnUpgrade: it stopped at an order that was refused because another process was about to take over.
func TestRollWaitsForAnUpgrade(t *testing.T) {
	r := newRunning(t)
	r.looked = emptiesAll
	r.busy = 2
	got := r.roll("api", "--", "true")
	assert.Equal(t, 0, got.code, got.stderr)
	assert.Contains(t, got.stderr, one+": waiting for an upgrade to end\n")
	assert.Equal(t, []string{"drain " + one, "undrain " + one, "drain " + two, "undrain " + two}, r.told())
	r.busy = 1
	assert.Equal(t, ran{1, "", "l7: an upgrade is under way\n"}, r.ask("drain", "api", one), "who drains by hand is told")
}

// told is called with what is written.
type told func(string)

func (t told) Write(p []byte) (int, error) {
	t(string(p))
	return len(p), nil
}

// Who interrupts the wait for an upgrade finds the server as it was.
func TestRollInterruptedDuringAnUpgrade(t *testing.T) {
	r := newRunning(t)
	r.busy = 1 << 30
	ctx, cancel := context.WithCancel(t.Context())
	p := Process{Stderr: told(func(string) { cancel() })}
	roll := &roll{remote: &remote{Client: api.NewClient(r.socket), p: p, patience: patience}, backend: "api", out: io.Discard}
	err := roll.withdraw(ctx, api.DrainRequest{Backend: "api", Server: one})
	require.EqualError(t, err, "interrupted: an upgrade is under way")
	assert.False(t, roll.drained)
	assert.Empty(t, r.told())
}

func TestRollLeavesOut(t *testing.T) {
	r := newRunning(t)
	servers := &r.status.Backends[0].Servers
	*servers = append(*servers, api.Server{Address: "http://10.0.0.3:80", State: "draining", Weight: 1, Drained: true})
	r.looked = func(n int, s *api.Status) {
		emptiesAll(n, s)
		if n == 1 {
			s.Backends[1].Servers[0].Address = two
		}
	}
	got := r.roll("api", "--json", "--", "echo", "hello")
	assert.Equal(t, 0, got.code, got.stderr)
	assert.Contains(t, got.stderr, "warning: http://10.0.0.2:80 is a server of web too, which goes on sending it requests\n")
	assert.Contains(t, got.stderr, "http://10.0.0.3:80: left out, it is drained already\n")
	assert.Contains(t, got.stderr, "\nhello\n")
	assert.JSONEq(t, `{"backend": "api", "rolled": ["`+one+`", "`+two+`"], "skipped": ["unix:/run/old.sock", "http://10.0.0.3:80"]}`, got.stdout)
}

func TestRollFailureAsJSON(t *testing.T) {
	r := newRunning(t)
	r.looked = emptiesAll
	got := r.roll("api", "--json", "--", "false")
	assert.Equal(t, exitWrong, got.code)
	var result rollResult
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &result))
	assert.Equal(t, one, result.Failed)
	assert.True(t, result.Drained)
	assert.Empty(t, result.Rolled)
	assert.Contains(t, result.Error, "exit status 1")
	assert.Contains(t, got.stderr, result.Error[:20])
}

func TestRollInterrupted(t *testing.T) {
	interrupt := interruptible(t)
	f := func(ending, told string, looked func(n int, s *api.Status), command ...string) {
		t.Helper()
		r := newRunning(t)
		r.undrained = "unhealthy"
		r.looked = looked
		got := r.roll(append([]string{"api", "--"}, command...)...)
		assert.Equal(t, exitWrong, got.code)
		want := `l7: the roll of "api" stopped at http://10.0.0.1:80: interrupted; ` + ending + "\n"
		assert.True(t, strings.HasSuffix(got.stderr, want), got.stderr)
		assert.Equal(t, told, strings.Join(r.told(), ", "))
	}
	const stays = "it stays drained. To undrain it: l7 undrain --admin SOCKET api http://10.0.0.1:80"
	f(stays, "drain "+one, func(_ int, s *api.Status) {
		if s.Backends[0].Servers[0].Drained {
			interrupt()
		}
	}, "true")
	f(stays, "drain "+one, emptiesAll, "sh", "-c", `trap 'exit 0' INT; kill -INT $PPID; while :; do sleep 0.01; done`)
	f("no server is left drained by it", "drain "+one+", undrain "+one, func(n int, s *api.Status) {
		emptiesAll(n, s)
		if s.Backends[0].Servers[0].State == "unhealthy" {
			interrupt()
		}
	}, "true")
}
