package balancer

import (
	"cmp"
	"sync/atomic"
	"time"

	"l7/config"
	"l7/exchange"
	"l7/health"
	"l7/metrics"
)

// Server is what is known of an address by all backends that have it: its connections, requests in flight, and whether it can
// be connected to. It outlives reloads.
type Server struct {
	*exchange.Server
	connect   health.Ejection // by connects that failed
	unreached lastFailure     // of those
	latency   latency
	key       serverKey
	users     int         // members; guarded by the registry
	leaving   *time.Timer // of the grace that it has without users; nil: it has some; guarded by the registry
}

// Standing is what is known of an address in one backend. It outlives reloads.
// All methods may be called at the same time from several goroutines.
type Standing struct {
	key      standingKey
	name     string // the address as text
	registry *Registry
	eject    health.Ejection               // by requests that failed
	failure  lastFailure                   // of those
	verdict  atomic.Uint32                 // of active checks
	checked  atomic.Pointer[health.Result] // the last check; nil: there was none
	drained  atomic.Bool
	ejected  atomic.Uint64 // how often
	inFlight atomic.Int64
	counted  atomic.Int64 // of those, as group.count has counted them
	returned atomic.Bool  // it has been away, and is owed nothing; see Backend.charge
	since    atomic.Int64 // when it became available, for its slow start; 0: long ago
	history  history
	cells    metrics.Server // the attempts made at it
	users    int            // members; guarded by the registry
	leaving  *time.Timer    // of the grace that it had without users last; guarded by the registry
}

// The verdicts of active checks.
const (
	unknown uint32 = iota // it serves
	awaited               // it does not serve until it is known
	well
	unwell
)

// Drain keeps new work from the server, or lets it have some again.
func (s *Standing) Drain(drained bool) {
	if s.drained.Swap(drained) == drained {
		return
	}
	if drained {
		s.changed("draining", "asked for")
		return
	}
	s.began()
	s.changed("available", "draining is over")
}

// Address is where the server is reached.
func (s *Standing) Address() config.Address { return s.key.address }

// Name is the address as text.
func (s *Standing) Name() string { return s.name }

// InFlight is the number of the backend's requests that the server has.
func (s *Standing) InFlight() int { return int(s.inFlight.Load()) }

// Cells count the attempts made at the server for this backend.
func (s *Standing) Cells() *metrics.Server { return &s.cells }

// IsDrained is true while the server gets no new work because somebody asked for it.
func (s *Standing) IsDrained() bool { return s.drained.Load() }

// Health is what checks have found; known is false for a server that they have to come to first.
func (s *Standing) Health() (isWell, known bool) {
	verdict := s.verdict.Load()
	return verdict != unwell, verdict != awaited
}

// Believe takes over what another process has known of a server by its checks, until there is a check of our own.
func (m *Member) Believe(isWell bool) {
	switch {
	case isWell:
		m.verdict.CompareAndSwap(awaited, unknown)
	case m.backend.check.Path != "":
		_ = m.verdict.CompareAndSwap(awaited, unwell) || m.verdict.CompareAndSwap(unknown, unwell)
	}
}

// Ejections is how often the server was ejected.
func (s *Standing) Ejections() uint64 { return s.ejected.Load() }

// History are the last changes of the server's state, the oldest first.
func (s *Standing) History() []Change { return s.history.all() }

// LastCheck is what came of the last active check; nil: there was none.
func (s *Standing) LastCheck() *health.Result { return s.checked.Load() }

// Checked implements health.Reporter.
func (m *Member) Checked(r health.Result) {
	if m.isInForce() {
		m.checked.Store(&r)
	}
}

// Report implements health.Reporter.
func (m *Member) Report(v health.Verdict) {
	if m.isInForce() && m.Standing.report(v) {
		m.connect.Readmit()
	}
}

// isInForce is false for a server of a config that is not in force any more. Checks of one that have not been stopped yet are not listened to:
// nobody would take back what they say.
func (m *Member) isInForce() bool { return m.backend.latest() == m.backend }

// report is true when the server was not known to be well.
func (s *Standing) report(v health.Verdict) (recovered bool) {
	before := s.verdict.Swap(verdictOf(v))
	switch {
	case v.Healthy && before != well:
		s.eject.Readmit()
		if before == unwell || before == awaited && s.isNewcomer() {
			s.began()
		}
		if before != unknown {
			s.changed("healthy", cmp.Or(v.Reason, "its checks pass"))
		}
		return true
	case !v.Healthy && before != unwell:
		s.changed("unhealthy", v.Reason)
	}
	return false
}

func verdictOf(v health.Verdict) uint32 {
	if v.Healthy {
		return well
	}
	return unwell
}

// isNewcomer is true for a server that was not there when its backend began to serve, or has been away since.
func (s *Standing) isNewcomer() bool { return s.since.Load() != 0 }

// began has the server join the others: level with them, and slowly where that is wanted.
func (s *Standing) began() {
	s.returned.Store(true)
	s.since.Store(int64(now()))
}

func (s *Standing) changed(state, reason string) {
	if state == "ejected" {
		s.ejected.Add(1)
	}
	c := Change{Time: time.Now(), Backend: s.key.backend, Address: s.key.address, State: state, Reason: reason}
	s.history.add(c)
	s.registry.observe(c)
}

// Failure is an attempt that failed.
type Failure struct {
	Time   time.Time
	Reason string
}

// lastFailure is written when an attempt fails, and never when one does not: whether there has been an answer since is in the Ejection beside it.
type lastFailure struct{ atomic.Pointer[Failure] }

func (l *lastFailure) note(reason string) { l.Store(&Failure{Time: time.Now(), Reason: reason}) }

// LastFailure is the last attempt if it failed; nil: the server has answered since, or an active check has found it well again. That a
// connect failed is true for all backends that have the server.
func (m *Member) LastFailure() *Failure {
	unreached, failure := m.unreached.Load(), m.failure.Load()
	switch {
	case unreached != nil && m.connect.Failures() > 0:
		return unreached
	case m.eject.Failures() > 0:
		return failure
	}
	return nil
}

// Change is a change of a server's state, or with no address a backend's.
type Change struct {
	Time    time.Time
	Backend string
	Address config.Address
	State   string // healthy, unhealthy, ejected, readmitted, draining, available; of a backend down, up
	Reason  string
}

// IsBackends is true for a change that concerns all of a backend.
func (c Change) IsBackends() bool { return c.Address == config.Address{} }
