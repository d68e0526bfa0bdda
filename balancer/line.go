package balancer

import "time"

// step is how far a request moves a server of weight 1 back in line.
const step = 1 << 16

// charge moves a server back in line, the less the more weight it has, so that in the end each has had its share. The line moves on
// with who is asked: a server that was away joins at its head and not where it left, or it would be flooded
// (start-time fair queueing).
func (b *Backend) charge(m *Member, at time.Duration) {
	line := m.group.line.Load()
	start := max(m.line.Load(), line)
	m.line.Store(start + uint64(step/m.weight(at)))
	if start > line {
		m.group.line.CompareAndSwap(line, start)
	}
}

// ahead is how far the server is behind the head of the line.
func (m *Member) ahead() uint64 {
	line, place := m.group.line.Load(), m.line.Load()
	if place <= line {
		return 0
	}
	return place - line
}
