package http1

import (
	"bytes"
	"encoding/binary"
)

// Request is the head of one request. Its zero value is ready for Parse; Reset makes it ready again.
type Request struct {
	Head
	Form Form // of the target

	skipped bool // one empty line before the request line
	method  span
	target  span
	scheme  span
	origin  span // path and query
}

// Reset makes r ready for the next request.
func (r *Request) Reset() {
	r.reset(false)
	r.Form, r.skipped, r.scheme = OriginForm, false, span{}
}

// Parse reads a request head at the start of buf. It returns its length, with the empty line that ends it and one that
// may come before, once it is complete; 0 and nil when more is needed, to be called again with the same bytes
// and more, possibly at another place; or an *Error, as soon as the line at fault is complete or over its limit.
func (r *Request) Parse(buf []byte, lim Limits) (n int, err error) {
	n, f := r.parse(buf, lim.orDefault())
	if f != none {
		r.fault = f
		return 0, &requestErrors[f]
	}
	return n, nil
}

func (r *Request) parse(buf []byte, lim Limits) (int, fault) {
	switch {
	case r.fault != none || r.stage == complete:
		return len(r.buf), r.fault
	case r.stage == fresh:
		r.begin()
	}
	if !r.ready(buf) {
		return 0, r.more(buf, lim)
	}
	if r.stage == inStart {
		if f := r.start(buf, lim); f != none || r.stage == inStart {
			return 0, f
		}
	}
	n, f := r.fields(buf, lim)
	if n == 0 {
		return 0, f
	}
	if r.Minor == 1 && !r.seen.Has(Host) {
		return 0, noHost
	}
	r.finish(buf, n)
	return n, none
}

// tlsHandshake is what a client begins with that speaks TLS (RFC 8446 section 5.1).
const tlsHandshake = 22

// start reads the request line, and leaves the stage as it is when more is needed.
func (r *Request) start(buf []byte, lim Limits) fault {
	if !r.skipped && len(buf) > 1 && buf[0] == '\r' && buf[1] == '\n' {
		r.at, r.skipped = 2, true
	}
	if len(buf) > r.at && buf[r.at] == tlsHandshake {
		return controlByte // without waiting for the end of a line, which may never come
	}
	end, f := r.readLine(buf, r.at)
	if end == 0 {
		return r.stopped(buf, f, lim)
	}
	if end-2-r.at > lim.Line {
		return lineTooLong
	}
	if f := r.readTarget(buf); f != none {
		return f
	}
	r.at, r.first, r.stage = end, end, inFields
	return none
}

// readLine reads method SP request-target SP HTTP-version CRLF, RFC 9112 section 3. It returns like readField.
func (r *Request) readLine(buf []byte, at int) (end int, f fault) {
	i := tokenEnd(buf, at)
	if i == len(buf) {
		return 0, none
	}
	if i == at || buf[i] != ' ' {
		return 0, methodFault(buf[at:])
	}
	r.method = span{uint32(at), uint32(i)}
	target := i + 1
	i = visibleEnd(buf, target)
	if i == len(buf) {
		return 0, none
	}
	if i == target || buf[i] != ' ' {
		return 0, badLine
	}
	r.target = span{uint32(target), uint32(i)}
	if v := buf[i+1:]; len(v) >= versionLen+2 && isHTTP11(v) && v[versionLen] == '\r' && v[versionLen+1] == '\n' {
		r.Minor = 1
		return i + 1 + versionLen + 2, none
	}
	return r.readVersion(buf, i+1)
}

// readVersion reads the rest of a request line that does not end in HTTP/1.1.
func (r *Request) readVersion(buf []byte, at int) (end int, f fault) {
	n := bytes.IndexByte(buf[at:], '\n')
	if n < 0 {
		return 0, none
	}
	v, ok := bytes.CutSuffix(buf[at:at+n], []byte{'\r'})
	switch {
	case !ok:
		return 0, bareLF
	case string(v) == "HTTP/1.0":
		return at + n + 1, none
	case isVersion(v):
		return 0, otherVersion
	case bytes.ContainsAny(v, " \t"):
		return 0, badLine
	}
	return 0, badVersion
}

func methodFault(line []byte) fault {
	switch {
	case line[0] == '\r':
		return emptyLine
	case isOWS(line[0]):
		return badLine
	}
	return badMethod
}

// versionLen is the length of an HTTP-version.
const versionLen = len("HTTP/1.1")

// http11 is HTTP/1.1 as a word.
const http11 = 'H' | 'T'<<8 | 'T'<<16 | 'P'<<24 | '/'<<32 | '1'<<40 | '.'<<48 | '1'<<56

// isHTTP11 reports whether b, of at least eight bytes, starts with HTTP/1.1.
func isHTTP11(b []byte) bool { return binary.LittleEndian.Uint64(b) == http11 }

// isVersion reports whether v is any HTTP-version: HTTP/ DIGIT . DIGIT.
func isVersion(v []byte) bool {
	return len(v) == versionLen && string(v[:5]) == "HTTP/" && isDigit(v[5]) && v[6] == '.' && isDigit(v[7])
}

func isDigit(c byte) bool { return c-'0' <= 9 }
