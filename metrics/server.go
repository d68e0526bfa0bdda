package metrics

import (
	"sync/atomic"
	"time"
)

// serverShards is fixed and small, since there may be 10,000 servers: two copies are 3.4 KiB for each, and 33 MiB for all.
// More would be for nothing. The more servers there are, the fewer CPUs meet at one, and every attempt writes to its
// server's count of requests in flight anyway, of which there is one for all CPUs.
const serverShards = 2

// Server are the cells of one server in one backend. The zero value has counted nothing. All methods may be called
// concurrently.
// They take memory when the first attempt is counted: the servers of 100,000 backends are mostly idle.
type Server struct {
	cells atomic.Pointer[[serverShards]serverShard]
}

// first makes the cells, for whoever is first.
func (s *Server) first() *[serverShards]serverShard {
	s.cells.CompareAndSwap(nil, new([serverShards]serverShard))
	return s.cells.Load()
}

// IsEmpty is true as long as nothing has been counted.
func (s *Server) IsEmpty() bool { return s.cells.Load() == nil }

// serverShard starts with what is written most and ends with the longest latencies, which are written least.
type serverShard struct {
	answered [classCount]atomic.Uint64
	failed   [classCount]atomic.Uint64
	latency  latency

	_ [8]byte // fills up a cache line
}

// Observe counts an attempt that has ended. It has failed when it counts against the server; a status it may have all the
// same, if the response broke off after its head. Took is the time until the response's head came, and means nothing if the
// status is 0, for then no head came: a connection refused at once would make a dead server look fast.
func (s *Server) Observe(shard uint, status int, failed bool, took time.Duration) {
	all := s.cells.Load()
	if all == nil {
		all = s.first()
	}
	cells := &all[shard%serverShards]
	class := classOf(status)
	if failed {
		cells.failed[class].Add(1)
	} else {
		cells.answered[class].Add(1)
	}
	if status != 0 {
		cells.latency.observe(took)
	}
}

// ServerSum is the cells of a server added up. An attempt that ends while they are added up may be missing in Latency.
type ServerSum struct {
	// Answered and Failed are the attempts, by the first digit of the status; at 0 those without one.
	Answered, Failed [classCount]uint64
	// Latency is the time to the response's head, of the attempts that had one.
	Latency Histogram
}

// Sum overwrites into, which is the caller's so that nothing is allocated.
func (s *Server) Sum(into *ServerSum) {
	*into = ServerSum{}
	all := s.cells.Load()
	if all == nil {
		return
	}
	for i := range all {
		cells := &all[i]
		for class := range classCount {
			into.Answered[class] += cells.answered[class].Load()
			into.Failed[class] += cells.failed[class].Load()
		}
		cells.latency.addTo(&into.Latency)
	}
}

// Attempts is how many there were, answered or failed.
func (s *ServerSum) Attempts() uint64 {
	sum := uint64(0)
	for class := range classCount {
		sum += s.Answered[class] + s.Failed[class]
	}
	return sum
}

// Errors is how many attempts failed or were answered with a 5xx.
func (s *ServerSum) Errors() uint64 {
	sum := s.Answered[5]
	for _, n := range s.Failed {
		sum += n
	}
	return sum
}

// Sample is what a Window keeps of the sum. It points into the sum, so it is good until the sum is written again.
func (s *ServerSum) Sample() Sample {
	return Sample{Requests: s.Attempts(), Errors: s.Errors(), Latency: &s.Latency}
}
