package certs

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"slices"
	"sync"
	"time"
	"weak"
)

const (
	// ticketKeys is how many keys are kept: the first makes tickets, and the others only read them.
	ticketKeys = 3
	// ticketRotation is how long a key makes tickets. So a ticket is good for one to one and a half days; a key that leaks opens what
	// was recorded of TLS 1.2 for as long.
	ticketRotation = 12 * time.Hour
)

// Tickets are the keys of session tickets. They outlive a reload, and Keys and Since hand them on at an upgrade, so that clients resume
// their sessions across both. All methods may be called concurrently.
type Tickets struct {
	mu      sync.Mutex // guards all below
	keys    [][32]byte
	since   time.Time                  // when the first of them was made
	configs []weak.Pointer[tls.Config] // that use the keys; those of before a reload go away by themselves
}

// NewTickets returns tickets with keys that another process had, of which the newest was made at a time, zero for now; or with a new one if
// there are none.
func NewTickets(keys [][32]byte, since time.Time) *Tickets {
	t := &Tickets{keys: slices.Clone(keys[:min(len(keys), ticketKeys)]), since: since}
	if now := time.Now(); since.IsZero() || since.After(now) { // a clock may have been put back
		t.since = now
	}
	if len(t.keys) == 0 {
		t.Rotate()
	}
	return t
}

// Run rotates the keys now and then until the context ends.
func (t *Tickets) Run(ctx context.Context) {
	for {
		due := time.NewTimer(time.Until(t.Since().Add(ticketRotation)))
		select {
		case <-due.C:
			t.Rotate()
		case <-ctx.Done():
			due.Stop()
			return
		}
	}
}

// Since is when the newest key was made.
func (t *Tickets) Since() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since
}

// Keys returns the keys, the newest first. They are secret.
func (t *Tickets) Keys() [][32]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.keys)
}

// Rotate makes a new key and forgets the oldest.
func (t *Tickets) Rotate() {
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = time.Now()
	t.keys = append([][32]byte{key}, t.keys[:min(len(t.keys), ticketKeys-1)]...)
	t.configs = slices.DeleteFunc(t.configs, func(p weak.Pointer[tls.Config]) bool { return p.Value() == nil })
	for _, pointer := range t.configs {
		if config := pointer.Value(); config != nil {
			config.SetSessionTicketKeys(t.keys)
		}
	}
}

// attach has a config use the keys, for as long as somebody else holds it.
func (t *Tickets) attach(config *tls.Config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	config.SetSessionTicketKeys(t.keys)
	t.configs = append(t.configs, weak.Make(config))
}
