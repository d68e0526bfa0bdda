package balancer

import (
	"sync"
	"sync/atomic"
	"time"
)

// budget bounds how many of the requests may be retries, so that an outage is not doubled: a share of the requests, saved up
// for some seconds, and a few a second in any case.
type budget struct {
	requests [countShards]paddedCount // all of them, without retries

	mu      sync.Mutex // guards all below; taken by retries only
	counted uint64     // requests that have been credited
	saved   float64    // retries that may be made from requests
	floor   float64    // retries that may be made in any case
	at      time.Duration
}

// countShards is how many copies of a count there are, so that requests on different CPUs seldom write to the same memory.
const countShards = 8

// paddedCount has a cache line of its own.
type paddedCount struct {
	atomic.Uint64
	_ [56]byte
}

// count counts a request.
func (b *budget) count(shard uint) { b.requests[shard%countShards].Add(1) }

// total is how many requests there were.
func (b *budget) total() (n uint64) {
	for i := range b.requests {
		n += b.requests[i].Load()
	}
	return n
}

// floorRate is how many retries a second there may be in any case, floorBurst how many of them at once.
const (
	floorRate  = 10
	floorBurst = 10
)

// budgetWindow is for how long the share of the requests can be saved up.
const budgetWindow = 10 * time.Second

// newBudget returns a budget for which no request has been counted yet.
func newBudget() *budget { return &budget{at: now(), floor: floorBurst} }

// take takes a retry out of the budget; share is how much of the requests may be retries. It is false when there is none left.
func (b *budget) take(at time.Duration, share float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests := b.total()
	fresh := float64(requests-b.counted) * share
	windows := float64(at-b.at) / float64(budgetWindow)
	b.saved = b.saved*max(1-windows, 0) + fresh/max(windows, 1)
	b.floor = min(b.floor+float64(at-b.at)/float64(time.Second)*floorRate, floorBurst)
	b.counted, b.at = requests, at
	switch {
	case b.saved >= 1:
		b.saved--
	case b.floor >= 1:
		b.floor--
	default:
		return false
	}
	return true
}
