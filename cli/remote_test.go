package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

// running is a process that can be asked, as far as its admin socket goes. What it tells is set before it is asked, or by looked,
// which it calls with the number of the look, from 1, before it answers a status.
type running struct {
	socket string
	looked func(n int, s *api.Status)

	mu        sync.Mutex
	status    api.Status
	undrained string // the state of a server that was undrained
	looks     int
	busy      int // how many drains and undrains are still answered that an upgrade is under way
	calls     []string
	answers   map[string]any // by path; an *api.Error is answered 404, and a function is called and then nothing is answered
	stream    []api.Event    // that are streamed, before the stream ends
	streaming func()         // is called instead; then the stream goes on for as long as it is read
	later     []api.Event    // the events from the second time on that they are asked for
}

func at(clock string) time.Time {
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return t.AddDate(2026, 10, 20)
}

// newRunning starts one with the backends api (two servers, a third of weight 0) and web (one server, down).
func newRunning(t *testing.T) *running {
	t.Helper()
	r := &running{undrained: "available", answers: map[string]any{}, status: api.Status{
		Time: at("16:00:00"), Started: at("12:48:00"), Version: "v1.2.3", PID: 4242, State: "serving", Generation: 7,
		ConfigFile: "/etc/l7/l7.yml", Connections: 12, Reload: &api.Reload{Time: at("15:58:00"), Generation: 7},
		Total: api.Traffic{Rate: 340.4, ErrorRate: 0.2, P50: 1.52, P99: 12.4, InFlight: 3},
		Backends: []api.Backend{
			{Name: "api", State: "up", Traffic: api.Traffic{Rate: 340.4, P50: 1.52, P99: 12.4, InFlight: 3}, Servers: []api.Server{
				{Address: "http://10.0.0.1:80", State: "available", Weight: 2, InFlight: 2, Rate: 200.4, P50: 1.5, P99: 12},
				{Address: "http://10.0.0.2:80", State: "available", Weight: 1, InFlight: 1, Rate: 140, P50: 0.25, P99: 3200, ErrorRate: 0.01},
				{Address: "unix:/run/old.sock", State: "weight 0", Backup: true},
			}},
			{Name: "web", State: "down", Waiting: 2, Servers: []api.Server{
				{Address: "http://10.0.0.9:80", State: "unhealthy", Weight: 1, Reason: "connect: connection refused", Changed: at("15:57:30")},
			}},
		},
	}}
	dir, err := os.MkdirTemp("", "l7") // a path of t.TempDir may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r.socket = filepath.Join(dir, "admin.sock")
	listener, err := net.Listen("unix", r.socket)
	require.NoError(t, err)
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return r
}

// ServeHTTP implements http.Handler.
func (r *running) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer, ok := r.answers[request.URL.Path]; ok {
		r.answer(w, request, answer)
		return
	}
	switch request.URL.Path {
	case api.PathStatus:
		r.looks++
		if r.looked != nil {
			r.looked(r.looks, &r.status)
		}
		r.write(w, http.StatusOK, &r.status)
	case api.PathDrain, api.PathUndrain:
		r.drain(w, request)
	default:
		r.write(w, http.StatusNotFound, &api.Error{Message: "no such path"})
	}
}

// answer gives what a test has put there, and takes note of what was asked.
func (r *running) answer(w http.ResponseWriter, request *http.Request, answer any) {
	var body bytes.Buffer
	_, _ = body.ReadFrom(request.Body)
	r.calls = append(r.calls, strings.TrimSpace(request.Method+" "+request.URL.RequestURI()+" "+body.String()))
	if request.Header.Get("Accept") == "text/event-stream" {
		w.WriteHeader(http.StatusOK)
		if r.streaming != nil {
			_ = http.NewResponseController(w).Flush()
			r.streaming()
			<-request.Context().Done()
			return
		}
		for _, event := range r.stream {
			text, _ := json.Marshal(event)
			fmt.Fprintf(w, "event: event\ndata: %s\n\n", text)
		}
		return
	}
	if hang, ok := answer.(func()); ok {
		hang()
		<-request.Context().Done()
		return
	}
	if request.URL.Path == api.PathEvents && r.later != nil {
		r.answers[api.PathEvents] = r.later
	}
	status := http.StatusOK
	switch a := answer.(type) {
	case *api.Error:
		status = http.StatusNotFound
	case *api.Reload:
		if a.Failed() {
			status = http.StatusUnprocessableEntity
		}
	}
	r.write(w, status, answer)
}

func (r *running) write(w http.ResponseWriter, status int, answer any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// drain drains and undrains. An address may stand without its scheme, and without a backend.
func (r *running) drain(w http.ResponseWriter, request *http.Request) {
	if r.busy > 0 {
		r.busy--
		r.write(w, http.StatusServiceUnavailable, &api.Error{Message: "an upgrade is under way"})
		return
	}
	var asked api.DrainRequest
	_ = json.NewDecoder(request.Body).Decode(&asked)
	r.calls = append(r.calls, strings.TrimSpace(fmt.Sprintf("%s %s %s", filepath.Base(request.URL.Path), asked.Server, strings.TrimPrefix(fmt.Sprintf("%gs", asked.For), "0s"))))
	server := serverOf(&r.status, asked)
	if server == nil {
		server = serverOf(&r.status, api.DrainRequest{Backend: asked.Backend, Server: "http://" + asked.Server})
	}
	if server == nil {
		r.write(w, http.StatusNotFound, &api.Error{Message: "there is no server " + asked.Server})
		return
	}
	server.Drained = request.URL.Path == api.PathDrain
	server.State = map[bool]string{true: "draining", false: r.undrained}[server.Drained]
	r.write(w, http.StatusOK, server)
}

// told are the calls that have changed something, or that a test has an answer for.
func (r *running) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// empties has one request less in flight at a server with each look.
func empties(backend, server int) func(int, *api.Status) {
	return func(_ int, s *api.Status) {
		at := &s.Backends[backend].Servers[server]
		if at.Drained && at.InFlight > 0 {
			at.InFlight--
		}
	}
}

type ran struct {
	code           int
	stdout, stderr string
}

// run runs a command line in an environment.
func run(environ []string, argv ...string) ran {
	var stdout, stderr bytes.Buffer
	code := Run(append([]string{"l7"}, argv...), Process{Environ: environ, Stdout: &stdout, Stderr: &stderr})
	return ran{code, stdout.String(), stderr.String()}
}

// ask runs a command line that asks the process. "--admin SOCKET" is put behind the command.
func (r *running) ask(argv ...string) ran {
	return run(nil, slices.Insert(argv, 1, "--admin", r.socket)...)
}

// interruptible keeps a signal that comes while no command takes it from ending the test process.
func interruptible(t *testing.T) (interrupt func()) {
	t.Helper()
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt)
	t.Cleanup(func() { signal.Stop(caught) })
	return func() { _ = syscall.Kill(os.Getpid(), syscall.SIGINT) }
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestSocketIsFound(t *testing.T) {
	r := newRunning(t)
	f := func(environ []string, argv ...string) {
		t.Helper()
		got := run(environ, append([]string{"status"}, argv...)...)
		assert.Zero(t, got.code, got.stderr)
		assert.Contains(t, got.stdout, "pid 4242")
	}
	file := writeConfig(t, "admin: {socket: "+r.socket+"}\nbackends: {a: {servers: ['127.0.0.1:1']}}\n")
	wrong := writeConfig(t, "admin: {socket: "+r.socket+", lissten: x}\ntimeouts: {conect: 1s}\n")
	elsewhere := writeConfig(t, "admin: {socket: /elsewhere}\n")
	f(nil, "--admin", r.socket)
	f(nil, "--admin", r.socket, "--config", elsewhere)
	f(nil, "--config", file)
	f(nil, "-c", wrong)
	f([]string{"L7_CONFIG=" + file})
	f([]string{"L7_CONFIG=" + elsewhere}, "--config", file)
	f([]string{"L7_ADMIN__SOCKET=" + r.socket})
	if os.Getuid() != 0 {
		require.NoError(t, os.Mkdir(filepath.Dir(r.socket)+"/l7", 0o700))
		require.NoError(t, os.Symlink(r.socket, filepath.Dir(r.socket)+"/l7/admin.sock"))
		f([]string{"XDG_RUNTIME_DIR=" + filepath.Dir(r.socket)})
	}
}

func TestSocketIsNotFound(t *testing.T) {
	f := func(want, text string) {
		t.Helper()
		got := run(nil, "status", "--config", writeConfig(t, text))
		assert.Equal(t, exitWrong, got.code)
		assert.Empty(t, got.stdout)
		assert.Contains(t, got.stderr, want)
	}
	f("admin.socket is off", "admin: {socket: off}\n")
	f("l7.yml:1:17: admin.socket: want a path", "admin: {socket: relative}\n")
	f("l7.yml:2: this is not YAML", "admin: {socket: /run/x}\nbackends: [1\n")
	got := run(nil, "status", "--config", "/no/such.yml")
	assert.Equal(t, ran{exitWrong, "", "/no/such.yml: cannot read the file: no such file or directory\n"}, got)
}

func TestUnreachable(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent.sock")
	file := writeConfig(t, "")
	f := func(argv ...string) {
		t.Helper()
		got := run(nil, append(argv, "--admin", absent)...)
		assert.Equal(t, exitUnreachable, got.code)
		assert.Empty(t, got.stdout)
		assert.Contains(t, got.stderr, "cannot reach a running l7 at "+absent)
		assert.Contains(t, got.stderr, "--admin SOCKET")
	}
	f("status")
	f("status", "--json")
	f("status", "--watch")
	f("reload")
	f("diff", file)
	f("drain", "a", "10.0.0.1:80", "--wait")
	f("undrain", "a", "10.0.0.1:80")
	f("why", "10.0.0.1:80")
	f("events")
	f("events", "--follow")
	f("explain", "http://example.com")
	got := run(nil, "roll", "--admin", absent, "a", "--", "true")
	assert.Equal(t, exitUnreachable, got.code, got.stderr)
}

// A process that hangs, or dies over the answer, cannot be reached either.
func TestNoAnswer(t *testing.T) {
	r := newRunning(t)
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	r.looked = func(int, *api.Status) { <-ended }
	asking := &remote{Client: api.NewClient(r.socket), socket: r.socket, patience: 20 * time.Millisecond}
	_, err := soon(t.Context(), asking, asking.Status)
	var gone *api.UnreachableError
	require.ErrorAs(t, err, &gone)
	require.ErrorContains(t, err, "no answer within 20ms")

	dying := newRunning(t)
	dying.looked = func(int, *api.Status) { panic(http.ErrAbortHandler) }
	asking = &remote{Client: api.NewClient(dying.socket), socket: dying.socket, patience: patience}
	_, err = soon(t.Context(), asking, asking.Status)
	require.ErrorAs(t, err, &gone)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = soon(ctx, asking, asking.Status)
	require.ErrorIs(t, err, errInterrupted)
}

func TestRemoteUsage(t *testing.T) {
	r := newRunning(t)
	f := func(argv ...string) {
		t.Helper()
		got := r.ask(argv...)
		assert.Equal(t, exitUsage, got.code, "%v: %s", argv, got.stderr)
		assert.Contains(t, got.stderr, "See `l7 "+argv[0]+" --help`")
	}
	f("status", "more")
	f("status", "--nonsense")
	f("reload", "more")
	f("diff")
	f("diff", "a", "b")
	f("drain")
	f("drain", "a", "b", "c")
	f("drain", "a", "b", "--for", "5")
	f("drain", "a", "b", "--for=-5s")
	f("undrain")
	f("why")
	f("events", "more")
	f("roll", "api")
	f("roll")
	f("roll", "api", "--wait-healthy=-1s", "--", "true")
	assert.Empty(t, r.told())
}

// A time below zero was refused without a word of which, and how long.
func TestTimesBelowZero(t *testing.T) {
	f := func(want string, argv ...string) {
		t.Helper()
		got := run(nil, argv...)
		assert.Equal(t, exitUsage, got.code)
		assert.Equal(t, "l7: "+want+", and the least is 0s\nSee `l7 "+argv[0]+" --help`.\n", got.stderr)
	}
	f("--for is -5m0s", "drain", "a", "b", "--for", "-5m")
	f("--timeout is -1s", "drain", "a", "b", "--timeout=-1s")
	f("--wait-healthy is -2s", "roll", "a", "--wait-healthy", "-2s", "--", "true")
	f("--drain-timeout is -3s", "roll", "a", "--drain-timeout", "-3s", "--", "true")
}

func TestCompletionKnowsRemoteCommands(t *testing.T) {
	got := run(nil, "--generate-bash-completion")
	for _, name := range []string{"status", "reload", "diff", "drain", "undrain", "roll", "why", "events"} {
		assert.Regexp(t, `(?m)^`+name+`(:|$)`, got.stdout)
		assert.Contains(t, run(nil, name, "--help").stdout, "l7 "+name)
	}
}

func TestCommandLine(t *testing.T) {
	f := func(want string, flags []string, words ...string) {
		t.Helper()
		assert.Equal(t, want, (&remote{flags: flags}).commandLine(words...))
	}
	f("l7 undrain example.com/api http://10.0.0.1:80", nil, "undrain", "example.com/api", "http://10.0.0.1:80")
	f("l7 undrain --admin '/my socks/a' '*' '[::1]:80'", []string{"--admin", "/my socks/a"}, "undrain", "*", "[::1]:80")
	f(`l7 why 'it'\''s'`, nil, "why", "it's")
}
