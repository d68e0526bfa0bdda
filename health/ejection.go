package health

import (
	"sync"
	"sync/atomic"
	"time"
)

// Ejection counts failures in a row and keeps out for a time who fails too often. The zero value is in. All methods may
// be called concurrently. Times are monotonic, since the start of the process, and above zero.
//
// Of a request that ends while Probing it cannot tell whether it is the probe. Whoever has claimed reports in any case;
// everybody else asks State first and reports only while it is In.
type Ejection struct {
	// until is all that State needs: zero when in, the time when it is over when out, and the same below zero while a
	// probe is finding out. It is written under mu.
	until atomic.Int64
	// failures in a row. It is above zero whenever until is not zero, so that Succeeded has to look at nothing else. It is
	// written under mu.
	failures atomic.Int64

	mu      sync.Mutex    // guards all below
	last    time.Duration // how long the last ejection was meant to be; zero: there was none
	in      time.Duration // when the last ejection ended
	failure time.Duration // when the last failure was counted
}

// Thresholds are the backend's.
type Thresholds struct {
	After int           // how many failures in a row eject; 0: nobody is ejected
	Time  time.Duration // how long the first ejection lasts
	Max   time.Duration // how long one lasts at most; less than Time means Time
}

// State says whether there is an ejection, and what may be done about it.
type State uint8

// The states of an Ejection.
const (
	In      State = iota // it is not ejected
	Out                  // it is ejected, and its time is not over
	Due                  // its time is over: one request may find out whether it is well
	Probing              // one request is finding out
)

// State is one atomic load.
func (e *Ejection) State(now time.Duration) State {
	switch until := time.Duration(e.until.Load()); {
	case until == 0:
		return In
	case until < 0:
		return Probing
	case now < until:
		return Out
	}
	return Due
}

// Claim is true for exactly one caller while Due. That one is the probe, and has to call Succeeded, Failed or Unclaim.
func (e *Ejection) Claim(now time.Duration) bool {
	return e.State(now) == Due && e.claim(func(until time.Duration) bool { return now >= until })
}

// ClaimEarly is Claim that does not wait for the time to be over when the last failure is some time ago: for when nobody
// else is available.
func (e *Ejection) ClaimEarly(now, after time.Duration) bool {
	return e.claim(func(until time.Duration) bool { return now >= until || now-e.failure >= after })
}

// Early is true when ClaimEarly would be, and when there is nothing to claim.
func (e *Ejection) Early(now, after time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	until := time.Duration(e.until.Load())
	return until >= 0 && (now >= until || now-e.failure >= after)
}

// claim makes the caller the probe, if there is none and ready agrees. Ready is asked with e.mu held.
func (e *Ejection) claim(ready func(until time.Duration) bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	until := e.until.Load()
	if until <= 0 || !ready(time.Duration(until)) {
		return false
	}
	e.until.Store(-until)
	return true
}

// Unclaim ends a probe that has found out nothing, as when its client has gone. All is as before the claim.
func (e *Ejection) Unclaim() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if until := e.until.Load(); until < 0 {
		e.until.Store(-until)
	}
}

// Succeeded counts a success, and is true when that ended an ejection. Only the success of a probe does: one that comes
// while Out or Due is of a request from before, and old news. It is one atomic load when nothing has failed.
func (e *Ejection) Succeeded(now time.Duration) (back bool) {
	if e.failures.Load() == 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	until := e.until.Load()
	if until > 0 {
		return false
	}
	e.readmit(now)
	return until < 0
}

// Failed counts a failure. When that ejects, it returns for how long. A failure while Out or Due is of a request from
// before and changes nothing.
//
// Allowed, which may be nil, has the last word on an ejection, but not on that of a failed probe: who is out stays out.
// It is called without a lock, so that two servers that fail at the same moment may both be allowed. Whoever counts how
// many are out has to call Failed under a lock of its own.
func (e *Ejection) Failed(now time.Duration, t Thresholds, allowed func() bool) (out time.Duration) {
	if !e.count(now) {
		return 0
	}
	probe := e.until.Load() < 0
	if !probe && (!e.tooMany(t) || (allowed != nil && !allowed())) {
		return 0
	}
	return e.eject(now, t)
}

// count counts a failure, unless it is of a request from before the ejection.
func (e *Ejection) count(now time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until.Load() > 0 {
		return false
	}
	e.failures.Add(1)
	e.failure = max(e.failure, now)
	return true
}

func (e *Ejection) tooMany(t Thresholds) bool {
	return t.After > 0 && t.Time > 0 && e.failures.Load() >= int64(t.After)
}

// eject looks again, since others may have ejected or succeeded while nothing was locked.
func (e *Ejection) eject(now time.Duration, t Thresholds) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	until := e.until.Load()
	switch {
	case until > 0 || until == 0 && !e.tooMany(t):
		return 0
	case t.After <= 0 || t.Time <= 0: // a probe failed, and since it was ejected a reload has turned ejection off
		e.readmit(now)
		return 0
	}
	// While it was probed it was not in, so a failed probe always goes on doubling.
	goesOn := until < 0 || now-e.in <= e.last
	e.last = t.next(e.last, goesOn)
	e.until.Store(int64(now + e.last))
	return e.last
}

// next is how long an ejection lasts that comes after another one. There is none before the first, which last tells.
func (t Thresholds) next(last time.Duration, goesOn bool) time.Duration {
	longest := max(t.Time, t.Max)
	switch {
	case last == 0 || !goesOn:
		return t.Time
	case last > longest/2: // twice as long could be more than a Duration holds
		return longest
	}
	return max(2*last, t.Time) // a reload may have set a longer one
}

// Readmit ends the ejection, because an active check found the server well, and is true when there was one. The doubling
// goes on as if all of its time had been served: checks that pass while requests fail must not keep ejections short.
func (e *Ejection) Readmit() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	until := e.until.Load()
	if until == 0 {
		return false
	}
	e.readmit(time.Duration(max(until, -until)))
	return true
}

// readmit starts over. e.mu is held.
func (e *Ejection) readmit(now time.Duration) {
	if e.until.Swap(0) != 0 {
		e.in = now
	}
	e.failures.Store(0)
}

// Until is when its time is over or was, also while Probing; 0 when in.
func (e *Ejection) Until() time.Duration {
	until := e.until.Load()
	return time.Duration(max(until, -until))
}

// Failures is how many were counted in a row.
func (e *Ejection) Failures() int { return int(e.failures.Load()) }
