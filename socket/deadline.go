package socket

import (
	"sync"
	"time"
)

// deadline keeps a connection's deadline ahead of the present without setting it for each call: a timer
// that is set costs a few hundred nanoseconds, and nearly all of them are never needed.
//
// A limit is honoured within a quarter: what is armed lies between limit and 5/4 of it away, and is renewed
// only when it has come closer than the limit. BenchmarkDeadline shows what that saves.
type deadline struct {
	at int64 // what was armed last, in nanoseconds since epoch; 0: none. It belongs to who arms

	mu  sync.Mutex // guards cut, and that what set was told last agrees with it
	cut bool       // an Interrupt is in force and outlasts what is armed
	set func(time.Time) error
}

// epoch is what the package counts time from: reading the monotonic clock alone is the cheap half of time.Now.
var epoch = time.Now()

var past = time.Unix(1, 0)

func (d *deadline) arm(limit time.Duration) {
	if limit <= 0 {
		if d.at != 0 {
			d.disarm()
		}
		return
	}
	earliest := int64(time.Since(epoch)) + int64(limit)
	if slack := d.at - earliest; slack >= 0 && slack <= int64(limit/4) {
		return
	}
	d.at = earliest + int64(limit/4)
	d.put(epoch.Add(time.Duration(d.at)))
}

func (d *deadline) disarm() {
	d.at = 0
	d.put(time.Time{})
}

// put leaves an Interrupt in force.
func (d *deadline) put(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.cut {
		_ = d.set(at) // here and below: fails on a closed connection only, as the call that follows will
	}
}

func (d *deadline) interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = true
	_ = d.set(past)
}

func (d *deadline) resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		d.cut, d.at = false, 0
		_ = d.set(time.Time{})
	}
}

func (d *deadline) interrupted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cut
}
