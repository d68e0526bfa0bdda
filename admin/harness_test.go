package admin

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"l7/admin/api"
	"l7/auth"
	"l7/config"
	"l7/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeProcess answers with every field set, and keeps what it was told.
type fakeProcess struct {
	mu        sync.Mutex // guards all below
	told      []string
	notReady  error
	reloading func() *api.Reload
	followers map[chan api.Event]bool
	followed  chan struct{} // a token for each Follow
}

func newFake() *fakeProcess {
	return &fakeProcess{followers: map[chan api.Event]bool{}, followed: make(chan struct{}, 2*maxStreams)}
}

func (p *fakeProcess) tell(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, fmt.Sprintf(format, args...))
}

func (p *fakeProcess) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

func fakeServer(drained bool) api.Server {
	return api.Server{
		Address: "127.0.0.1:8081", State: "available", Reason: "check passed", Changed: noon(), Weight: 1, Backup: true, Drained: drained,
		InFlight: 1, Connections: 2, Idle: 1, Rate: 1.5, ErrorRate: 0.5, P50: 0.25, P99: 3, Attempts: 10, Failures: 1,
		LastFailure: &api.Failure{Time: noon(), Reason: "connect_refused: connection refused"},
	}
}

func fakeEvent(id uint64) api.Event {
	return api.Event{ID: id, Time: noon(), Kind: "server", Backend: "*", Server: "127.0.0.1:8081", State: "unhealthy", Reason: "refused"}
}

func fakeReload(problems ...string) *api.Reload {
	return &api.Reload{Time: noon(), Generation: 7, Changes: []string{"a"}, Warnings: []string{"b"}, Problems: problems}
}

func (p *fakeProcess) Status() *api.Status {
	traffic := api.Traffic{
		Rate: 2, ErrorRate: 1, P50: 1, P99: 2, InFlight: 1, Requests: 3, Statuses: map[string]uint64{"2xx": 2},
		Causes: map[string]uint64{"full": 1}, History: []api.Point{{Rate: 1, ErrorRate: 2, P50: 3, P99: 4}},
	}
	return &api.Status{
		Time: noon(), Version: "1", PID: 2, Started: noon(), State: "serving", Generation: 7, ConfigFile: "/etc/l7.yml", Reload: fakeReload(),
		Listeners: []string{":80"}, Connections: 1, Total: traffic, LogDropped: 1,
		Backends: []api.Backend{{Name: "*", Policy: "least_loaded", State: "up", Traffic: traffic, Servers: []api.Server{fakeServer(true)}}},
	}
}

func (p *fakeProcess) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.notReady
}

func (p *fakeProcess) WriteConfig(w io.Writer) error {
	_, err := io.WriteString(w, "workers: 1 # default\n")
	return err
}

func (p *fakeProcess) Generation() uint64 { return 7 }

func (p *fakeProcess) Reload() *api.Reload {
	p.tell("reload")
	p.mu.Lock()
	reloading := p.reloading
	p.mu.Unlock()
	if reloading != nil {
		return reloading()
	}
	return fakeReload()
}

func (p *fakeProcess) Diff(file string) *api.Reload {
	p.tell("diff %s", file)
	if strings.Contains(file, "bad") {
		return fakeReload("bad.yml:1:2: no")
	}
	return fakeReload()
}

func (p *fakeProcess) Drain(r api.DrainRequest, drained bool) (*api.Server, error) {
	p.tell("drain %q %q %v %v", r.Backend, r.Server, r.For, drained)
	switch r.Server {
	case "unknown":
		return nil, fmt.Errorf("cannot find server %q: %w", r.Server, ErrUnknown)
	case "two":
		return nil, fmt.Errorf("cannot tell which backend is meant")
	case "late":
		return nil, ErrUpgrading
	}
	s := fakeServer(drained)
	return &s, nil
}

func (p *fakeProcess) History(backend, address string) ([]api.History, error) {
	if address == "unknown" {
		return nil, ErrUnknown
	}
	return []api.History{{Backend: backend, Server: fakeServer(false), Changes: []api.Event{fakeEvent(1)}}}, nil
}

func (p *fakeProcess) Explain(r api.ExplainRequest) (any, error) {
	p.tell("explain %s", r.URL)
	if r.URL == "::" {
		return nil, fmt.Errorf("cannot read the URL")
	}
	return &server.Decision{
		Request: "GET / HTTP/1.1", Listener: ":80", Client: "127.0.0.1", Backend: "*", Login: "bob", Auth: "accepted", RateLimit: "none", Status: 200, Cause: "ok",
		Error: "x", Queue: "x", Added: []string{"A: b"}, Removed: []string{"C: d"}, Policy: "least_loaded",
		Servers:  []server.Candidate{{Address: "127.0.0.1:1", State: "available", Weight: 1, Backup: true, Reason: "x"}},
		Timeouts: []server.NamedLimit{{Name: "connect", Limit: "1s"}},
	}, nil
}

func (p *fakeProcess) Events() []api.Event { return []api.Event{fakeEvent(1)} }

func (p *fakeProcess) Follow() (<-chan api.Event, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := make(chan api.Event, 8)
	p.followers[c] = true
	p.followed <- struct{}{}
	return c, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.followers, c)
	}
}

// happen lets an event happen.
func (p *fakeProcess) happen(e api.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.followers {
		c <- e
	}
}

func (p *fakeProcess) following() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.followers)
}

func saying(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(w, text)
	})
}

// newRoom is a Server that is closed with the test.
func newRoom(t *testing.T, p Process) *Server {
	t.Helper()
	s := New(p, zerolog.Nop(), saying("metrics"), saying("page"))
	t.Cleanup(s.Close)
	return s
}

func settle(t *testing.T, s *Server, settings Settings) {
	t.Helper()
	o, err := s.Open(settings)
	require.NoError(t, err)
	o.Commit()
}

func loopback(t *testing.T) config.ListenAddress {
	t.Helper()
	address, err := config.ParseListenAddress("127.0.0.1:0")
	require.NoError(t, err)
	return address
}

func socketIn(t *testing.T) string { return filepath.Join(t.TempDir(), "admin.sock") }

func usersOf(t *testing.T, logins map[string]string) *auth.Users {
	t.Helper()
	users, err := auth.New(auth.NewVerifier(), logins)
	require.NoError(t, err)
	return users
}

// ask sends one request, "METHOD path", to an address over a connection of its own. change, which may be nil, has the last word on it.
func ask(t *testing.T, to net.Addr, what, body string, change func(*http.Request)) *http.Response {
	t.Helper()
	method, path, _ := strings.Cut(what, " ")
	request, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+path, strings.NewReader(body))
	require.NoError(t, err)
	if change != nil {
		change(request)
	}
	nc, err := net.Dial(to.Network(), to.String())
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return nc, nil }}
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func unixAddr(path string) net.Addr { return &net.UnixAddr{Net: "unix", Name: path} }

func text(t *testing.T, response *http.Response) string {
	t.Helper()
	all, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(all)
}
