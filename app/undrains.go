package app

import (
	"sync"
	"time"

	"l7/admin"
	"l7/balancer"
)

// undrains end drains that were asked for some time only. All methods may be called concurrently.
type undrains struct {
	mu     sync.Mutex // guards all below
	timers map[*balancer.Standing]undrain
	passed bool // what is drained was told to another process, and must not change before that one serves or has failed
}

// pass says whether what is drained is another process's to know now.
func (u *undrains) pass(passed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.passed = passed
}

// isPassed is true while what is drained must not change.
func (u *undrains) isPassed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.passed
}

// drain keeps work from a server, for some time where that is not 0, or lets it have some again. The error is admin.ErrUpgrading.
func (u *undrains) drain(s *balancer.Standing, after time.Duration, drained bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.passed {
		return admin.ErrUpgrading
	}
	s.Drain(drained)
	u.schedule(s, after, drained)
	return nil
}

type undrain struct {
	*time.Timer
	at time.Time
}

// set forgets what was asked for before about the server, and undrains it after some time; 0: not by itself.
func (u *undrains) set(s *balancer.Standing, after time.Duration, drained bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.schedule(s, after, drained)
}

// schedule is set. u.mu is held.
func (u *undrains) schedule(s *balancer.Standing, after time.Duration, drained bool) {
	if before, found := u.timers[s]; found {
		before.Stop()
		delete(u.timers, s)
	}
	if !drained || after <= 0 {
		return
	}
	if u.timers == nil {
		u.timers = map[*balancer.Standing]undrain{}
	}
	at := time.Now().Add(after)
	u.timers[s] = undrain{at: at, Timer: time.AfterFunc(after, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.timers[s].at == at { // nobody has asked for something else meanwhile
			delete(u.timers, s)
			s.Drain(false)
		}
	})}
}

// when a server will be undrained; zero: not by itself.
func (u *undrains) when(s *balancer.Standing) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.timers[s].at
}
