package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

const statusGolden = `l7 v1.2.3, pid 4242, up 3h12m, serving, generation 7
config /etc/l7/l7.yml; reloaded 2m00s ago
12 connections, 340 req/s, p50 1.5ms, p99 12ms, 0.2 errors/s, 3 in flight

BACKEND               STATE      WEIGHT  IN FLIGHT  REQ/S     P50   P99  ERR/S  WHY
api                   up                         3    340   1.5ms  12ms      0
  http://10.0.0.1:80  available       2          2    200   1.5ms  12ms      0
  http://10.0.0.2:80  available       1          1    140  0.25ms  3.2s   <0.1
! unix:/run/old.sock  weight 0        0          0      0       -     -      0  (backup)
web                   down                       0      0       -     -      0  2 requests waiting in the queue
! http://10.0.0.9:80  unhealthy       1          0      0       -     -      0  2m30s ago: connect: connection refused
`

func TestStatus(t *testing.T) {
	r := newRunning(t)
	got := r.ask("status")
	assert.Equal(t, ran{0, statusGolden, ""}, got)
}

// A server that takes requests and has failed the last one says so, and a backend that is down why. A bug had both look well.
func TestStatusSaysWhatFails(t *testing.T) {
	r := newRunning(t)
	api0, web := &r.status.Backends[0], &r.status.Backends[1]
	api0.Problem = "cannot resolve nowhere.test: no such host"
	api0.Servers[0].LastFailure = &api.Failure{Time: at("15:59:57"), Reason: "connect_refused: refused by \x1b[2J"}
	api0.Servers[1].Changed, api0.Servers[1].Reason = at("15:59:58"), "its checks pass"
	web.Problem = "no server is available"
	web.Servers[0].LastFailure = &api.Failure{Time: at("15:57:30"), Reason: "connect_refused"}
	got := r.ask("status").stdout
	for _, want := range []string{
		`(?m)^api +up .*  cannot resolve nowhere.test: no such host$`,
		`(?m)^  http://10.0.0.1:80 +available .*  failed 3s ago: connect_refused: refused by \?\[2J$`,
		`(?m)^  http://10.0.0.2:80 +available .*  2s ago: its checks pass$`,
		`(?m)^web +down .*  no server is available; 2 requests waiting in the queue$`,
		`(?m)^! http://10.0.0.9:80 +unhealthy .*  2m30s ago: connect: connection refused$`,
	} {
		assert.Regexp(t, want, got)
	}
	coloured := string(statusText(&r.status, look{terminal: true, colour: true}))
	assert.Contains(t, coloured, "\x1b[33mavailable\x1b[0m")
}

// Until when certificates are valid was in the JSON alone. Those that end first are shown, and what ends soon stands out.
func TestStatusOfCertificates(t *testing.T) {
	r := newRunning(t)
	day := 24 * time.Hour
	add := func(file string, left time.Duration, names ...string) {
		r.status.Certificates = append(r.status.Certificates, api.Certificate{Names: names, File: file, Until: r.status.Time.Add(left)})
	}
	add("/etc/a.pem", 80*day, "a.io", "www.a.io", "b.io")
	add("", 13*day+3*time.Hour, "c.io")
	add("/etc/old.pem", -2*day)
	want := `
CERTIFICATE              ENDS IN  FILE
(no name)        ended 2d00h ago  /etc/old.pem
c.io                      13d03h  by ACME
a.io and 2 more           80d00h  /etc/a.pem
`
	assert.Equal(t, statusGolden+want, r.ask("status").stdout)
	coloured := string(statusText(&r.status, look{terminal: true, colour: true}))
	assert.Contains(t, coloured, "\x1b[31mended 2d00h ago\x1b[0m")
	assert.Contains(t, coloured, "\x1b[33m13d03h\x1b[0m")
	assert.Contains(t, coloured, " 80d00h  ")
	for range 10 {
		add("/etc/more.pem", 70*day, "d.io")
	}
	assert.Regexp(t, `(?s)\n\(no name\) .*\nc.io .*(\nd.io +70d00h  /etc/more.pem){3}\nand 8 more\n$`, r.ask("status").stdout)
}

// Nothing said when a drain ends that was asked for some time only, nor that drains have to wait for an upgrade.
func TestStatusOfWhatIsUnderWay(t *testing.T) {
	r := newRunning(t)
	r.status.Upgrading = true
	server := &r.status.Backends[0].Servers[0]
	server.State, server.Drained, server.Changed, server.Reason, server.DrainedUntil = "draining", true, at("15:59:30"), "drained by command", at("16:04:30")
	got := r.ask("status").stdout
	assert.Contains(t, got, ", serving, upgrading, generation 7\n")
	assert.Regexp(t, `(?m)^! http://10.0.0.1:80 +draining .*  30s ago: drained by command; undrained in 4m30s$`, got)
}

func TestStatusJSON(t *testing.T) {
	r := newRunning(t)
	got := r.ask("status", "--json")
	assert.Zero(t, got.code)
	var status api.Status
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &status))
	assert.Equal(t, r.status, status)
	assert.Contains(t, got.stdout, "\n  \"pid\": 4242,\n")
}

func TestStatusOfTrouble(t *testing.T) {
	r := newRunning(t)
	r.status.State = "draining"
	r.status.ConfigFile = ""
	r.status.LogDropped = 5
	r.status.Reload.Problems = []string{"l7.yml:3:5: oh \x1b[2Jno", "l7.yml:4:5: oh dear"}
	r.status.Backends[1].Servers[0].Reason = strings.Repeat("long ", 30)
	got := r.ask("status")
	assert.Zero(t, got.code)
	assert.Contains(t, got.stdout, ", draining, generation 7\n")
	assert.Contains(t, got.stdout, "config from arguments and environment; the reload 2m00s ago FAILED: l7.yml:3:5: oh ?[2Jno (and 1 more)\n")
	assert.Contains(t, got.stdout, "\n5 lines of the access log were dropped\n")
	assert.Contains(t, got.stdout, "2m30s ago: long long")
	for _, line := range strings.Split(got.stdout, "\n") {
		assert.LessOrEqual(t, len(line), 80+longestWhy)
	}
	r.status.Reload, r.status.Backends = nil, nil
	assert.Contains(t, r.ask("status").stdout, "; not reloaded yet\n")
}

func TestStatusInColour(t *testing.T) {
	status := &newRunning(t).status
	coloured := string(statusText(status, look{terminal: true, colour: true}))
	assert.Contains(t, coloured, "\x1b[31munhealthy\x1b[0m  ")
	assert.Contains(t, coloured, "\x1b[33mweight 0\x1b[0m  ")
	assert.Contains(t, coloured, "\x1b[1mweb\x1b[0m  ")
	uncoloured := strings.NewReplacer("\x1b[31m", "", "\x1b[33m", "", "\x1b[1m", "", "\x1b[0m", "").Replace(coloured)
	assert.Equal(t, statusGolden, uncoloured, "colours change no column")
	narrow := string(statusText(status, look{terminal: true, width: 98}))
	assert.NotContains(t, narrow, "\x1b")
	for _, line := range strings.Split(narrow, "\n") {
		assert.LessOrEqual(t, len(line), 98)
	}
	assert.Contains(t, narrow, "...\n")
}

func TestStatusWatch(t *testing.T) {
	interrupt := interruptible(t)
	f := func(between string, argv ...string) {
		t.Helper()
		r := newRunning(t)
		r.looked = func(n int, s *api.Status) {
			s.Generation = uint64(n)
			if n == 3 {
				interrupt()
			}
		}
		got := r.ask(argv...)
		assert.Zero(t, got.code, got.stderr)
		assert.Contains(t, got.stdout, between)
	}
	f("refused\n\nl7 v1.2.3, pid 4242, up 3h12m, serving, generation 2\n", "status", "--watch")
	f("}\n{\n", "status", "--watch", "--json")
}

func TestMillis(t *testing.T) {
	f := func(want string, ms float64) {
		t.Helper()
		assert.Equal(t, want, millis(ms))
	}
	f("-", 0)
	f("0.25ms", 0.25)
	f("0.5ms", 0.5)
	f("1ms", 0.999)
	f("1.5ms", 1.52)
	f("10ms", 9.96)
	f("12ms", 12.4)
	f("1s", 999.6)
	f("3.2s", 3200)
	f("1m00s", 59_990)
	f("2m05s", 125_000)
}

func TestRate(t *testing.T) {
	f := func(want string, perSecond float64) {
		t.Helper()
		assert.Equal(t, want, rate(perSecond))
	}
	f("0", 0)
	f("<0.1", 0.01)
	f("0.2", 0.2)
	f("3", 3)
	f("10", 9.96)
	f("100", 100)
	f("12345", 12345.4)
}
