package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// open opens a file in a directory of its own, and logs all to it.
func open(t *testing.T, path string) (*Writer, *Log) {
	t.Helper()
	w, err := Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w, New(w, all(CLF))
}

// numbered is an entry whose line is `n - - [...`.
func numbered(n int) *Entry { return &Entry{Client: strconv.Itoa(n)} }

// numbers reads those back.
func numbers(t *testing.T, lines string) []string {
	t.Helper()
	if lines == "" {
		return nil
	}
	lines, ok := strings.CutSuffix(lines, "\n")
	require.True(t, ok, "the last line has an end")
	var ns []string
	for line := range strings.SplitSeq(lines, "\n") {
		n, rest, _ := strings.Cut(line, " ")
		require.Equal(t, `- - [01/Jan/0001:00:00:00 +0000] "-" - - "-" "-"`, rest)
		ns = append(ns, n)
	}
	return ns
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// scripted is an output that does what it is told, write by write; without a word, it takes all.
type scripted struct {
	script []func(b []byte) (int, error)

	mu     sync.Mutex // guards all below
	taken  []byte
	writes int
}

func (s *scripted) Write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = len(b)
	if s.writes < len(s.script) {
		n, err = s.script[s.writes](b)
	}
	s.writes++
	s.taken = append(s.taken, b[:n]...)
	return n, err
}

func (s *scripted) so() (taken string, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.taken), s.writes
}

func refuse([]byte) (int, error) { return 0, syscall.ENOSPC }

// first takes n bytes and then fails.
func first(n int) func([]byte) (int, error) {
	return func(b []byte) (int, error) { return min(n, len(b)), syscall.ENOSPC }
}

// turn lets the writer have its regular turn.
func turn() {
	time.Sleep(interval) // of the bubble: no time passes
	synctest.Wait()
}

func TestFileIsAppendedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	for n := range 3 {
		w, l := open(t, path)
		l.Log(numbered(n), 0)
		require.NoError(t, w.Close())
	}
	require.Equal(t, []string{"0", "1", "2"}, numbers(t, read(t, path)))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&^0o640)
}

func TestOpenFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "access.log")
	_, err := Open(path, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, fmt.Sprintf("cannot open access log %q: ", path))
}

// TestOpenDoesNotWaitForAReader checks that a named pipe is refused while nobody reads it, and does not hang the start.
func TestOpenDoesNotWaitForAReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	_, err := Open(path, nil)
	require.ErrorIs(t, err, syscall.ENXIO)
}

func TestLinesComeByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out scripted
		w, err := Open(standardOutput, &out)
		require.NoError(t, err)
		defer w.Close()
		l := New(w, all(CLF))
		l.Log(numbered(1), 0)
		l.Log(numbered(2), 0)
		synctest.Wait()
		taken, _ := out.so()
		require.Empty(t, taken)
		turn()
		taken, writes := out.so()
		require.Equal(t, []string{"1", "2"}, numbers(t, taken))
		require.Equal(t, 1, writes)
		turn()
		_, writes = out.so()
		require.Equal(t, 1, writes, "nothing is written when there is nothing")
	})
}

// TestMuchIsWrittenAtOnce checks that the writer does not wait for its turn when there is much to do.
func TestMuchIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out scripted
		w, err := Open(standardOutput, &out)
		require.NoError(t, err)
		defer w.Close()
		l, start := New(w, all(CLF)), time.Now()
		taken, writes, logged := "", 0, 0
		for ; writes < 3; logged++ {
			l.Log(numbered(logged), 0)
			synctest.Wait()
			taken, writes = out.so()
		}
		require.Less(t, time.Since(start), interval)
		require.Len(t, numbers(t, taken), logged)
		require.InDelta(t, 3*wakeSize, len(taken), 3*100)
		require.Zero(t, w.Dropped())
	})
}

// TestNobodyReads checks that a request never waits for a pipe that is full: lines are dropped, and counted one by one.
func TestNobodyReads(t *testing.T) {
	r, out, err := os.Pipe()
	require.NoError(t, err)
	defer out.Close()
	w, err := Open(standardOutput, out)
	require.NoError(t, err)
	l := New(w, all(CLF))
	const goroutines, each = 8, 10_000 // each shard of a small machine is filled several times
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for n := range each {
				l.Log(numbered(n), uint(g%2))
			}
		})
	}
	wg.Wait()
	require.Positive(t, w.Dropped())
	require.NoError(t, w.Err())

	var lines string
	wg.Go(func() {
		b, _ := io.ReadAll(r)
		lines = string(b)
	})
	require.NoError(t, w.Close())
	require.NoError(t, out.Close())
	wg.Wait()
	require.NoError(t, r.Close())
	require.EqualValues(t, goroutines*each, uint64(len(numbers(t, lines)))+w.Dropped())
}

// TestCloseDoesNotWaitForAReader closes a writer whose pipe is full. What was not written counts as dropped, and the pipe
// itself still works for others.
func TestCloseDoesNotWaitForAReader(t *testing.T) {
	r, out, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer out.Close()
	w, err := Open(standardOutput, out)
	require.NoError(t, err)
	w.patience = time.Millisecond
	l := New(w, all(CLF))
	const logged = 10_000 // several times what a pipe holds
	for n := range logged {
		l.Log(numbered(n), uint(n))
	}
	err = w.Close()
	require.EqualError(t, err, `cannot finish access log "-": a write has not ended within 1ms`)
	require.Equal(t, err, w.Close())
	require.ErrorIs(t, w.Err(), os.ErrDeadlineExceeded)
	<-w.stopped

	dropped := w.Dropped()
	l.Log(numbered(0), 0)
	require.Equal(t, dropped+1, w.Dropped(), "what comes after Close is dropped")

	go func() {
		_, _ = out.WriteString("\nmore")
		_ = out.Close()
	}()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	text, ok := strings.CutSuffix(string(b), "\nmore")
	require.True(t, ok)
	whole := text[:strings.LastIndexByte(text, '\n')+1]
	require.EqualValues(t, logged, uint64(len(numbers(t, whole)))+dropped)
}

// TestCloseLeavesAWriteThatNeverEnds has an output that cannot be interrupted.
func TestCloseLeavesAWriteThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := io.Pipe()
		w, err := Open(standardOutput, out)
		require.NoError(t, err)
		l, start := New(w, all(CLF)), time.Now()
		l.Log(numbered(1), 0)
		turn()
		l.Log(numbered(2), 0)
		require.ErrorContains(t, w.Close(), "a write has not ended within 3s")
		require.Equal(t, interval+usualPatience+grace, time.Since(start))
		require.EqualValues(t, 1, w.Dropped(), "the line that nobody began to write")
		r.Close()
		<-w.stopped
		require.EqualValues(t, 2, w.Dropped())
	})
}

// TestCloseFlushes checks that what was logged before is written, from each shard.
func TestCloseFlushes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	w, l := open(t, path)
	const logged = 1000
	want := make([]string, logged)
	for n := range logged {
		want[n] = strconv.Itoa(n)
		l.Log(numbered(n), uint(n))
	}
	require.NoError(t, w.Close())
	require.NoError(t, w.Close())
	require.ElementsMatch(t, want, numbers(t, read(t, path)))
	require.ErrorIs(t, w.Reopen(), os.ErrClosed)
	require.Zero(t, w.Dropped())
}

// TestCloseAmongLogs checks that each line is either written or counted, whenever Close comes.
func TestCloseAmongLogs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	w, l := open(t, path)
	var wg sync.WaitGroup
	const goroutines, each = 8, 2000
	half := make(chan struct{})
	for g := range goroutines {
		wg.Go(func() {
			for n := range each {
				if g == 0 && n == each/2 {
					close(half)
				}
				l.Log(numbered(n), uint(g))
			}
		})
	}
	<-half
	require.NoError(t, w.Close())
	wg.Wait()
	require.EqualValues(t, goroutines*each, uint64(len(numbers(t, read(t, path))))+w.Dropped())
}

// TestReopenLosesNothing rotates the file under load: each line is in one file, once.
func TestReopenLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	w, l := open(t, path)
	const goroutines, each, atLeast = 8, 10_000, 5
	var files []string
	rotate := func() {
		moved := fmt.Sprintf("%s.%d", path, len(files))
		require.NoError(t, os.Rename(path, moved))
		require.NoError(t, w.Reopen())
		files = append(files, moved)
	}
	var logged, logging atomic.Int64
	var wg sync.WaitGroup
	logging.Store(goroutines)
	for g := range goroutines {
		wg.Go(func() {
			defer logging.Add(-1)
			for range each {
				l.Log(numbered(int(logged.Add(1))), uint(g))
			}
		})
	}
	for logging.Load() > 0 || len(files) < atLeast {
		rotate()
	}
	wg.Wait()
	require.NoError(t, w.Close())

	seen := make(map[string]bool)
	for _, file := range append(files, path) {
		for _, n := range numbers(t, read(t, file)) {
			require.False(t, seen[n], "line %s is there twice", n)
			seen[n] = true
		}
	}
	require.EqualValues(t, logged.Load(), uint64(len(seen))+w.Dropped())
	t.Logf("%d rotations, %d lines dropped", len(files), w.Dropped())
}

// TestReopenIsTheBorder checks which file a line goes to.
func TestReopenIsTheBorder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	w, l := open(t, path)
	l.Log(numbered(1), 0)
	l.Log(numbered(2), 1)
	require.NoError(t, os.Rename(path, path+".1"))
	require.NoError(t, w.Reopen())
	require.ElementsMatch(t, []string{"1", "2"}, numbers(t, read(t, path+".1")))
	l.Log(numbered(3), 0)
	require.NoError(t, w.Close())
	require.ElementsMatch(t, []string{"1", "2"}, numbers(t, read(t, path+".1")))
	require.Equal(t, []string{"3"}, numbers(t, read(t, path)))
}

// TestReopenFails checks that the old file goes on when there is no new one.
func TestReopenFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "access.log")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o750))
	w, l := open(t, path)
	moved := filepath.Dir(path) + ".1"
	require.NoError(t, os.Rename(filepath.Dir(path), moved))
	l.Log(numbered(1), 0)
	require.ErrorIs(t, w.Reopen(), os.ErrNotExist)
	l.Log(numbered(2), 0)
	require.NoError(t, w.Close())
	require.Equal(t, []string{"1", "2"}, numbers(t, read(t, filepath.Join(moved, "access.log"))))
}

func TestReopenStandardOutput(t *testing.T) {
	var out bytes.Buffer
	w, err := Open(standardOutput, &out)
	require.NoError(t, err)
	require.NoError(t, w.Reopen())
	New(w, all(CLF)).Log(numbered(1), 0)
	require.NoError(t, w.Close())
	require.NoError(t, w.Reopen())
	require.Equal(t, []string{"1"}, numbers(t, out.String()))
}

// TestReopenDoesNotWaitForAReader has a named pipe that is full.
func TestReopenDoesNotWaitForAReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	require.NoError(t, err)
	defer r.Close()
	w, l := open(t, path)
	w.patience = 10 * time.Millisecond
	for n := range 10_000 {
		l.Log(numbered(n), uint(n))
	}
	for range 2 {
		require.EqualError(t, w.Reopen(), fmt.Sprintf("cannot reopen access log %q: a write has not ended within 10ms", path))
	}
	require.ErrorContains(t, w.Close(), "a write has not ended")
	require.Positive(t, w.Dropped())
	<-w.stopped
}

// TestReopenGivesUp checks that a Reopen which has gone leaves the file as it is.
func TestReopenGivesUp(t *testing.T) {
	f := func(before func()) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) { giveUp(t, before) })
	}
	f(func() {}) // the goroutine comes and hangs
	f(turn)      // it hangs already
}

func giveUp(t *testing.T, before func()) {
	path := filepath.Join(t.TempDir(), "access.log")
	w, _ := open(t, path)
	reader, hangs := io.Pipe()
	w.mu.Lock()
	file := w.out.(*os.File)
	w.out = hangs
	w.mu.Unlock()
	New(w, all(CLF)).Log(numbered(1), 0)
	before()
	require.ErrorContains(t, w.Reopen(), "a write has not ended within 3s")
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	turn()
	require.NoError(t, w.Close())
	require.NoError(t, file.Close())
	require.NoError(t, w.Err())
}

// TestDiskFull checks that a full disk loses lines and nothing else.
func TestDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	path := filepath.Join(t.TempDir(), "access.log")
	require.NoError(t, os.Symlink("/dev/full", path))
	w, l := open(t, path)
	for n := range 100 {
		l.Log(numbered(n), uint(n))
	}
	require.NoError(t, w.Reopen(), "which writes what there is, to the same")
	require.EqualValues(t, 100, w.Dropped())
	require.ErrorIs(t, w.Err(), syscall.ENOSPC)

	require.NoError(t, os.Remove(path))
	require.NoError(t, w.Reopen())
	l.Log(numbered(100), 0)
	require.NoError(t, w.Close())
	require.NoError(t, w.Err())
	require.EqualValues(t, 100, w.Dropped())
	require.Equal(t, []string{"100"}, numbers(t, read(t, path)))
}

// TestCloseTellsOfLostLines checks that the last ones do not vanish in silence.
func TestCloseTellsOfLostLines(t *testing.T) {
	out := &scripted{script: []func([]byte) (int, error){refuse}}
	w, err := Open(standardOutput, out)
	require.NoError(t, err)
	New(w, all(CLF)).Log(numbered(1), 0)
	require.ErrorIs(t, w.Close(), syscall.ENOSPC)
	require.EqualValues(t, 1, w.Dropped())
}

// TestWriteFails checks that whatever part of a write fails, each line is whole or not there at all, and is counted if it
// is not. Each turn logs three lines to one shard.
func TestWriteFails(t *testing.T) {
	size := len(New(nil, all(CLF)).append(nil, numbered(1), &scratch{})) // the numbers have one digit
	f := func(want string, dropped int, script ...func([]byte) (int, error)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			out := &scripted{script: script}
			w, err := Open(standardOutput, out)
			require.NoError(t, err)
			l := New(w, all(CLF))
			for n := range 9 {
				l.Log(numbered(n), 0)
				if n%3 == 2 {
					turn()
				}
			}
			require.NoError(t, w.Close())
			require.Equal(t, want, strings.Join(numbers(t, string(out.taken)), ""))
			require.EqualValues(t, dropped, w.Dropped())
		})
	}
	f("012345678", 0)
	f("345678", 3, refuse)
	f("678", 6, refuse, refuse)
	f("0345678", 2, first(size))
	f("01345678", 1, first(2*size))
	f("0345678", 2, first(1))
	f("01345678", 1, first(2*size-1))
	f("012345678", 0, first(3*size-1))
	f("012345678", 0, first(3*size-1), refuse)                      // tried again with the next lines
	f("012678", 3, first(3*size-1), refuse, refuse)                 // which are lost
	f("012678", 3, first(3*size-2), first(1), refuse)               // the end comes in two parts
	f("03678", 4, first(1), first(size), first(size-1))             // another cut right after the first
	f("0345678", 2, func([]byte) (int, error) { return size, nil }) // no error, though all was not taken
}

// TestCutLineIsCounted checks that the end of a line that is never written counts as a line.
func TestCutLineIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &scripted{script: []func([]byte) (int, error){first(3), refuse, refuse, refuse}}
		w, err := Open(standardOutput, out)
		require.NoError(t, err)
		New(w, all(CLF)).Log(numbered(1), 0)
		turn()
		require.Zero(t, w.Dropped())
		require.ErrorIs(t, w.Close(), syscall.ENOSPC)
		require.EqualValues(t, 1, w.Dropped())
	})
}

func TestShardCount(t *testing.T) {
	f := func(processors, want int) {
		t.Helper()
		require.Equal(t, want, shardCount(processors))
	}
	f(1, 2)
	f(2, 4)
	f(3, 8)
	f(8, 16)
	f(12, 32)
	f(1000, maxShards)
}

func TestAnyShardWillDo(t *testing.T) {
	w := &Writer{shards: make([]shard, 4)}
	require.Same(t, &w.shards[3], w.shard(^uint(0)))
	require.Same(t, &w.shards[1], w.shard(5))
}

var errTest = errors.New("test")

// TestErrIsThatOfTheLastWrite checks that a success ends an error.
func TestErrIsThatOfTheLastWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &scripted{script: []func([]byte) (int, error){func([]byte) (int, error) { return 0, errTest }}}
		w, err := Open(standardOutput, out)
		require.NoError(t, err)
		l := New(w, all(CLF))
		require.NoError(t, w.Err())
		l.Log(numbered(1), 0)
		turn()
		require.ErrorIs(t, w.Err(), errTest)
		turn()
		require.ErrorIs(t, w.Err(), errTest, "nothing was written since")
		l.Log(numbered(2), 0)
		require.NoError(t, w.Close())
		require.NoError(t, w.Err())
	})
}
