package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// standardOutput is the path that stands for it.
	standardOutput = "-"
	// interval is how long a line waits at most, as long as the file keeps up.
	interval = 100 * time.Millisecond
	// usualPatience is how long Close and Reopen wait for a write that hangs.
	usualPatience = 3 * time.Second
	// grace is what a write is given to end once it was interrupted.
	grace     = time.Second
	maxShards = 32
)

// Writer takes lines to a file or to standard output. All methods may be called concurrently.
//
// A write that fails loses its lines and nothing else: the next one is tried as if nothing had been. A write that hangs
// (standard output is a pipe, and nobody reads it) holds up only the Writer's own goroutine.
type Writer struct {
	path     string
	patience time.Duration
	shards   []shard // a power of two

	wake    chan struct{} // of size 1: a shard has enough for a write
	reopens chan reopening
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the goroutine has ended
	close   func() error

	lost atomic.Uint64 // lines that were taken from a shard and could not be written

	mu  sync.Mutex // guards out and err
	out io.Writer  // changed by the goroutine alone
	err error

	// The rest belongs to the goroutine.
	spare []byte // the buffer that a shard gets for its full one
	cut   []byte // the end of a line whose beginning is written, see write
}

// reopening is a visit of Reopen to the goroutine.
type reopening struct {
	ctx context.Context // over when Reopen has lost patience
	to  chan *os.File   // without a buffer, so that either both know that the file has changed hands, or neither
}

// Open opens the file of that path, to append to it, and creates it with mode 0640 if there is none. The path "-" stands
// for stdout, which is never closed. The caller must call Close.
func Open(path string, stdout io.Writer) (*Writer, error) {
	out := stdout
	if path != standardOutput {
		file, err := openFile(path)
		if err != nil {
			return nil, err
		}
		out = file
	}
	w := &Writer{
		path:     path,
		patience: usualPatience,
		shards:   make([]shard, shardCount(runtime.GOMAXPROCS(0))),
		wake:     make(chan struct{}, 1),
		reopens:  make(chan reopening),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
		out:      out,
	}
	w.close = sync.OnceValue(w.shut)
	go w.run()
	return w, nil
}

// openFile does not block: without O_NONBLOCK, to open a named pipe would wait until somebody reads it.
func openFile(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | syscall.O_NONBLOCK
	file, err := os.OpenFile(path, flags, 0o640) //nolint:gosec // G302: the group may read, so that log shippers need not be root
	if err != nil {
		return nil, fmt.Errorf("cannot open access log %q: %w", path, err)
	}
	return file, nil
}

// shardCount is twice the processors, so that two requests at a time rarely meet, as a power of two.
func shardCount(processors int) int {
	n := 1
	for n < 2*processors && n < maxShards {
		n *= 2
	}
	return n
}

// Reopen opens the path anew, for after the file was moved away (logrotate). Lines that were logged before the call are in
// the old file when it returns, those logged afterwards go to the new one. On an error the old file stays in use. For
// standard output there is nothing to do.
func (w *Writer) Reopen() error {
	if w.path == standardOutput {
		return nil
	}
	file, err := openFile(w.path)
	if err != nil {
		return err
	}
	if err := w.handOver(file); err != nil {
		file.Close()
		return fmt.Errorf("cannot reopen access log %q: %w", w.path, err)
	}
	return nil
}

func (w *Writer) handOver(file *os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), w.patience)
	defer cancel()
	r := reopening{ctx: ctx, to: make(chan *os.File)}
	select {
	case w.reopens <- r:
	case <-w.stopped:
		return os.ErrClosed
	case <-ctx.Done():
		return w.hanging()
	}
	select {
	case r.to <- file:
		return nil
	case <-ctx.Done():
		return w.hanging()
	}
}

func (w *Writer) hanging() error { return fmt.Errorf("a write has not ended within %s", w.patience) }

// Dropped returns how many lines were lost because the writer could not keep up or the file failed.
func (w *Writer) Dropped() uint64 {
	n := w.lost.Load()
	for i := range w.shards {
		n += w.shards[i].dropped()
	}
	return n
}

// Err returns why the last write failed, nil if it did not.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close writes what was logged before the call, and stops the goroutine. What is logged afterwards is dropped. It returns
// the error of the last write, and all further calls return the same.
//
// It ends within a few seconds. A write that hangs is interrupted, and what was to follow it is dropped. Where that cannot
// be done (standard output that is no pollable file), the goroutine is left behind until that write ends.
func (w *Writer) Close() error { return w.close() }

func (w *Writer) shut() error {
	close(w.stop)
	err := w.wait()
	for i := range w.shards {
		w.shards[i].seal()
	}
	if err != nil {
		return fmt.Errorf("cannot finish access log %q: %w", w.path, err)
	}
	return nil
}

func (w *Writer) wait() error {
	if w.endsWithin(w.patience) {
		return w.Err()
	}
	w.interrupt(time.Now())
	if w.endsWithin(grace) {
		w.interrupt(time.Time{}) // others may use standard output as well
	}
	return w.hanging()
}

func (w *Writer) endsWithin(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.stopped:
		return true
	case <-t.C:
		return false
	}
}

// interrupt lets all writes from a time on fail; a zero time takes that back. Not every file can do it.
func (w *Writer) interrupt(from time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if out, ok := w.out.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = out.SetWriteDeadline(from)
	}
}

func (w *Writer) shard(n uint) *shard { return &w.shards[n&uint(len(w.shards)-1)] }

// hurry never blocks: if the goroutine has been called already, it will come.
func (w *Writer) hurry() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run is the goroutine: the only place that writes.
func (w *Writer) run() {
	defer close(w.stopped)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.flush()
		case <-w.wake:
			w.flush()
		case r := <-w.reopens:
			w.flush()
			w.takeOver(r)
		case <-w.stop:
			w.flush()
			w.leave()
			return
		}
	}
}

func (w *Writer) takeOver(r reopening) {
	select {
	case file := <-r.to:
		w.leave()
		w.mu.Lock()
		w.out = file
		w.mu.Unlock()
	case <-r.ctx.Done():
	}
}

// leave ends the work with a file.
func (w *Writer) leave() {
	if len(w.cut) > 0 {
		w.lost.Add(1)
		w.cut = nil
	}
	if w.path != standardOutput {
		w.out.(io.Closer).Close() // all that Close could report, a write has reported
	}
}

// flush writes each shard that has lines.
func (w *Writer) flush() {
	w.finishCut()
	for i := range w.shards {
		lines := w.shards[i].swap(w.spare)
		if len(lines) > 0 {
			w.write(lines)
		}
		w.spare = lines[:0]
	}
}

// write writes all lines at once, so that they stay whole also where others append to the same file. If it fails in the
// midst of a line (the disk is full), the end of that one is kept and comes first the next time: otherwise the next line
// would be glued to half a line. All further ones are lost.
func (w *Writer) write(lines []byte) {
	if !w.finishCut() {
		w.lost.Add(countLines(lines))
		return
	}
	n, err := w.send(lines)
	if err == nil {
		return
	}
	rest := lines[n:]
	if n > 0 && lines[n-1] != '\n' {
		end := bytes.IndexByte(rest, '\n') + 1
		w.cut = append(w.cut, rest[:end]...)
		rest = rest[end:]
	}
	w.lost.Add(countLines(rest))
}

// finishCut reports whether the next write begins on a line of its own.
func (w *Writer) finishCut() bool {
	if len(w.cut) == 0 {
		return true
	}
	n, err := w.send(w.cut)
	w.cut = w.cut[n:]
	return err == nil
}

// send writes and remembers how that went.
func (w *Writer) send(b []byte) (int, error) {
	n, err := w.out.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	return n, err
}
