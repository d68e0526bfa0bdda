// Package metrics counts: requests by backend, attempts by server, and how long they took. It has the cells that the request
// path adds to, and their sums.
//
// A request locks nothing, allocates nothing and waits for nobody. The cells of a backend come in as many copies as there
// are CPUs, the shards; each goroutine adds to the shard of its own number, and only who wants to know the sum reads all.
//
// It gives nothing a name and writes no text, and it knows no clock.
package metrics

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	maxShards  = 32 // with more CPUs than that, a few share a shard: each costs every backend 2.25 KiB
	classCount = 6
	causeCount = 64
)

// Shards is how many copies a new Backend has of each cell: a power of two, at most 32, and otherwise no fewer than
// GOMAXPROCS, which may change while the process runs.
func Shards() int {
	procs := min(runtime.GOMAXPROCS(0), maxShards)
	return 1 << bits.Len(uint(procs-1))
}

// Backend are the cells of one backend. They only ever grow, so they have to outlive reloads. All methods may be called
// concurrently.
//
// They take memory when the first request is counted: of 100,000 backends most are asked seldom or never.
type Backend struct {
	cells atomic.Pointer[[]backendShard] // as many as a power of two
}

// backendShard has no pointers, so the allocator puts it where a cache line starts (see server.go for when it does not).
type backendShard struct {
	classes  [classCount]atomic.Uint64
	inFlight atomic.Int64
	bytesIn  atomic.Uint64
	bytesOut atomic.Uint64
	latency  latency
	causes   [causeCount]atomic.Uint64 // but for 0, which is what all the others leave over

	_ [96]byte // fills up two cache lines, which some CPUs fetch as one, so that shards do not slow each other down
}

// NewBackend returns cells that have counted nothing.
func NewBackend() *Backend { return &Backend{} }

// Request is a request that has ended.
type Request struct {
	Status            int   // what the client was answered; 0: nothing
	Cause             uint8 // a cause.Cause; what is over 63 counts as 63
	Took              time.Duration
	BytesIn, BytesOut int64
}

// switchingProtocols is the status of a tunnel, which lasts as long as both sides like and says nothing of how long requests take.
const switchingProtocols = 101

// Observe counts a request; the time of a tunnel is left out. The shard may be any number; who calls it often keeps to one of its own.
func (b *Backend) Observe(shard uint, r Request) {
	s := b.shard(shard)
	s.classes[classOf(r.Status)].Add(1)
	if r.Cause != 0 {
		// After the class: whoever sees the cause sees the request too. Sum relies on it.
		s.causes[min(r.Cause, causeCount-1)].Add(1)
	}
	if r.Status != switchingProtocols {
		s.latency.observe(r.Took)
	}
	if r.BytesIn > 0 {
		s.bytesIn.Add(uint64(r.BytesIn))
	}
	if r.BytesOut > 0 {
		s.bytesOut.Add(uint64(r.BytesOut))
	}
}

// Start counts a request in flight. The caller has to call End with the same shard when it has ended, or a Sum taken in
// between may be off.
func (b *Backend) Start(shard uint) { b.shard(shard).inFlight.Add(1) }

// End takes back one Start.
func (b *Backend) End(shard uint) { b.shard(shard).inFlight.Add(-1) }

func (b *Backend) shard(n uint) *backendShard {
	cells := b.cells.Load()
	if cells == nil {
		cells = b.first()
	}
	return &(*cells)[n&uint(len(*cells)-1)]
}

// first makes the cells, for whoever is first.
func (b *Backend) first() *[]backendShard {
	cells := make([]backendShard, Shards())
	b.cells.CompareAndSwap(nil, &cells)
	return b.cells.Load()
}

// IsEmpty is true as long as nothing has been counted.
func (b *Backend) IsEmpty() bool { return b.cells.Load() == nil }

// classOf is the first digit of a status, and 0 if there was none. One that HTTP does not know counts as a 5xx, as RFC
// 9110 section 15 has clients treat it.
func classOf(status int) int {
	switch {
	case status == 0:
		return 0
	case status < 100 || status > 599:
		return 5
	}
	return status / 100
}

// Sum is the cells of a backend added up. A request that ends while they are added up may be in some of them already and
// not in others, but Classes and Causes both always add up to Requests.
type Sum struct {
	Requests          uint64
	Classes           [classCount]uint64 // by the first digit of the status; at 0 those without an answer
	Causes            [causeCount]uint64 // by cause.Cause; at 0 those that a server answered
	BytesIn, BytesOut uint64
	InFlight          int64
	Latency           Histogram
}

// Sum overwrites into, which is the caller's so that nothing is allocated.
func (b *Backend) Sum(into *Sum) {
	*into = Sum{}
	cells := b.cells.Load()
	if cells == nil {
		return
	}
	for i := range *cells {
		(*cells)[i].addTo(into)
	}
	caused := uint64(0)
	for _, n := range into.Causes {
		caused += n
	}
	for _, n := range into.Classes {
		into.Requests += n
	}
	into.Causes[0] = into.Requests - caused
}

// addTo reads the causes first: for each of them it then finds the request too (see Observe).
func (s *backendShard) addTo(sum *Sum) {
	for i := range s.causes {
		sum.Causes[i] += s.causes[i].Load()
	}
	for i := range s.classes {
		sum.Classes[i] += s.classes[i].Load()
	}
	sum.InFlight += s.inFlight.Load()
	sum.BytesIn += s.bytesIn.Load()
	sum.BytesOut += s.bytesOut.Load()
	s.latency.addTo(&sum.Latency)
}

// Add adds what another sum has counted.
func (s *Sum) Add(other *Sum) {
	s.Requests += other.Requests
	s.BytesIn += other.BytesIn
	s.BytesOut += other.BytesOut
	s.InFlight += other.InFlight
	for i := range s.Classes {
		s.Classes[i] += other.Classes[i]
	}
	for i := range s.Causes {
		s.Causes[i] += other.Causes[i]
	}
	s.Latency.add(&other.Latency)
}

// Errors is how many were answered with a 5xx, by a server or by l7. Those without an answer are not among them: it is
// mostly the client that has gone.
func (s *Sum) Errors() uint64 { return s.Classes[5] }

// Sample is what a Window keeps of the sum. It points into the sum, so it is good until the sum is written again.
func (s *Sum) Sample() Sample {
	return Sample{Requests: s.Requests, Errors: s.Errors(), Latency: &s.Latency}
}
