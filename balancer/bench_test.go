package balancer

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/config"
	"l7/exchange"
)

// A pick costs no memory. random_two and consistent_hash cost the same however many servers there are; the others look at each.
func BenchmarkPick(b *testing.B) {
	for _, policy := range policyNames {
		for _, n := range []int{3, 100, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				backend, r := picking(b, policy, n), NewRequest(exchange.New())
				backend.pick(r, now()) // the first one makes the lists of fasthttp.LBClient
				b.ReportAllocs()
				for b.Loop() {
					at := now()
					r.Key++
					backend.charge(backend.pick(r, at), at)
				}
			})
		}
	}
}

// BenchmarkPickParallel has all goroutines pick from the same servers.
func BenchmarkPickParallel(b *testing.B) {
	for _, policy := range policyNames {
		b.Run(policy, func(b *testing.B) {
			backend := picking(b, policy, 100)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for r := NewRequest(exchange.New()); pb.Next(); {
					at := now()
					r.Key++
					backend.charge(backend.pick(r, at), at)
				}
			})
		})
	}
}

func TestAPickAllocatesNothing(t *testing.T) {
	for _, policy := range policyNames {
		b, r := picking(t, policy, 100), NewRequest(exchange.New())
		require.Zero(t, testing.AllocsPerRun(100, func() {
			at := now()
			r.Key++
			b.charge(b.pick(r, at), at)
		}), policy)
	}
}

// BenchmarkWait is the way through an empty queue to a place that is free.
func BenchmarkWait(b *testing.B) {
	backend, r := picking(b, "first", 3), NewRequest(exchange.New())
	backend.shared.queue.configure(config.Queue{Length: 10, Timeout: time.Second})
	b.ReportAllocs()
	for b.Loop() {
		r.at, r.patience = now(), 0
		if m, failure := backend.wait(r); m == nil {
			b.Fatal(failure)
		}
	}
}
