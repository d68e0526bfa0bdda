package app

import (
	"sync"
	"time"

	"l7/admin/api"
)

// keptEvents is how many of the last events are kept for who asks later, followBuffer how many a follower may be behind.
const (
	keptEvents   = 256
	followBuffer = 64
)

// events are what somebody at night wants to know of. All methods may be called concurrently.
type events struct {
	mu        sync.Mutex // guards all below
	count     uint64
	last      []api.Event
	followers map[chan api.Event]struct{}
}

// add tells everybody who follows. A follower that is too far behind misses the event rather than holding up who tells of it.
func (e *events) add(event api.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count++
	event.ID = e.count
	if event.Time.IsZero() {
		event.Time = time.Now()
	}
	if len(e.last) == keptEvents {
		copy(e.last, e.last[1:])
		e.last = e.last[:keptEvents-1]
	}
	e.last = append(e.last, event)
	for follower := range e.followers {
		select {
		case follower <- event:
		default:
		}
	}
}

// all are the last events, the oldest first.
func (e *events) all() []api.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]api.Event{}, e.last...)
}

// follow delivers what happens from now on, until stop is called.
func (e *events) follow() (events <-chan api.Event, stop func()) {
	follower := make(chan api.Event, followBuffer)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.followers == nil {
		e.followers = map[chan api.Event]struct{}{}
	}
	e.followers[follower] = struct{}{}
	return follower, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.followers, follower)
	}
}
