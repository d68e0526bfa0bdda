package balancer

import "time"

// first picks the first server in the order of the config that is available.
type first struct{ group *group }

func (p first) pick(r *Request, at time.Duration) *Member {
	for _, m := range p.group.members {
		if r.may(m, at) {
			return m
		}
	}
	return nil
}
