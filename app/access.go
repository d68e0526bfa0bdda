package app

import (
	"fmt"
	"io"
	"sync"
	"time"

	"l7/accesslog"
	"l7/config"
)

// access is where the access log goes. It outlives reloads, so that no line is lost to one.
type access struct {
	stdout io.Writer

	mu     sync.Mutex // guards all below
	path   string     // empty: nothing is logged
	writer *accesslog.Writer
	old    map[*accesslog.Writer]struct{} // requests that began with them may still log
	lost   uint64                         // by writers that are closed
}

// opened is an access log that is not in force yet.
type opened struct {
	log    *accesslog.Log // nil: off
	path   string
	writer *accesslog.Writer
	isNew  bool
}

// open opens what a config asks for. It changes nothing until it is adopted; who does not adopt it calls abandon.
func (a *access) open(cfg *config.Log) (*opened, error) {
	format, on := accesslog.ParseFormat(cfg.Access)
	if !on {
		return &opened{}, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o := &opened{path: cfg.AccessFile, writer: a.writer}
	if a.writer == nil || a.path != cfg.AccessFile {
		writer, err := accesslog.Open(cfg.AccessFile, a.stdout)
		if err != nil {
			return nil, fmt.Errorf("cannot open the access log: %w (log.access_file)", err)
		}
		o.writer, o.isNew = writer, true
	}
	o.log = accesslog.New(o.writer, accesslog.Options{
		Format: format, Redact: cfg.AccessRedact, Sample: float64(cfg.AccessSample) / 100, Slow: cfg.AccessSlow,
	})
	return o, nil
}

func (o *opened) abandon() {
	if o.isNew {
		_ = o.writer.Close() // nothing has been written to it
	}
}

// adopt puts an opened log in force. The one before is closed when requests that began with it have had their time.
func (a *access) adopt(o *opened, grace time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.writer
	a.path, a.writer = o.path, o.writer
	if old != nil && old != o.writer {
		if a.old == nil {
			a.old = map[*accesslog.Writer]struct{}{}
		}
		a.old[old] = struct{}{}
		time.AfterFunc(grace, func() { a.retire(old) })
	}
}

func (a *access) retire(w *accesslog.Writer) {
	_ = w.Close() // what it could not write it has counted
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost += w.Dropped()
	delete(a.old, w)
}

// reopen has the file opened anew, for logrotate has moved it away.
func (a *access) reopen() error {
	a.mu.Lock()
	writer := a.writer
	a.mu.Unlock()
	if writer == nil {
		return nil
	}
	return writer.Reopen()
}

// close flushes what has been logged.
func (a *access) close() error {
	a.mu.Lock()
	writer := a.writer
	a.path, a.writer = "", nil
	a.mu.Unlock()
	if writer == nil {
		return nil
	}
	return writer.Close()
}

// dropped is how many lines were lost since the start.
func (a *access) dropped() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.lost
	for w := range a.old {
		n += w.Dropped()
	}
	if a.writer != nil {
		n += a.writer.Dropped()
	}
	return n
}
