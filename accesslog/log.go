// Package accesslog writes one line for each request: in JSON, in logfmt or in the combined format of Apache.
//
// Log formats an entry into a buffer of the Writer and returns. A goroutine of the Writer takes the buffers to the file,
// so no request ever waits for a disk or for whoever reads the output: what does not fit is dropped and counted.
// Lines are whole, but not strictly in order of time, for there is a buffer for each few requests.
//
// All that comes from a client is taken for hostile: whatever the bytes, an entry is one line, and no value can pass for
// another field. The package neither measures nor decides anything about a request; it is told.
package accesslog

import (
	"math/rand/v2"
	"time"
)

// Entry is what is known of a request at its end. The byte slices are read during Log alone. An empty value is left out,
// or is "-" in CLF.
type Entry struct {
	Time   time.Time // when the head of the request was complete
	ID     []byte
	Client string
	User   string

	Method, Host []byte
	Target       []byte // as received: path and query
	Proto        string // "HTTP/1.1"

	Status            int
	BytesIn, BytesOut int64 // of the bodies

	Referer, UserAgent []byte

	Backend, Server string
	Attempts        int
	Cause           string // empty: a server answered

	Queue, Connect, FirstByte, Total time.Duration
}

// Format is how a line looks.
type Format uint8

// The formats. JSON and Logfmt have the same fields; CLF is what Apache calls combined, with the time in UTC.
const (
	JSON Format = iota
	Logfmt
	CLF
)

// ParseFormat finds a format by its name in the config: json, logfmt or clf.
func ParseFormat(name string) (Format, bool) {
	switch name {
	case "json":
		return JSON, true
	case "logfmt":
		return Logfmt, true
	case "clf":
		return CLF, true
	}
	return 0, false
}

// Options say which requests are logged and how. Beware of the zero value: a share of 0 logs nothing but errors.
type Options struct {
	Format Format
	// Redact names query keys, in their case, whose values become *** in Target and Referer.
	Redact []string
	// Sample is the share of the requests that are logged; 1: all. A request with a status from 500 on or with a cause is
	// logged in any case.
	Sample float64
	// Slow leaves out all requests that took less; 0: none. It goes before Sample: of quick requests only those with a
	// status from 500 on are logged, a cause alone does not help. Slow ones are sampled as ever.
	Slow time.Duration
}

// Log formats entries and hands them to a Writer. It cannot be changed, and any number of them may share one Writer. All
// methods may be called concurrently.
type Log struct {
	w      *Writer
	o      Options
	redact redactor
}

// New returns a log that writes to w. It does not own w: the caller closes that when the last request has been logged.
func New(w *Writer, o Options) *Log {
	return &Log{w: w, o: o, redact: append(redactor(nil), o.Redact...)}
}

// Log logs a request, unless the options leave it out. It does not wait for the Writer: a line that finds no room is
// dropped.
//
// shard is any number. Callers that log at the same time should have different ones, for example the number of the
// connection, since those of one shard take turns.
func (l *Log) Log(e *Entry, shard uint) {
	if !l.wants(e) {
		return
	}
	s := l.w.shard(shard)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full() {
		s.lost++
		return
	}
	before := len(s.lines)
	s.lines = l.append(s.lines, e, &s.scratch)
	if before < wakeSize && len(s.lines) >= wakeSize {
		l.w.hurry()
	}
}

func (l *Log) wants(e *Entry) bool {
	switch {
	case e.Status >= 500:
		return true
	case l.o.Slow > 0 && e.Total < l.o.Slow:
		return false
	}
	return e.Cause != "" || l.o.Sample >= 1 || rand.Float64() < l.o.Sample
}

// scratch is what is needed to format a line, kept from one line to the next.
type scratch struct {
	clock           clock
	target, referer []byte
}

// line is an entry as it may be shown.
type line struct {
	*Entry
	target, referer []byte // without the values that were to be hidden
	clock           *clock
}

func (l *Log) append(dst []byte, e *Entry, s *scratch) []byte {
	n := line{Entry: e, target: l.redact.hide(e.Target, &s.target), referer: l.redact.hide(e.Referer, &s.referer), clock: &s.clock}
	s.clock.set(e.Time)
	if l.o.Format == CLF {
		dst = appendCLF(dst, &n)
	} else {
		dst = appendFields(dst, &n, l.o.Format == JSON)
	}
	return append(dst, '\n')
}
