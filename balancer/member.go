package balancer

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"l7/cause"
	"l7/config"
	"l7/exchange"
	"l7/health"
)

// Member is a server in a backend as one config has it. It is immutable but for its place in line; what is known of the
// server is in its Standing.
type Member struct {
	*Standing
	*Server
	backend *Backend
	config  config.Server
	group   *group
	line    atomic.Uint64 // its place in line, see Backend.charge
	stick   string        // the value of the sticky cookie that leads to it
	id      uint64        // the same wherever the address is in a backend of this name
}

// State is why a server would get a request or would not.
type State string

// The states. All but the first keep new work away.
const (
	Available  State = "available"
	Weightless State = "weight 0"
	Draining   State = "draining"
	Unchecked  State = "not checked yet"
	Unhealthy  State = "unhealthy"
	Ejected    State = "ejected"
	Full       State = "full"
)

// State is the server's state at a time.
func (m *Member) State(at time.Duration) State {
	switch verdict := m.verdict.Load(); {
	case m.config.Weight == 0:
		return Weightless
	case m.drained.Load():
		return Draining
	case verdict == awaited:
		return Unchecked
	case verdict == unwell:
		return Unhealthy
	case isOut(&m.eject, at), isOut(&m.connect, at):
		return Ejected
	case m.isCapped() && m.isFull():
		return Full
	}
	return Available
}

// isCapped is asked before isFull because it costs no call: a pick asks it of each member.
func (m *Member) isCapped() bool { return m.config.MaxInFlight > 0 || m.config.MaxConnections > 0 }

// isFull is true when it has no place for one more request. A server without a free connection has none either, or who waits for it would
// pick it again and again.
func (m *Member) isFull() bool {
	return m.config.MaxInFlight > 0 && m.inFlight.Load() >= int64(m.config.MaxInFlight) ||
		m.config.MaxConnections > 0 && m.Idle() == 0 && m.Connections() >= m.config.MaxConnections
}

func (m *Member) available(at time.Duration) bool { return m.State(at) == Available }

// isUp is true for a server that serves, be it full.
func (m *Member) isUp(at time.Duration) bool {
	s := m.State(at)
	return s == Available || s == Full
}

func isOut(e *health.Ejection, at time.Duration) bool {
	s := e.State(at)
	return s == health.Out || s == health.Probing
}

// weight is the server's share at a time: less of it while it starts slowly.
func (m *Member) weight(at time.Duration) float64 {
	weight := float64(m.config.Weight)
	since := m.since.Load()
	if m.backend.slowStart == 0 || since == 0 {
		return weight
	}
	return weight * min(max(float64(at-time.Duration(since))/float64(m.backend.slowStart), 0.01), 1)
}

// load is the requests in flight for each unit of weight.
func (m *Member) load(at time.Duration) float64 {
	return float64(m.PendingInFlight()) / m.weight(at)
}

// PendingInFlight is the number of requests that the server has from all backends.
func (m *Member) PendingInFlight() int { return m.Server.PendingRequests() }

// The score's high bits are the load, its low bits the place in line. fasthttp.LBClient takes the least one and adds to it, so
// that all stay well under the largest int.
const (
	lineBits    = 30
	loadScale   = 256
	unavailable = math.MaxInt >> 3
)

// PendingRequests implements fasthttp.BalancingClient: it is not a number of requests, but what puts the servers in the right order.
//
// It is asked for each member of the backend, and reads the clock only for those to whom time matters.
func (m *Member) PendingRequests() int {
	var at time.Duration
	if !m.isSettled() {
		at = now()
	}
	if !m.available(at) {
		return unavailable
	}
	load := min(int(m.load(at)*loadScale), 1<<(60-lineBits)-1)
	return load<<lineBits | int(min(m.behind(), 1<<lineBits-1))
}

// isSettled is true when neither the server's state nor its weight depends on the time.
func (m *Member) isSettled() bool {
	return m.eject.Until() == 0 && m.connect.Until() == 0 && (m.backend.slowStart == 0 || m.since.Load() == 0)
}

// DoDeadline implements fasthttp.BalancingClient. It takes note of the pick; the attempt is made by Backend.Do.
func (m *Member) DoDeadline(req *fasthttp.Request, _ *fasthttp.Response, _ time.Time) error {
	req.BodyStream().(carried).picked = m
	return nil
}

// errTaken is the failure of an attempt at a server that somebody else has taken the last place of, or is trying out.
var errTaken = &cause.Error{Cause: cause.Full, Unsent: true, Err: errors.New("another request was faster")}

// try is one attempt, as far as the server is judged by it.
type try struct {
	claims
	shard uint          // to count it in
	ended time.Duration // when it had ended, by Now
	took  time.Duration // until the response's head had come
}

// attempt has the server answer, and learns from how it does.
func (m *Member) attempt(r *Request) *cause.Error {
	c, ok := m.enter(r.at)
	if !ok {
		return errTaken
	}
	m.backend.shared.queue.signal() // the next one may find a place too
	m.backend.charge(m, r.at)
	r.Caps = exchange.Caps{Connections: m.config.MaxConnections, Idle: m.config.MaxIdle}
	r.Account = m
	err := m.exchange(r, c)
	r.ended = Now()
	t := try{claims: c, shard: r.Shard, ended: r.ended, took: r.ended - r.at}
	attempt := Attempt{Member: m, Took: t.took}
	if err == nil {
		attempt.Status = r.Response.Status
		r.attempts = append(r.attempts, attempt)
		m.group.observe(m, t.ended, t.took)
		m.answered(r.Response.Status, t)
		return nil
	}
	m.leave()
	failure := asFailure(err)
	m.failed(failure, t)
	if failure.Cause != cause.Full {
		attempt.Cause, attempt.Err = failure.Cause, failure.Err
		r.attempts = append(r.attempts, attempt)
	}
	return failure
}

// exchange has the server answer. A fault of ours says nothing of a server that is tried out.
func (m *Member) exchange(r *Request, c claims) error {
	ended := false
	defer func() {
		if !ended {
			m.unclaim(c)
		}
	}()
	err := m.Server.Do(r.Exchange)
	ended = true
	return err
}

func asFailure(err error) *cause.Error {
	var typed *cause.Error
	if errors.As(err, &typed) {
		return typed
	}
	return &cause.Error{Cause: cause.Internal, Err: err}
}

// claims are what an attempt finds out for all who wait for it: whether a server that was out is back.
type claims struct {
	connect, eject bool
	outage         bool // nobody else was available
}

// enter takes a place at the server, and claims to try it out if it was out. It is false when there is no place.
func (m *Member) enter(at time.Duration) (c claims, ok bool) {
	n := m.inFlight.Add(1)
	m.group.count(m, 1)
	if m.config.MaxInFlight > 0 && n > int64(m.config.MaxInFlight) {
		m.leave()
		return c, false
	}
	if m.eject.State(at) == health.In && m.connect.State(at) == health.In {
		return c, true
	}
	early := m.backend.desperate(at)
	if early {
		m.backend.wentDown()
	}
	c.outage = early
	if c.eject, ok = m.claim(&m.eject, at, early); ok {
		c.connect, ok = m.claim(&m.connect, at, early)
	}
	if ok || early && m.backend.serveDown {
		return c, true
	}
	m.unclaim(c)
	m.leave()
	return claims{}, false
}

// claim is true when the server is in by this measure, or the caller is the one to try it out.
func (m *Member) claim(e *health.Ejection, at time.Duration, early bool) (claimed, ok bool) {
	if e.State(at) == health.In {
		return false, true
	}
	claimed = e.Claim(at) || early && e.ClaimEarly(at, m.backend.eject.Time)
	return claimed, claimed
}

func (m *Member) unclaim(c claims) {
	if c.eject {
		m.eject.Unclaim()
	}
	if c.connect {
		m.connect.Unclaim()
	}
}

// leave gives the place back.
func (m *Member) leave() {
	m.inFlight.Add(-1)
	m.group.count(m, -1)
	m.backend.shared.queue.signal()
}

// Ended implements exchange.Account.
func (m *Member) Ended() { m.leave() }

// answered is told of a response. What is not claimed is reported only while the server is in: the rest is old news.
func (m *Member) answered(status int, t try) {
	back := m.connected(t)
	bad := m.backend.isBad(status)
	m.cells.Observe(t.shard, status, bad, t.took)
	if bad {
		m.count("status "+strconv.Itoa(status), t)
		return
	}
	if t.eject || m.eject.State(t.ended) == health.In {
		back = m.eject.Succeeded(t.ended) || back
	}
	if back {
		m.began()
		m.changed("readmitted", "it answered with status "+strconv.Itoa(status))
	}
	if m.backend.shared.down.Load() {
		m.backend.cameUp(m.Address(), t.ended)
	}
}

// isBad is true for a status that counts against the server.
func (b *Backend) isBad(status int) bool {
	for _, bad := range b.eject.Statuses {
		if bad.Contains(status) {
			return true
		}
	}
	return false
}

// connected is told that the server could be connected to. It is true when it could not before.
func (m *Member) connected(t try) (back bool) {
	return (t.connect || m.connect.State(t.ended) == health.In) && m.connect.Succeeded(t.ended)
}

// thresholds are the backend's for a failed attempt. While nobody is available a server is tried before its time is over, again and again:
// were each try to double the ejection, all but the first server to return would stay out long after the outage.
func (m *Member) thresholds(c claims) health.Thresholds {
	t := m.backend.thresholds()
	if c.outage {
		t.Max = t.Time
	}
	return t
}

// failed is told of an attempt without a response. What the client or we did says nothing of the server.
func (m *Member) failed(failure *cause.Error, t try) {
	switch failure.Cause {
	case cause.ConnectRefused, cause.ConnectTimeout, cause.ConnectFailed, cause.NameUnresolved, cause.BadCertificate, cause.TLSFailed:
		m.unclaim(claims{eject: t.eject})
		m.cells.Observe(t.shard, 0, true, t.took)
		m.unreached.note(failure.Error())
		if !t.connect && m.connect.State(t.ended) != health.In {
			return
		}
		if out := m.connect.Failed(t.ended, m.thresholds(t.claims), nil); out > 0 && !t.connect && m.eject.State(t.ended) == health.In { // or it was out before
			m.changed("ejected", fmt.Sprintf("for %s: %v", out, failure))
		}
	case cause.ServerClosed, cause.ServerTimeout, cause.BadResponse:
		m.cells.Observe(t.shard, 0, true, t.took)
		if m.connected(t) && !t.eject {
			m.began()
			m.changed("readmitted", "it can be connected to")
		}
		m.count(failure.Error(), t)
	default:
		m.unclaim(t.claims)
	}
}

// count counts a failure that is not one of the connect, and ejects the server when it is one too many in a row and enough others
// are left.
func (m *Member) count(reason string, t try) {
	m.failure.note(reason)
	if !t.eject && m.eject.State(t.ended) != health.In {
		return
	}
	m.backend.shared.ejecting.Lock()
	out := m.eject.Failed(t.ended, m.thresholds(t.claims), m.backend.mayEject)
	m.backend.shared.ejecting.Unlock()
	if out > 0 && !t.eject && m.connect.State(t.ended) == health.In { // or it was out before
		m.changed("ejected", fmt.Sprintf("for %s: %s", out, reason))
	}
}
