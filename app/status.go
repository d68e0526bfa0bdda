package app

import (
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"l7/admin/api"
	"l7/balancer"
	"l7/cause"
	"l7/metrics"
	"l7/server"
)

// Status is the running process at a glance. It may be called concurrently with everything.
func (a *App) Status() *api.Status {
	snapshot := a.server.Snapshot()
	s := &api.Status{
		Time: time.Now(), Version: a.identity.version, PID: a.identity.pid, Started: a.identity.started, State: "serving",
		Generation: snapshot.Generation, Connections: a.server.Connections(), LogDropped: a.access.dropped(),
		Backends: []api.Backend{}, Listeners: []string{}, Certificates: a.Certificates(),
		Upgrading: a.undrains.isPassed(),
	}
	if a.Ready() != nil {
		s.State = "draining"
	}
	a.mu.Lock()
	cfg := a.config
	s.ConfigFile, s.Reload = absolute(a.loaded.File), a.reloaded
	s.ReadOnly = cfg.Admin.Listen != "" && len(cfg.Admin.Users) == 0
	for _, l := range a.loaded.Config.Listen {
		s.Listeners = append(s.Listeners, l.Address.String())
	}
	a.mu.Unlock()

	lookedUp := a.parts.names.By(lookups(cfg))
	sum, all := &metrics.Sum{}, &metrics.Sum{}
	for _, v := range snapshot.Views() {
		v.Cells.Sum(sum)
		all.Add(sum)
		b := a.backendStatus(v, sum)
		tellOfNames(&b, nameStatuses(lookedUp, namesOfServers(cfg.Backends[v.Name()].Servers)), s.Time)
		s.Backends = append(s.Backends, b)
		s.Total.InFlight += b.Traffic.InFlight
	}
	snapshot.Cells().Nowhere().Sum(sum)
	all.Add(sum)
	now, series := a.rates.ofAll()
	inFlight := s.Total.InFlight
	s.Total = traffic(all, now, series)
	s.Total.InFlight = inFlight
	return s
}

func (a *App) backendStatus(v server.View, sum *metrics.Sum) api.Backend {
	now, series := a.rates.ofBackend(v.Name())
	b := api.Backend{
		Name: v.Name(), Policy: v.Policy(), State: "up", Traffic: traffic(sum, now, series), Retries: v.Counts().Retries,
		Waiting: v.Waiting(), Servers: []api.Server{},
	}
	if v.IsDown() {
		b.State, b.Problem = "down", v.WhyDown()
	}
	for _, m := range v.Members() {
		s := a.serverStatus(m)
		b.Servers = append(b.Servers, s)
		b.Traffic.InFlight += s.InFlight
	}
	return b
}

// tellOfNames adds to a backend which of its names cannot be looked up. Where there are no servers the backend is down for that reason, and says so.
func tellOfNames(b *api.Backend, names []api.Name, now time.Time) {
	for _, n := range names {
		if n.Error != "" {
			b.Unresolved = append(b.Unresolved, n)
		}
	}
	if len(b.Unresolved) == 0 || len(b.Servers) == 0 {
		return
	}
	if b.Problem != "" {
		b.Problem += "; "
	}
	b.Problem += unresolvedText(b.Unresolved, now)
}

func (a *App) serverStatus(m *balancer.Member) api.Server {
	var sum metrics.ServerSum
	m.Cells().Sum(&sum)
	now, cfg := a.rates.ofServer(m.Standing), m.Config()
	s := api.Server{
		Address: m.Name(), State: string(m.State(balancer.Now())), Weight: cfg.Weight, Backup: cfg.Backup, Drained: m.IsDrained(),
		InFlight: m.InFlight(), Connections: m.Connections(), Idle: m.Idle(),
		Rate: now.Requests, ErrorRate: now.Errors, P50: millis(now.P50), P99: millis(now.P99), Attempts: sum.Attempts(),
	}
	for _, n := range sum.Failed {
		s.Failures += n
	}
	if s.Drained {
		s.DrainedUntil = a.undrains.when(m.Standing)
	}
	if history := m.History(); len(history) > 0 {
		last := history[len(history)-1]
		s.Reason, s.Changed = last.Reason, last.Time
	}
	if last := m.LastFailure(); last != nil {
		reason := strings.Replace(last.Reason, m.Address().String()+": ", "", 1) // it is that server's, and room for a reason is scarce
		s.LastFailure = &api.Failure{Time: last.Time, Reason: shortened(reason)}
	}
	if last := m.LastCheck(); last != nil {
		s.Check = &api.Check{Time: last.Began, Interval: m.CheckInterval().Seconds(), Reason: last.Reason}
	}
	return s
}

// traffic is a sum and the rates of the last seconds in the words of the API.
func traffic(sum *metrics.Sum, now metrics.Rates, series []metrics.Rates) api.Traffic {
	t := api.Traffic{
		Rate: now.Requests, ErrorRate: now.Errors, P50: millis(now.P50), P99: millis(now.P99),
		Requests: sum.Requests, Statuses: map[string]uint64{}, Causes: map[string]uint64{},
	}
	for class, n := range sum.Classes {
		if n > 0 {
			t.Statuses[className(class)] = n
		}
	}
	for _, c := range cause.All() {
		if n := sum.Causes[c]; n > 0 && c != cause.None {
			t.Causes[c.String()] = n
		}
	}
	for _, r := range series {
		t.History = append(t.History, api.Point{Rate: r.Requests, ErrorRate: r.Errors, P50: millis(r.P50), P99: millis(r.P99)})
	}
	return t
}

func className(class int) string {
	if class == 0 {
		return "none"
	}
	return strconv.Itoa(class) + "xx"
}

// absolute is a path that means the same to everybody; an empty one stays so.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil && path != "" {
		return full
	}
	return path
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
