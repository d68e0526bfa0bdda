package app

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"l7/admin/api"
)

// keptEvents is how many of the last events are kept for who asks later, followBuffer how many a follower may be behind. longestReason is how many
// bytes of a reason are kept: that of a reload may name thousands of servers, which the log has.
const (
	keptEvents    = 256
	followBuffer  = 64
	longestReason = 4 << 10
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
	event.Reason = shortened(event.Reason)
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

// shortened cuts a reason, and says so.
func shortened(reason string) string {
	if len(reason) <= longestReason {
		return reason
	}
	kept := strings.ToValidUTF8(reason[:longestReason], "") // a character may have been cut
	return fmt.Sprintf("%s... (and %d bytes more)", kept, len(reason)-len(kept))
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
