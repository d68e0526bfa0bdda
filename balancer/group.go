package balancer

import (
	"sync/atomic"
	"time"
)

// group are the members of a backend that a policy picks from: the main ones, or the backups.
type group struct {
	members  []*Member
	policy   policy
	sticky   map[string]*Member // by the cookie's value; nil: nobody sticks
	weights  int                // of all members
	isTimed  bool               // the policy goes by latencies
	inFlight *atomic.Int64      // at all servers of the backend, where the policy goes by it; nil: it does not
	line     atomic.Uint64      // the front of the line: where the last one has come who was furthest, see Backend.charge
}

// pick picks the server that the client sticks to, if it may, or by the policy. Who sticks to a backup is back at the main ones when these
// are.
func (g *group) pick(r *Request, at time.Duration) *Member {
	if m := g.sticky[string(r.Stuck)]; m != nil && r.may(m, at) {
		return m
	}
	return g.policy.pick(r, at)
}

// policy picks a server for a request: an available one that it has not tried, nil when there is none. It changes nothing but
// what belongs to the pick itself: whether the server is asked is not known yet.
type policy interface {
	pick(r *Request, at time.Duration) *Member
}

// policies are the constructors by the name in the config.
func newPolicy(name string, g *group) policy {
	switch name {
	case "round_robin":
		return roundRobin{g}
	case "random_two":
		return newRandomTwo(g)
	case "least_time":
		return leastTime{g}
	case "consistent_hash":
		return newConsistentHash(g)
	case "first":
		return first{g}
	}
	return newLeastLoaded(g)
}

// observe is told how long a server took for the head of a response. Only what the policy goes by is kept: each is a write to memory that all
// CPUs share, and all of them together were a percent of the CPU of a small request.
func (g *group) observe(m *Member, at, took time.Duration) {
	if g.isTimed {
		m.latency.observe(at, took)
	}
}

// count counts requests in flight at a server, where the policy goes by them.
func (g *group) count(m *Member, n int64) {
	if g.inFlight != nil {
		g.inFlight.Add(n)
		m.counted.Add(n)
	}
}

// may is true when a request can be given to the member.
func (r *Request) may(m *Member, at time.Duration) bool { return m.available(at) && !r.hasTried(m) }

// least is the member with the smallest cost that the request may be given to; among equals the one that is first in line.
func (g *group) least(r *Request, at time.Duration, cost func(*Member, time.Duration) float64) *Member {
	var best *Member
	var bestCost float64
	for _, m := range g.members {
		if !r.may(m, at) {
			continue
		}
		c := cost(m, at)
		if best == nil || c < bestCost || c == bestCost && m.behind() < best.behind() {
			best, bestCost = m, c
		}
	}
	return best
}
