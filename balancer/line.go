package balancer

import "time"

// step is how far a request moves a server of weight 1 back in line.
const step = 1 << 16

// memory is how far back a server may have fallen behind the others and still get what it has missed.
const memory = 32 * step

// charge moves a server back in line, the less the more weight it has, so that in the end each has had its share (start-time fair
// queueing). Who has missed some while others were less loaded gets it later. Who was away joins level with the others and is owed
// nothing, or it would be flooded.
func (b *Backend) charge(m *Member, at time.Duration) {
	if len(m.group.members) == 1 {
		return // there is no line
	}
	front := m.group.line.Load()
	returned := m.returned.Load() && m.returned.CompareAndSwap(true, false)
	far := uint64(step / m.weight(at))
	for {
		place := m.line.Load()
		start := place
		if returned || place+memory < front {
			start = max(place, front)
		}
		if !m.line.CompareAndSwap(place, start+far) {
			continue
		}
		if start > front {
			m.group.line.CompareAndSwap(front, start)
		}
		return
	}
}

// behind is how far the server is behind the first that still counts.
func (m *Member) behind() uint64 {
	front, place := m.group.line.Load(), m.line.Load()
	if m.returned.Load() {
		place = max(place, front)
	}
	return place - min(max(front, memory)-memory, place)
}
