package top

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"l7/admin/api"
)

// noon is when the fixed status was taken.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// fixedStatus has a backend that is well, one in trouble, one that is down, and one without any traffic.
func fixedStatus() *api.Status {
	return &api.Status{
		Time: noon, Version: "v1.4.0", PID: 4711, Started: noon.Add(-76 * time.Hour), State: "serving", Generation: 7,
		ConfigFile: "/etc/l7/l7.yml", Connections: 1234, Reload: &api.Reload{Time: noon.Add(-3 * time.Minute), Generation: 7},
		Total: api.Traffic{Rate: 1530, ErrorRate: 2.4, P50: 1.24, P99: 87, InFlight: 31, History: wave(60, 1530, 3)},
		Backends: []api.Backend{
			{
				Name: "api.example.com", Policy: "least_loaded", State: "up", Retries: 12, Waiting: 3,
				Traffic: api.Traffic{
					Rate: 1200, ErrorRate: 2.4, P50: 1.1, P99: 92, InFlight: 28, History: wave(60, 1200, 3),
					Statuses: map[string]uint64{"2xx": 90210, "5xx": 31}, Causes: map[string]uint64{"timeout": 9, "connect": 22},
				},
				Servers: []api.Server{
					{Address: "http://10.0.0.9:8080", State: "available", Weight: 1, InFlight: 9, Rate: 610, P50: 1.0, P99: 40},
					{Address: "http://10.0.0.10:8080", State: "available", Weight: 2, InFlight: 19, Rate: 590, ErrorRate: 2.4, P50: 1.3, P99: 95},
					{Address: "http://10.0.0.11:8080", State: "unhealthy", Weight: 1, Changed: noon.Add(-185 * time.Second), Reason: "GET /healthz: connect: connection refused, 3 times in a row"},
					{Address: "http://10.0.0.12:8080", State: "draining", Drained: true, Weight: 1, Changed: noon.Add(-30 * time.Second), Reason: "drained by command"},
				},
			},
			{
				Name: "down.example.com", Policy: "round_robin", State: "down",
				Traffic: api.Traffic{Causes: map[string]uint64{"no_server": 4}},
				Servers: []api.Server{{Address: "https://[2001:db8::17]:8443", State: "ejected", Weight: 1, Changed: noon.Add(-5 * time.Second), Reason: "\x1b[31m5 failures"}},
			},
			{
				Name: "static.example.com/assets/of/a/very/long/prefix", Policy: "random_two", State: "up",
				Traffic: api.Traffic{Rate: 330, P50: 0.42, P99: 3.1, InFlight: 3, History: wave(20, 330, 0)},
				Servers: []api.Server{
					{Address: "http://static-server-with-a-long-name-1.internal:8080", State: "available", Weight: 1, InFlight: 1, Rate: 30, P50: 0.42, P99: 3.1},
					{Address: "http://static-server-with-a-long-name-2.internal:8080", State: "available", Weight: 1, InFlight: 2, Rate: 300, P50: 0.42, P99: 3.0, Backup: true},
				},
			},
		},
	}
}

// wave is a history that goes up and down.
func wave(n int, rate, errors float64) []api.Point {
	points := make([]api.Point, n)
	for i := range points {
		points[i].Rate = math.Round(rate * (1 + math.Sin(float64(i)/5)) / 2)
		if i%17 == 0 {
			points[i].ErrorRate = errors
		}
	}
	return points
}

func fixedEvents() []api.Event {
	return []api.Event{
		{ID: 1, Time: noon.Add(-76 * time.Hour), Kind: "process", State: "started"},
		{ID: 2, Time: noon.Add(-185 * time.Second), Kind: "server", Backend: "api.example.com", Server: "http://10.0.0.11:8080", State: "unhealthy", Reason: "connection refused"},
		{ID: 3, Time: noon.Add(-180 * time.Second), Kind: "reload", State: "reloaded", Reason: "generation 7"},
		{ID: 4, Time: noon.Add(-5 * time.Second), Kind: "backend", Backend: "down.example.com", State: "down"},
	}
}

// fake is a running process that answers from memory, and keeps what it was asked to do.
type fake struct {
	mu     sync.Mutex // guards all below
	status *api.Status
	gone   error // the answer to everything while it is set
	reload *api.Reload
	calls  []string
}

func (f *fake) call(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.gone
}

func (f *fake) Status(context.Context) (*api.Status, error) { return f.status, f.gone }
func (f *fake) Events(context.Context) ([]api.Event, error) { return fixedEvents(), nil }

func (f *fake) Drain(_ context.Context, r api.DrainRequest) (*api.Server, error) {
	return &api.Server{}, f.call("drain %s %s", r.Backend, r.Server)
}

func (f *fake) Undrain(_ context.Context, r api.DrainRequest) (*api.Server, error) {
	return &api.Server{}, f.call("undrain %s %s", r.Backend, r.Server)
}

func (f *fake) Reload(context.Context) (*api.Reload, error) { return f.reload, f.call("reload") }

var errGone = errors.New("cannot reach a running l7 at /run/l7/admin.sock: connect: no such file or directory")

// view is a model with a screen, driven without a terminal.
type view struct {
	*Model
	t    *testing.T
	fake *fake
	quit bool
}

func newView(t *testing.T, width, height int) *view {
	t.Helper()
	f := &fake{status: fixedStatus()}
	v := &view{New(t.Context(), f, time.Second), t, f, false}
	v.send(tea.WindowSizeMsg{Width: width, Height: height})
	v.look(noon)
	return v
}

// look is a look at the process that ends at a time.
func (v *view) look(at time.Time) {
	msg := v.ask(false)().(lookMsg)
	msg.at = at
	v.send(msg)
}

// send delivers a message, and runs the command that comes of it. That of a look is the next tick, which a test sends by itself.
func (v *view) send(msg tea.Msg) {
	_, cmd := v.Update(msg)
	if _, isLook := msg.(lookMsg); isLook || cmd == nil {
		return
	}
	switch answer := cmd().(type) {
	case tea.QuitMsg:
		v.quit = true
	case lookMsg:
		answer.at = noon
		v.send(answer)
	case doneMsg:
		v.send(answer)
	}
}

// press types keys, each as bubbletea calls it.
func (v *view) press(keys ...string) {
	for _, name := range keys {
		v.send(keyOf(name))
	}
}

func keyOf(name string) tea.KeyPressMsg {
	special := map[string]tea.KeyPressMsg{
		"up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown}, "pgup": {Code: tea.KeyPgUp}, "pgdown": {Code: tea.KeyPgDown},
		"home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd}, "enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape},
		"backspace": {Code: tea.KeyBackspace}, "space": {Code: tea.KeySpace, Text: " "}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl},
	}
	if k, ok := special[name]; ok {
		return k
	}
	return tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
}

// at is the name of the selected row.
func (v *view) at() string {
	r := v.selected()
	switch {
	case r == nil:
		return ""
	case r.server == nil:
		return r.backend.Name
	}
	return r.server.Address
}

// shown are the names of all rows, short enough for a table of cases.
func (v *view) shown() string {
	names := ""
	for _, r := range v.rows {
		if r.server == nil {
			names += " " + r.backend.Name[:1] + ":"
			continue
		}
		for i := range r.backend.Servers {
			if r.server == &r.backend.Servers[i] {
				names += fmt.Sprint(i)
			}
		}
	}
	return names
}
