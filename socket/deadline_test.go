package socket

import (
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a deadline whose settings are looked at instead of waited for.
type recorder struct {
	deadline
	last  time.Time
	calls int
}

func newRecorder() *recorder {
	r := &recorder{}
	r.set = func(at time.Time) error {
		r.last = at
		r.calls++
		return nil
	}
	return r
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		// f arms after a while, and wants it to be set or left.
		f := func(after, limit time.Duration, wantSet bool) {
			t.Helper()
			time.Sleep(after)
			calls := r.calls
			r.arm(limit)
			if set := r.calls > calls; set != wantSet {
				t.Errorf("set: %v", set)
			}
			left := time.Until(r.last)
			if limit > 0 && (left < limit || left > limit*5/4) || limit <= 0 && !r.last.IsZero() {
				t.Errorf("%v left of limit %v", left, limit)
			}
		}
		f(0, 0, false) // there is none yet
		f(0, time.Second, true)
		f(0, time.Second, false)
		f(250*time.Millisecond, time.Second, false) // just the limit is left
		f(1, time.Second, true)
		f(100*time.Millisecond, 1100*time.Millisecond, false) // 1.15 s are left
		f(0, 900*time.Millisecond, true)                      // more than 1.125 s
		f(0, 10*time.Second, true)
		f(0, time.Millisecond, true)
		f(time.Hour, time.Millisecond, true) // passed
		f(0, 0, true)
		f(0, 0, false)
		f(0, -1, false)
		f(0, time.Second, true)
		f(0, 3, true) // too short to be divided
		f(0, 1, true)
	})
}

func TestDeadlineStaysWithinAQuarter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		random := rand.New(rand.NewPCG(1, 2))
		for range 100_000 {
			time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
			limit := time.Duration(1+random.IntN(3000)) * time.Millisecond
			r.arm(limit)
			if left := time.Until(r.last); left < limit || left > limit*5/4 {
				t.Fatalf("%v left of limit %v", left, limit)
			}
		}
	})
}

func TestDeadlineIsLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		for range 10_000 { // ten seconds, a call each millisecond
			time.Sleep(time.Millisecond)
			r.arm(time.Second)
		}
		if r.calls > 41 {
			t.Errorf("set %d times", r.calls)
		}
	})
}

func TestDeadlineInterrupted(t *testing.T) {
	r := newRecorder()
	r.arm(time.Second)
	r.interrupt()
	for _, limit := range []time.Duration{time.Second, 0, time.Hour, time.Millisecond, 0} {
		r.arm(limit)
		if !r.last.Equal(past) || !r.interrupted() {
			t.Fatalf("arming %v undid the interrupt: %v", limit, r.last)
		}
	}
	r.resume()
	if !r.last.IsZero() || r.interrupted() {
		t.Errorf("resumed to %v", r.last)
	}
	r.arm(time.Second)
	if left := time.Until(r.last); left <= 0 {
		t.Errorf("%v are left", left)
	}
}

// Interrupt and Resume at the same moment left a connection that was interrupted and yet waited for ever, or one
// that was not and failed for ever.
func TestDeadlineInterruptedAndResumed(t *testing.T) {
	r := newRecorder()
	set := r.set
	r.set = func(at time.Time) error {
		runtime.Gosched() // a moment is made longer
		return set(at)
	}
	for range 20_000 {
		wait := background(r.interrupt)
		r.resume()
		wait()
		if r.last.Equal(past) != r.interrupted() {
			t.Fatalf("interrupted %v, and the deadline is %v", r.interrupted(), r.last)
		}
		r.resume()
	}
}

// What all of it comes to, at a connection.
func TestLimitIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := New(near)
		p := make([]byte, 8)
		for i := range 1000 {
			limit := time.Duration(1+i%7) * time.Second
			wait := background(func() { time.Sleep(limit - 1); send(t, far, "x") })
			if _, err := c.Read(p, limit); err != nil {
				t.Fatalf("gave up before the limit of %v: %v", limit, err)
			}
			wait()
			from := time.Now()
			_, err := c.Read(p, limit)
			timedOut(t, err)
			if took := time.Since(from); took < limit || took > limit*5/4 {
				t.Fatalf("gave up after %v of %v", took, limit)
			}
		}
	})
}
