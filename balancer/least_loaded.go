package balancer

import (
	"time"

	"github.com/valyala/fasthttp"
)

// leastLoaded picks the server with the fewest requests in flight for its weight, and among equals the one that is first in line.
// The first pick is fasthttp.LBClient's; it knows nothing of servers that a request has tried, so that the others are our own.
type leastLoaded struct {
	group *group
	lb    *fasthttp.LBClient
}

func newLeastLoaded(g *group) policy {
	lb := &fasthttp.LBClient{
		// The library's penalty for a failed request is a load that nothing caused; health is not load.
		HealthCheck: func(*fasthttp.Request, *fasthttp.Response, error) bool { return true },
	}
	for _, m := range g.members {
		lb.Clients = append(lb.Clients, m)
	}
	return leastLoaded{g, lb}
}

func (p leastLoaded) pick(r *Request, at time.Duration) *Member {
	if len(r.tried) == 0 {
		_ = p.lb.DoDeadline(&r.carrier, nil, time.Time{}) // a Member's never fails
		if r.picked.available(at) {
			return r.picked
		}
		// None was, or it has gone since it was looked at, and another one is left.
	}
	return p.group.least(r, at, (*Member).load)
}
