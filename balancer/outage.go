package balancer

import (
	"time"

	"l7/config"
)

// outage is told of once when it begins and once when it is over: a request has found no server up, and one that answers is. A server that is
// full is up. Until a request comes nobody misses anything.

// wentDown is called by a request that has found no server up.
func (b *Backend) wentDown() {
	if b.shared.down.Load() || !b.shared.down.CompareAndSwap(false, true) {
		return
	}
	reason := "no server is available; requests are answered 503 (all_down: fail)"
	if b.serveDown {
		reason = "no server is available; all are tried in spite of it (all_down: serve)"
	}
	b.registry.observe(Change{Time: time.Now(), Backend: b.name, State: "down", Reason: reason})
}

// cameUp is called after an answer, while the backend is down.
func (b *Backend) cameUp(address config.Address, at time.Duration) {
	if b.desperate(at) || !b.shared.down.CompareAndSwap(true, false) {
		return
	}
	b.registry.observe(Change{Time: time.Now(), Backend: b.name, State: "up", Reason: address.String() + " answers"})
}

// IsDown is true while no server is up and a request has found that out.
func (b *Backend) IsDown() bool { return b.shared.down.Load() && b.desperate(now()) }
