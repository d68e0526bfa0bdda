package balancer

import "time"

// roundRobin picks the server that is first in line: each gets its share by weight, evenly spread over time.
type roundRobin struct{ group *group }

func (p roundRobin) pick(r *Request, at time.Duration) *Member {
	return p.group.least(r, at, func(*Member, time.Duration) float64 { return 0 })
}
