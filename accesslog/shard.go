package accesslog

import (
	"bytes"
	"sync"
)

const (
	// fullSize is when a shard takes no more lines. The last one may reach beyond it, so that no line is too long.
	fullSize = 512 << 10
	// wakeSize is when the writer is called, because its next turn may be too late. It is far from full, since on a busy
	// machine it takes the goroutine some milliseconds to come, and enough for one write to be worth it.
	wakeSize = 64 << 10
)

// shard is one of the buffers that lines wait in. There are several, so that requests rarely meet at a lock.
type shard struct {
	mu      sync.Mutex // guards all below; held for the time it takes to format a line, never while something is written
	lines   []byte
	scratch scratch
	lost    uint64
	sealed  bool // after Close

	_ [128]byte // keeps a neighbour off the cache lines, two of which processors fetch at once
}

// full is called with the lock held.
func (s *shard) full() bool { return s.sealed || len(s.lines) >= fullSize }

// swap takes the lines out and leaves an empty buffer to go on with. With no lines, it gives back that buffer.
func (s *shard) swap(empty []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == 0 {
		return empty
	}
	lines := s.lines
	s.lines = empty
	return lines
}

// seal lets no more lines in. Those that are still there will not be written.
func (s *shard) seal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = true
	s.lost += countLines(s.lines)
	s.lines = nil
}

func (s *shard) dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

func countLines(lines []byte) uint64 { return uint64(bytes.Count(lines, []byte{'\n'})) }
