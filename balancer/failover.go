package balancer

import (
	"time"

	"l7/cause"
	"l7/health"
)

// Do has one of the servers answer the request: the one retry loop of l7. The error is a *cause.Error; after nil the exchange is the
// caller's to finish.
func (b *Backend) Do(r *Request) error {
	b.shared.budget.count(r.Shard)
	r.Keep = int(b.retry.Buffer)
	r.started = now()
	for r.at = r.started; ; r.at = now() {
		m, failure := b.choose(r)
		if failure != nil {
			return failure
		}
		b = m.backend // there may have been a reload while the request waited
		r.tried = append(r.tried, m)
		failure = m.attempt(r)
		if failure != nil && failure.Cause == cause.Full {
			r.full++ // it has had no answer and no failure, so that it is no retry
			continue
		}
		if len(r.attempts) > 1 {
			b.shared.retries.Add(1)
		}
		switch {
		case failure == nil && !b.isRefused(r):
			return nil
		case failure == nil:
			r.Discard()
		case !b.again(r, failure):
			return failure
		}
	}
}

// isRefused is true for a response that another server should give instead: its status calls for it, and there is one, with a place that
// nobody waits for. A bad answer is better than none.
func (b *Backend) isRefused(r *Request) bool {
	for _, on := range b.retry.On {
		if on.Contains(r.Response.Status) {
			at := now()
			return r.Repeatable && b.hasRetry(r) && b.shared.queue.isEmpty() && b.pick(r, at) != nil && b.withinBudget(at)
		}
	}
	return false
}

// choose finds the server for the next attempt, and how long it may take. Without one it says why: with the failure of the last attempt
// where there was one.
func (b *Backend) choose(r *Request) (m *Member, failure *cause.Error) {
	if b.isLate(r) {
		return nil, b.lastFailure(r, &cause.Error{Cause: cause.ServerTimeout, Unsent: !r.Wrote()})
	}
	if b.shared.queue.isOpen() {
		m = b.pick(r, r.at)
	}
	switch {
	case m == nil:
		m, failure = b.wait(r)
	case b.serveDown && !m.isUp(r.at):
		b.wentDown()
	}
	if b.options.Request > 0 {
		left := max(b.options.Request-(r.at-r.started), time.Millisecond)
		r.Timeouts.Connect, r.Timeouts.ResponseHeader = least(r.Timeouts.Connect, left), least(r.Timeouts.ResponseHeader, left)
	}
	return m, failure
}

// isLate is true when the time for all attempts together is over.
func (b *Backend) isLate(r *Request) bool {
	return b.options.Request > 0 && r.at-r.started >= b.options.Request
}

// least is the smaller of two bounds, of which zero is none.
func least(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// pick picks a server: one of the main ones, a backup, and at last one that is out.
func (b *Backend) pick(r *Request, at time.Duration) *Member {
	if m := b.main.pick(r, at); m != nil {
		return m
	}
	if m := b.backup.pick(r, at); m != nil {
		return m
	}
	return b.lastResort(r, at)
}

// lastResort is a server that is out, when none is up.
func (b *Backend) lastResort(r *Request, at time.Duration) *Member {
	if !b.desperate(at) {
		return nil // those that are up are full, or have been tried
	}
	for _, m := range b.members {
		if !r.hasTried(m) && !m.isFull() && m.mayServe(at) {
			return m
		}
	}
	return nil
}

// mayServe is true for a server that is out and may be asked while none is up: a newcomer that has not been checked yet; one that only failed
// requests keep out, for longer than the shortest ejection, for one request to find out whether it is back; and with all_down: serve any one.
func (m *Member) mayServe(at time.Duration) bool {
	switch m.State(at) {
	case Unhealthy, Unchecked, Ejected:
		return m.backend.serveDown || m.mayAnswer() && m.eject.Early(at, m.backend.eject.Time) && m.connect.Early(at, m.backend.eject.Time)
	}
	return false
}

// mayAnswer is false for a server that a check has found unwell, or that must have passed one. A newcomer need not: when a reload replaces
// all servers of a backend, nobody else is left to ask.
func (m *Member) mayAnswer() bool {
	switch m.verdict.Load() {
	case unwell:
		return false
	case awaited:
		return !m.backend.check.Required
	}
	return true
}

// again is true when a request that failed may be tried at another server: it has been sent nowhere, or it may be sent twice. What was
// sent nowhere takes nothing out of the budget: it is no server's work yet, and nothing is doubled.
func (b *Backend) again(r *Request, failure *cause.Error) bool {
	switch {
	case !isServers(failure.Cause) || !b.hasRetry(r):
		return false
	case failure.Unsent:
		return true
	}
	return r.Repeatable && b.withinBudget(now())
}

// hasRetry is true when the request is still whole, the client knows of nothing yet, and it may be tried once more.
func (b *Backend) hasRetry(r *Request) bool {
	return len(r.attempts) <= b.retry.Retries && r.Replayable()
}

func (b *Backend) withinBudget(at time.Duration) bool {
	ok := b.shared.budget.take(at, float64(b.retry.Budget)/100)
	if !ok {
		b.shared.unaffordable.Add(1)
	}
	return ok
}

// Counts are what the backend's requests came to since it is in the config.
type Counts struct {
	Requests     uint64
	Retries      uint64 // attempts beside the first of each request
	Unaffordable uint64 // retries that were not made because the budget was used up
}

// Counts returns them as they are now.
func (b *Backend) Counts() Counts {
	s := b.shared
	return Counts{s.budget.total(), s.retries.Load(), s.unaffordable.Load()}
}

// isServers is true for the failures of a server; nobody else's get better elsewhere.
func isServers(c cause.Cause) bool {
	switch c {
	case cause.ConnectRefused, cause.ConnectTimeout, cause.ConnectFailed, cause.NameUnresolved,
		cause.BadCertificate, cause.TLSFailed, cause.ServerClosed, cause.ServerTimeout, cause.BadResponse:
		return true
	}
	return false
}

// refusal is why the request can be given to no server, with the time after which it is worth another try.
func (b *Backend) refusal(r *Request, at time.Duration) *cause.Error {
	switch {
	case len(b.members) > 0:
	case b.options.Unresolved != nil:
		return &cause.Error{Cause: cause.NameUnresolved, Unsent: true, Err: b.options.Unresolved}
	default:
		return &cause.Error{Cause: cause.NoServer, Unsent: true}
	}
	soonest, desperate := time.Duration(0), b.desperate(at)
	for _, m := range b.members {
		if !r.hasTried(m) && (m.isUp(at) || desperate && m.mayServe(at)) { // it is full, or was a moment ago
			return &cause.Error{Cause: cause.Full, Unsent: true, RetryAfter: b.shared.queue.estimate(at)}
		}
		if until := max(m.eject.Until(), m.connect.Until()); until > at && (soonest == 0 || until-at < soonest) {
			soonest = until - at
		}
	}
	if b.check.Path != "" && (soonest == 0 || b.check.Interval < soonest) {
		soonest = b.check.Interval
	}
	return &cause.Error{Cause: cause.Unavailable, Unsent: true, RetryAfter: min(soonest, b.eject.Time)}
}

// lastFailure is the failure of the last attempt, where there was one that says more than ours.
func (b *Backend) lastFailure(r *Request, ours *cause.Error) *cause.Error {
	for i := len(r.attempts) - 1; i >= 0; i-- {
		if try := r.attempts[i]; isServers(try.Cause) {
			return &cause.Error{Cause: try.Cause, Unsent: !r.Wrote(), Err: try.Err}
		}
	}
	return ours
}

// Candidate is a server as a request would find it.
type Candidate struct {
	Member   *Member
	State    State
	Weight   int
	InFlight int
	Backup   bool
	Reason   string // why it is where it is, or why it is passed over
	Passed   bool   // over: it would not be tried
}

// Candidates are the servers in the order in which they would be tried now, the available ones first. It picks with the same code as Do and
// changes nothing.
func (b *Backend) Candidates(r *Request) []Candidate {
	at := now()
	var list []Candidate
	add := func(m *Member, reason string) {
		list = append(list, Candidate{Member: m, State: m.State(at), Weight: m.config.Weight, InFlight: int(m.inFlight.Load()), Backup: m.config.Backup, Reason: reason})
		r.tried = append(r.tried, m)
	}
	for m := b.pick(r, at); m != nil; m = b.pick(r, at) {
		switch {
		case m.stick != "" && m.stick == string(r.Stuck):
			add(m, "the client sticks to it")
		case m.config.Backup:
			add(m, "no main server is left")
		case m.available(at):
			add(m, b.why())
		default:
			add(m, "nobody else is available")
		}
	}
	for _, m := range b.members {
		if !r.hasTried(m) {
			add(m, "passed over: "+string(m.State(at)))
			list[len(list)-1].Passed = true
		}
	}
	r.tried = r.tried[:0]
	return list
}

// why says how an available server is picked.
func (b *Backend) why() string {
	if b.policy == "random_two" {
		return "picked by random_two, which draws anew each time"
	}
	return "picked by " + b.policy
}

var _ health.Reporter = (*Member)(nil)
