package balancer

import "time"

// alike is the factor within which latencies are the same: less is the whim of a busy moment, which the requests in flight tell of too.
const alike = 4

// leastTime picks the server that promises the earliest answer: its latency times the requests that are before this one.
// Those that are alike within a factor of four share as least loaded does.
type leastTime struct{ group *group }

func (p leastTime) pick(r *Request, at time.Duration) *Member {
	best := time.Duration(-1)
	for _, m := range p.group.members {
		if r.may(m, at) {
			if l := m.pace(at); best < 0 || l < best {
				best = l
			}
		}
	}
	return p.group.least(r, at, func(m *Member, at time.Duration) float64 {
		slower := 1.0
		if pace := m.pace(at); pace > alike*best {
			slower = float64(pace) / float64(best)
		}
		// Less the request itself, or of servers that have none in flight the heaviest would get all.
		return (float64(m.PendingInFlight()+1)*slower - 1) / m.weight(at)
	})
}

// pace is the latency as far as it matters.
func (m *Member) pace(at time.Duration) time.Duration { return max(m.latency.now(at), noise) }
