package ratelimit

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func BenchmarkTake(b *testing.B) {
	f := func(name string, keys uint64) {
		l := New(1, time.Hour, 1000)
		for key := range keys {
			l.Take(key, 0)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for n := uint64(0); b.Loop(); n++ {
				l.Take(n*7919%keys, time.Second)
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for n := rand.Uint64N(keys); pb.Next(); n++ {
					l.Take(n*7919%keys, time.Second)
				}
			})
		})
	}
	f("one_key", 1)
	f("million_keys", million)
}

// BenchmarkTakeNew is the worst case: each request comes from a key never seen, and the table is full of live ones.
func BenchmarkTakeNew(b *testing.B) {
	l := New(1, time.Hour, 1000)
	key := uint64(4 * million)
	for key := range key {
		l.Take(key, 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		key++
		l.Take(key, time.Second)
	}
}

func BenchmarkAddrKey(b *testing.B) {
	l := New(1, time.Hour, 1)
	addr := netip.MustParseAddr("2001:db8::1")
	b.ReportAllocs()
	for b.Loop() {
		l.AddrKey(addr)
	}
}
