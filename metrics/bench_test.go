package metrics

import (
	"sync/atomic"
	"testing"
	"time"
)

// parallel hands each goroutine its number.
func parallel(b *testing.B, name string, observe func(worker uint, took time.Duration)) {
	b.Run(name, func(b *testing.B) {
		var workers atomic.Uint32
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			worker := uint(workers.Add(1))
			for took := time.Duration(worker); pb.Next(); took += 7919 {
				observe(worker, took)
			}
		})
	})
}

func BenchmarkObserve(b *testing.B) {
	request := func(took time.Duration) Request {
		return Request{Status: 200, Took: took % (8 * time.Millisecond), BytesIn: 100, BytesOut: 1000}
	}
	cells := NewBackend()
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for took := time.Duration(0); b.Loop(); took += 7919 {
			cells.Observe(0, request(took))
		}
	})
	parallel(b, "different_shards", func(worker uint, took time.Duration) { cells.Observe(worker, request(took)) })
	parallel(b, "same_shard", func(_ uint, took time.Duration) { cells.Observe(0, request(took)) })
	parallel(b, "in_flight_too", func(worker uint, took time.Duration) {
		cells.Start(worker)
		cells.Observe(worker, request(took))
		cells.End(worker)
	})
}

func BenchmarkServerObserve(b *testing.B) {
	cells := new(Server)
	parallel(b, "different_shards", func(worker uint, took time.Duration) {
		cells.Observe(worker, 200, false, took%(8*time.Millisecond))
	})
	parallel(b, "same_shard", func(_ uint, took time.Duration) {
		cells.Observe(0, 200, false, took%(8*time.Millisecond))
	})
}

func BenchmarkSum(b *testing.B) {
	f := func(name string, shards int) {
		cells := sharded(shards)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var sum Sum
			for b.Loop() {
				cells.Sum(&sum)
			}
		})
	}
	f("2_shards", 2)
	f("32_shards", 32)
}

func BenchmarkWindow(b *testing.B) {
	w, h := NewWindow(301, 12), histogram(edges()...)
	now := time.Now()
	b.Run("Add", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Second)
			w.Add(now, Sample{Latency: h})
		}
	})
	b.Run("Over", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.Over(10 * time.Second)
		}
	})
}
