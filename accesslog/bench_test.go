package accesslog

import (
	"io"
	"sync/atomic"
	"testing"
)

// BenchmarkLog shows what a request pays. A loop that does nothing but log is faster than any writer, and a dropped line is
// cheap; so the shards are emptied here, where no line is dropped, and the writer is left out.
func BenchmarkLog(b *testing.B) {
	f := func(name string, o Options) {
		b.Run(name, func(b *testing.B) {
			w := &Writer{shards: make([]shard, maxShards)}
			l := New(w, o)
			var goroutines atomic.Uint64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				n, e := uint(goroutines.Add(1)), usual()
				for i := 0; pb.Next(); i++ {
					l.Log(e, n)
					if i%64 == 0 {
						empty(w.shard(n))
					}
				}
			})
			if w.Dropped() > 0 {
				b.Fatal("lines were dropped")
			}
		})
	}
	f("json", all(JSON))
	f("json/redact", all(JSON, "token", "password"))
	f("logfmt", all(Logfmt))
	f("clf", all(CLF))
	f("left_out", Options{})
}

func empty(s *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = s.lines[:0]
}

// BenchmarkOneShard is the worst case: all goroutines log to the same one.
func BenchmarkOneShard(b *testing.B) {
	w := &Writer{shards: make([]shard, 1)}
	l := New(w, all(JSON))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		e := usual()
		for i := 0; pb.Next(); i++ {
			l.Log(e, 0)
			if i%64 == 0 {
				empty(w.shard(0))
			}
		}
	})
}

// BenchmarkDropped is a line that finds no room.
func BenchmarkDropped(b *testing.B) {
	w, err := Open(standardOutput, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	_ = w.Close()
	l, e := New(w, all(JSON)), usual()
	b.ReportAllocs()
	for b.Loop() {
		l.Log(e, 0)
	}
}
