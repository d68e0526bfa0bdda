package page_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"l7/admin/api"
	"l7/admin/page"
)

// fake is the API of an l7 that does not exist, with the page beside it. The real one is in e2e.
type fake struct {
	*httptest.Server

	pace time.Duration // between two statuses

	mu     sync.Mutex // guards all below
	status api.Status
	events []api.Event
	refuse int                   // a status that every POST is answered with; 0: none
	gone   bool                  // streams end, and new ones are refused
	asked  []api.DrainRequest    // drains
	fresh  map[chan struct{}]any // a channel for each stream, for what has changed
}

func newFake(t testing.TB, status api.Status) *fake {
	f := &fake{pace: 300 * time.Millisecond, status: status, fresh: map[chan struct{}]any{}}
	mux := http.NewServeMux()
	mux.Handle("/", page.Handler())
	mux.HandleFunc("GET /api/stream", f.stream)
	mux.HandleFunc("GET /api/events", func(w http.ResponseWriter, _ *http.Request) { f.answer(w, func() any { return f.events }) })
	mux.HandleFunc("GET /api/config", func(w http.ResponseWriter, _ *http.Request) {
		f.answer(w, func() any { return api.Config{Generation: f.status.Generation, YAML: configText} })
	})
	mux.HandleFunc("GET /api/history", func(w http.ResponseWriter, r *http.Request) {
		f.answer(w, func() any {
			return []api.History{{Backend: r.FormValue("backend"), Changes: []api.Event{{ID: 1, Time: f.status.Started, Kind: "server", State: "unhealthy", Reason: "connect: connection refused"}}}}
		})
	})
	mux.HandleFunc("POST /api/drain", func(w http.ResponseWriter, r *http.Request) { f.drain(w, r, true) })
	mux.HandleFunc("POST /api/undrain", func(w http.ResponseWriter, r *http.Request) { f.drain(w, r, false) })
	mux.HandleFunc("POST /api/reload", f.reload)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.set(func() { f.gone = true })
		f.Close()
	})
	return f
}

// set changes something and tells the streams of it.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	for fresh := range f.fresh {
		select {
		case fresh <- struct{}{}:
		default: // it is told already
		}
	}
}

func (f *fake) answer(w http.ResponseWriter, content func() any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = json.NewEncoder(w).Encode(content())
}

// stream tells all there is once in a while, and each time that something has changed.
func (f *fake) stream(w http.ResponseWriter, r *http.Request) {
	fresh := make(chan struct{}, 1)
	f.set(func() { f.fresh[fresh] = nil })
	defer f.set(func() { delete(f.fresh, fresh) })
	w.Header().Set("Content-Type", "text/event-stream")
	f.mu.Lock()
	sent := uint64(len(f.events)) // what has happened before is to be had elsewhere
	f.mu.Unlock()
	for begun := false; f.tell(w, &sent, begun); begun = true {
		select {
		case <-r.Context().Done():
			return
		case <-fresh:
		case <-time.After(f.pace):
		}
	}
}

// tell writes the events after the last that was sent, and the status. It is false when the stream is to end.
func (f *fake) tell(w http.ResponseWriter, sent *uint64, begun bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		if !begun {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return false
	}
	f.status.Time = time.Now()
	for _, event := range f.events {
		if event.ID > *sent {
			text, _ := json.Marshal(event)
			fmt.Fprintf(w, "event: event\ndata: %s\n\n", text)
			*sent = event.ID
		}
	}
	text, _ := json.Marshal(f.status)
	fmt.Fprintf(w, "event: status\ndata: %s\n\n", text)
	return http.NewResponseController(w).Flush() == nil
}

func (f *fake) refused(w http.ResponseWriter) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != 0 {
		w.WriteHeader(f.refuse)
		_ = json.NewEncoder(w).Encode(api.Error{Message: "without a login nothing but GET is allowed here"})
	}
	return f.refuse != 0
}

func (f *fake) drain(w http.ResponseWriter, r *http.Request, drained bool) {
	var question api.DrainRequest
	if err := json.NewDecoder(r.Body).Decode(&question); err != nil || f.refused(w) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, question)
	for _, b := range f.status.Backends {
		for i := range b.Servers {
			s := &b.Servers[i]
			if b.Name != question.Backend || s.Address != question.Server {
				continue
			}
			s.Drained, s.State, s.Reason, s.Changed = drained, "available", "undrained by command", time.Now()
			if drained {
				s.State, s.Reason = "draining", "drained by command"
			}
			_ = json.NewEncoder(w).Encode(s)
		}
	}
}

func (f *fake) reload(w http.ResponseWriter, _ *http.Request) {
	if f.refused(w) {
		return
	}
	reload := &api.Reload{Time: time.Now(), Generation: 7, Problems: []string{`l7.yml:12:5: backends: shop: unknown key "wieght"; did you mean weight?`}}
	f.set(func() { f.status.Reload = reload })
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(reload)
}

// wave is five minutes of traffic that looks like traffic.
func wave(rate, errors, p50 float64) (points []api.Point) {
	for i := range 301 {
		x := float64(i)
		shape := 1 + 0.18*math.Sin(x/34) + 0.05*math.Sin(x/3.1) + 0.04*math.Sin(x*1.7)
		p := api.Point{Rate: rate * shape, P50: p50 * (1 + 0.1*math.Sin(x/11+1) + 0.05*math.Sin(x*2.3))}
		p.P99 = p.P50 * (5 + 1.5*math.Sin(x/19) + 0.8*math.Sin(x*1.3))
		if i > 180 && i < 235 {
			p.ErrorRate = errors * math.Sin(float64(i-180)/55*math.Pi) * (1 + 0.3*math.Sin(x*2.1))
			p.P99 *= 1.8
		}
		points = append(points, p)
	}
	return points
}

func traffic(rate, errors, p50 float64, inFlight int) api.Traffic {
	return api.Traffic{
		Rate: rate, ErrorRate: errors, P50: p50, P99: p50 * 6.1, InFlight: inFlight, Requests: uint64(rate * 86_000),
		Statuses: map[string]uint64{"2xx": uint64(rate * 84_000), "4xx": uint64(rate * 1_900), "5xx": uint64(rate)},
		History:  wave(rate, rate/12, p50),
	}
}

func healthy(address string, rate float64, inFlight int) api.Server {
	return api.Server{
		Address: address, State: "available", Weight: 1, InFlight: inFlight, Connections: inFlight + 14, Idle: 14, Rate: rate, P50: 3.1, P99: 19.4,
		Reason: "active check passed", Changed: time.Now().Add(-26 * time.Hour),
	}
}

// typical is a process on an ordinary day: a server is down, another is drained.
func typical() api.Status {
	down, drained, backup := healthy("10.0.3.14:8080", 0, 0), healthy("10.0.3.15:8080", 0, 3), healthy("10.0.9.1:8080", 0, 0)
	down.State, down.Reason, down.Changed = "unhealthy", "connect: connection refused, 3 times in a row", time.Now().Add(-214*time.Second)
	down.P50, down.P99, down.Connections = 0, 0, 0
	drained.State, drained.Drained, drained.Reason, drained.Changed = "draining", true, "drained by command", time.Now().Add(-47*time.Second)
	backup.Backup, backup.P50, backup.P99, backup.Connections, backup.Reason = true, 0, 0, 0, ""
	full := healthy("10.0.5.21:9000", 96.4, 64)
	full.State, full.Reason, full.ErrorRate, full.Weight = "full", "64 of 64 in flight", 1.3, 3
	shop := api.Backend{
		Name: "shop.example.com", Policy: "least_loaded", State: "up", Traffic: traffic(684.2, 0, 3.1, 22), Retries: 41,
		Servers: []api.Server{healthy("10.0.3.12:8080", 351.7, 12), healthy("10.0.3.13:8080", 332.5, 7), down, drained, backup},
	}
	shop.Traffic.Causes = map[string]uint64{"connect_refused": 212, "response_timeout": 3}
	search := api.Backend{
		Name: "search.example.com", Policy: "random_two", State: "up", Traffic: traffic(188.9, 1.3, 24.6, 118), Waiting: 4, Retries: 2,
		Servers: []api.Server{full, healthy("10.0.5.22:9000", 92.5, 54)},
	}
	legacy := api.Backend{Name: "legacy.example.com", Policy: "round_robin", State: "down", Traffic: api.Traffic{}, Servers: []api.Server{down}}
	legacy.Servers[0].Address = "10.0.7.2:80"
	total := traffic(873.1, 1.3, 4.4, 140)
	total.Causes = map[string]uint64{"connect_refused": 212, "response_timeout": 3, "no_server": 18}
	return api.Status{
		Version: "v1.0.0", PID: 4711, Started: time.Now().Add(-76*time.Hour - 12*time.Minute), State: "serving", Generation: 7, ConfigFile: "/etc/l7/l7.yml",
		Listeners: []string{"0.0.0.0:80", "[::]:80"}, Connections: 412, Total: total, Backends: []api.Backend{legacy, search, shop},
		Reload: &api.Reload{Time: time.Now().Add(-3 * time.Hour), Generation: 7, Changes: []string{"backends.shop.example.com.servers: added 10.0.3.15:8080", "timeouts.response: 30s -> 20s"}},
	}
}

func typicalEvents() (events []api.Event) {
	add := func(ago time.Duration, kind, backend, server, state, reason string) {
		events = append(events, api.Event{ID: uint64(len(events) + 1), Time: time.Now().Add(-ago), Kind: kind, Backend: backend, Server: server, State: state, Reason: reason})
	}
	add(76*time.Hour, "process", "", "", "started", "v1.0.0")
	add(3*time.Hour, "reload", "", "", "reloaded", "2 changes")
	add(41*time.Minute, "server", "search.example.com", "10.0.5.22:9000", "ejected", "5 of the last 10 answers were 503")
	add(40*time.Minute, "server", "search.example.com", "10.0.5.22:9000", "readmitted", "after 30s")
	add(214*time.Second, "server", "shop.example.com", "10.0.3.14:8080", "unhealthy", "connect: connection refused, 3 times in a row")
	add(214*time.Second, "server", "legacy.example.com", "10.0.7.2:80", "unhealthy", "connect: connection refused, 3 times in a row")
	add(213*time.Second, "backend", "legacy.example.com", "", "down", "no server is available")
	add(47*time.Second, "server", "shop.example.com", "10.0.3.15:8080", "draining", "drained by command")
	return events
}

const configText = `# generation 7, from /etc/l7/l7.yml
listen:
  - address: 0.0.0.0:80    # /etc/l7/l7.yml:1
timeouts:
  connect: 2s              # default
  response: 20s            # /etc/l7/l7.yml:6
users:
  admin: '***'             # L7_USERS
`
