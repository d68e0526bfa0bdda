// Package http1 reads the heads and the chunked bodies of HTTP/1.1 messages as strictly as a proxy has to:
// what two parsers could read in two ways is refused, and what is accepted can be passed on byte for byte.
//
// It works on bytes that the caller has in memory, in one pass and without allocation, and remembers offsets
// only. It tells what kind each field is, which fields end at this hop, and how the body is framed. It does
// not read or write connections, does not decode targets, does not decide what is forwarded, and knows no
// field's meaning beyond RFC 9112.
package http1

import (
	"bytes"
	"math"
)

// Limits of one head. Zero means none, but for the lengths there are always 16 MiB. More than a limit is refused with
// the status in brackets (in a response always 502), as soon as it is passed, also within a line.
type Limits struct {
	Line   int // bytes of the request or status line without its CRLF (414)
	Header int // bytes after that line, to the end of the head (431)
	Fields int // field lines (431)
}

// maxLength keeps offsets far from overflow.
const maxLength = 16 << 20

func (l Limits) orDefault() Limits {
	if l.Line <= 0 || l.Line > maxLength {
		l.Line = maxLength
	}
	if l.Header <= 0 || l.Header > maxLength {
		l.Header = maxLength
	}
	if l.Fields <= 0 {
		l.Fields = math.MaxInt
	}
	return l
}

// typicalFields is room for most heads, made once per Head and then reused.
const typicalFields = 32

// Head is what the heads of requests and responses have in common. It is valid once Parse has returned n > 0,
// and until the bytes given to Parse are overwritten; after moving them the caller calls Move.
type Head struct {
	Fields        []Field // in the order received
	ContentLength int64   // -1 when there is none
	Minor         uint8   // the version is HTTP/1.Minor: 0 or 1
	Chunked       bool    // Transfer-Encoding: chunked
	Close         bool    // Connection has the option close
	KeepAlive     bool    // Connection has the option keep-alive
	Expect100     bool    // a request of HTTP/1.1 has Expect: 100-continue
	TETrailers    bool    // a request of HTTP/1.1 has TE: trailers

	response     bool
	hostOptional bool // the target has no authority, so Host may be empty
	upgradable   bool // Connection has the option upgrade
	upgrades     int  // number of Upgrade lines
	nominated    int  // number of nominees in use
	stage        stage
	fault        fault
	seen         Kinds

	buf   []byte // the head, once it is complete
	at    int    // start of the line to be read next
	scan  int    // no LF in [at,scan)
	first int    // start of the first field line

	host     span
	hostname span
	upgrade  span
	nominees [maxNominations]span
}

// span is a range of offsets into the head's bytes.
type span struct{ start, end uint32 }

// in returns the range of buf, nil when buf is that of a head that is not complete.
func (s span) in(buf []byte) []byte {
	if int(s.end) > len(buf) {
		return nil
	}
	return buf[s.start:s.end]
}

// stage is how far a head has been read.
type stage uint8

const (
	fresh stage = iota
	inStart
	inFields
	complete
)

// reset makes the head ready for the next message and keeps the memory of Fields.
func (h *Head) reset(response bool) {
	h.Fields = h.Fields[:0]
	h.ContentLength = -1
	h.Minor = 0
	h.Chunked, h.Close, h.KeepAlive, h.Expect100, h.TETrailers = false, false, false, false, false
	h.response, h.hostOptional, h.upgradable, h.upgrades, h.nominated = response, false, false, 0, 0
	h.stage, h.fault, h.seen, h.buf = fresh, none, 0, nil
	h.at, h.scan, h.first = 0, 0, 0
	h.host, h.hostname = span{}, span{}
}

// begin starts the reading of a head, also of one that was never reset.
func (h *Head) begin() {
	h.stage = inStart
	h.ContentLength = -1
	if h.Fields == nil {
		h.Fields = make([]Field, 0, typicalFields)
	}
}

// Bytes returns the head's bytes, to which the offsets of Fields refer.
func (h *Head) Bytes() []byte { return h.buf }

// Move tells that the head's bytes now start at buf[0], after the caller has copied them.
func (h *Head) Move(buf []byte) { h.buf = buf[:len(h.buf):len(h.buf)] }

// Has reports whether there is a field of this kind. A field that Connection nominates counts as both.
func (h *Head) Has(k Kind) bool { return h.seen.Has(k) }

// Value returns the value of the first field of this kind, nil when there is none or the head is not complete.
func (h *Head) Value(k Kind) []byte {
	if h.stage != complete || !h.seen.Has(k) {
		return nil
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Kind == k {
			return f.ValueIn(h.buf)
		}
	}
	return nil
}

// Persistent reports whether the sender keeps the connection open after this message, RFC 9112 section 9.3.
// The body of a response that ends with the connection overrules it.
func (h *Head) Persistent() bool { return !h.Close && (h.Minor == 1 || h.KeepAlive) }

// Upgrade returns the protocols that the message offers or has switched to: nil unless it is of HTTP/1.1, has
// exactly one Upgrade line, and names it in Connection (RFC 9110 section 7.8).
func (h *Head) Upgrade() []byte {
	if h.Minor == 0 || !h.upgradable || h.upgrades != 1 {
		return nil
	}
	return h.upgrade.in(h.buf)
}

// ready reports whether it makes sense to read on: a line that was once seen incomplete is not looked at
// again before its LF is there, so that a client that sends byte by byte costs linear work.
func (h *Head) ready(buf []byte) bool {
	return h.scan <= h.at || bytes.IndexByte(buf[h.scan:], '\n') >= 0
}

// more notes that the line at h.at is incomplete, and refuses it when it has passed its limit already.
func (h *Head) more(buf []byte, lim Limits) fault {
	h.scan = len(buf)
	if h.stage == inFields {
		if len(buf)-h.first >= lim.Header {
			return headerTooLarge
		}
		return none
	}
	n := len(buf) - h.at
	if n > lim.Line+1 || n == lim.Line+1 && buf[len(buf)-1] != '\r' {
		return lineTooLong
	}
	return none
}

// stopped is the slow path of a line that was not read to its end: it is incomplete, over the limit, or wrong, for which f is the first guess.
func (h *Head) stopped(buf []byte, f fault, lim Limits) fault {
	lf := bytes.IndexByte(buf[h.at:], '\n')
	if f == none || lf < 0 {
		return h.more(buf, lim)
	}
	line := buf[h.at : h.at+lf+1]
	if h.stage == inFields && h.at+len(line)-h.first > lim.Header {
		return headerTooLarge
	}
	if h.stage != inFields && len(bytes.TrimSuffix(line[:lf], []byte{'\r'})) > lim.Line {
		return lineTooLong
	}
	return judge(line, f)
}

// judge names the fault of a complete line, up to its LF: the bytes that no line may hold come before its grammar.
func judge(line []byte, f fault) fault {
	n := len(line) - 2
	if n < 0 || line[n] != '\r' {
		return bareLF
	}
	if bytes.IndexByte(line[:n], '\r') >= 0 {
		return bareCR
	}
	if textEnd(line[:n], 0) < n {
		return controlByte
	}
	return f
}

// fields reads field lines to the end of the head. It returns the head's length, or 0 with none when more is needed.
func (h *Head) fields(buf []byte, lim Limits) (int, fault) {
	at, seen := h.at, h.seen
	for {
		if at+1 < len(buf) && buf[at] == '\r' && buf[at+1] == '\n' {
			break
		}
		count := len(h.Fields)
		if count == cap(h.Fields) {
			h.Fields = append(h.Fields, Field{})
		}
		h.Fields = h.Fields[:count+1]
		f := &h.Fields[count]
		end, flt := readField(buf, at, f)
		if end == 0 {
			h.at, h.seen, h.Fields = at, seen, h.Fields[:count]
			return 0, h.stopped(buf, flt, lim)
		}
		if end-h.first > lim.Header {
			return 0, headerTooLarge
		}
		if count >= lim.Fields {
			return 0, tooManyFields
		}
		if judged.Has(f.Kind) {
			if flt := h.judgeField(buf, f, seen); flt != none {
				return 0, flt
			}
		}
		seen |= f.Kind.Bit()
		at = end
	}
	h.at, h.seen = at, seen
	if at+2-h.first > lim.Header {
		return 0, headerTooLarge
	}
	return at + 2, none
}

// judgeField reads the value of a field that decides on more than itself. seen are the kinds of the lines before.
func (h *Head) judgeField(buf []byte, f *Field, seen Kinds) fault {
	v := f.ValueIn(buf)
	switch f.Kind {
	case ContentLength:
		return h.readLength(v, seen)
	case TransferEncoding:
		return h.readEncoding(v, seen)
	case Connection:
		return h.readConnection(buf, f)
	case Upgrade:
		h.upgrades++
		h.upgrade = span{f.Value, f.ValueEnd}
	case Host:
		return h.readHost(v, f, seen)
	case Expect:
		return h.readExpect(v, f)
	case TE:
		h.readTE(v)
	}
	return none
}

// finish ends the reading of a head of n bytes.
func (h *Head) finish(buf []byte, n int) {
	h.buf = buf[:n:n]
	h.stage = complete
	if h.nominated > 0 {
		h.nominate()
	}
}
