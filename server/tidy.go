package server

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Go collects garbage when memory grows, and gives it back to the system bit by bit. After a burst nothing grows: the stacks and buffers of
// thousands of connections that have fallen idle would stay for minutes. So once many have, garbage is collected and given back,
// seldom enough to cost nothing. `go run ./bench/compare -mem` shows what it saves: with 10,000 idle connections, two thirds.
const (
	tidyCount = 1000            // connections that have to fall idle
	tidyAfter = time.Second     // that none has, so that the burst is over; or
	tidyLimit = 10              // that many times so long
	tidyPause = 5 * time.Second // at least, from one time to the next: collecting takes some 20 ms
)

// tidier gives memory back after bursts.
type tidier struct {
	collect func() // collects garbage and gives the memory back

	parked atomic.Int64 // since the last time
	busy   atomic.Bool  // waiting to tidy, or pausing
}

// park counts a connection that has fallen idle.
func (t *tidier) park() {
	t.parked.Add(1)
	t.consider()
}

func (t *tidier) consider() {
	if n := t.parked.Load(); n >= tidyCount && t.busy.CompareAndSwap(false, true) {
		t.await(n, tidyLimit)
	}
}

// await tidies when no more connections fall idle, or the limit is reached.
func (t *tidier) await(seen int64, limit int) {
	time.AfterFunc(tidyAfter, func() {
		if n := t.parked.Load(); n != seen && limit > 0 {
			t.await(n, limit-1)
			return
		}
		t.tidy()
	})
}

func (t *tidier) tidy() {
	t.parked.Store(0)
	t.collect()
	time.AfterFunc(tidyPause, func() {
		t.busy.Store(false)
		t.consider()
	})
}

func collect() {
	runtime.GC() // once for what is in pools, and once more, which FreeOSMemory does, for what was
	debug.FreeOSMemory()
}
