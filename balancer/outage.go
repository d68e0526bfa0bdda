package balancer

import (
	"fmt"
	"slices"
	"time"

	"l7/config"
	"l7/health"
)

// outage is told of once when it begins and once when it is over: a request has found no server up, and one that answers is. A server that is
// full is up. Until a request comes nobody misses anything, so it is not told of; who asks sees it all the same.

// wentDown is called by a request that has found no server up.
func (b *Backend) wentDown() {
	if b.shared.down.Load() || !b.shared.down.CompareAndSwap(false, true) {
		return
	}
	b.registry.observe(Change{Time: time.Now(), Backend: b.name, State: "down", Reason: b.WhyDown()})
}

// WhyDown says what an outage is of, and what becomes of requests meanwhile.
func (b *Backend) WhyDown() string {
	switch {
	case len(b.members) == 0 && b.options.Unresolved != nil:
		return fmt.Sprintf("cannot resolve %v; requests are answered 503", b.options.Unresolved)
	case len(b.members) == 0:
		return "it has no servers; requests are answered 503"
	case b.serveDown:
		return "no server is available; all are tried in spite of it (all_down: serve)"
	}
	return "no server is available; requests are answered 503 (all_down: fail)"
}

// cameUp is called after an answer, while the backend is down.
func (b *Backend) cameUp(address config.Address, at time.Duration) {
	if b.desperate(at) || !b.shared.down.CompareAndSwap(true, false) {
		return
	}
	b.registry.observe(Change{Time: time.Now(), Backend: b.name, State: "up", Reason: address.String() + " answers"})
}

// IsDown is true while no server would be given a request, whether one has come or not. An outage that was told of lasts until a server is up by
// more than the end of its ejection, which is the time to try it; so does one of all_down: serve, which has servers tried that are out.
func (b *Backend) IsDown() bool {
	at, told := now(), b.shared.down.Load()
	return !slices.ContainsFunc(b.members, func(m *Member) bool { return m.serves(at, told) })
}

// serves is true for a server that would be given a request; while there is an outage, for one that ends it.
func (m *Member) serves(at time.Duration, outage bool) bool {
	tried := m.backend.serveDown && !outage
	in := m.eject.State(at) == health.In && m.connect.State(at) == health.In
	switch m.State(at) {
	case Available, Full:
		return in || !outage
	case Unchecked:
		return in && m.mayAnswer() || tried
	case Unhealthy, Ejected:
		return tried
	}
	return false
}
