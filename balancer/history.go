package balancer

import "sync"

// kept is how many changes of a server's state are kept.
const kept = 50

// history is a ring of the last changes.
type history struct {
	mu      sync.Mutex // guards all below
	changes []Change
	next    int // where the ring goes on once it is full
}

func (h *history) add(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.changes) < kept {
		h.changes = append(h.changes, c)
		return
	}
	h.changes[h.next] = c
	h.next = (h.next + 1) % kept
}

func (h *history) all() []Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append(append([]Change(nil), h.changes[h.next:]...), h.changes[:h.next]...)
}
