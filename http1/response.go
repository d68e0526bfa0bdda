package http1

// Response is the head of one response. Its zero value is ready for Parse; Reset makes it ready again.
type Response struct {
	Head
	Status int // three digits, from 100

	reason span
}

// Framing is how a response's body ends, RFC 9112 section 6.3.
type Framing uint8

// The framings. BodyLength has ContentLength bytes, which may be none.
const (
	BodyNone Framing = iota
	BodyLength
	BodyChunked
	BodyClose // the end of the connection ends the body
)

// Reset makes p ready for the next response.
func (p *Response) Reset() {
	p.reset(true)
	p.Status = 0
}

// Parse reads a response head at the start of buf, and returns like Request.Parse. Every *Error has Status 502.
func (p *Response) Parse(buf []byte, lim Limits) (n int, err error) {
	n, f := p.parse(buf, lim.orDefault())
	if f != none {
		p.fault = f
		return 0, &responseErrors[f]
	}
	return n, nil
}

func (p *Response) parse(buf []byte, lim Limits) (int, fault) {
	switch {
	case p.fault != none || p.stage == complete:
		return len(p.buf), p.fault
	case p.stage == fresh:
		p.response = true
		p.begin()
	}
	if !p.ready(buf) {
		return 0, p.more(buf, lim)
	}
	if p.stage == inStart {
		end, f := p.readLine(buf)
		if end == 0 {
			return 0, p.stopped(buf, f, lim)
		}
		if end-2 > lim.Line {
			return 0, lineTooLong
		}
		p.at, p.first, p.stage = end, end, inFields
	}
	n, f := p.fields(buf, lim)
	if n == 0 {
		return 0, f
	}
	p.finish(buf, n)
	return n, none
}

// statusLen is the length of HTTP-version SP status-code.
const statusLen = len("HTTP/1.1 200")

// readLine reads HTTP-version SP status-code [SP reason-phrase] CRLF, RFC 9112 section 4; many servers leave out
// the space where the reason is empty. It returns like readField.
func (p *Response) readLine(buf []byte) (end int, f fault) {
	if len(buf) <= statusLen || buf[versionLen] != ' ' {
		return 0, statusFault(buf)
	}
	if isHTTP11(buf) {
		p.Minor = 1
	} else if string(buf[:versionLen]) != "HTTP/1.0" {
		return 0, statusFault(buf)
	}
	a, b, c := buf[9]-'0', buf[10]-'0', buf[11]-'0'
	if a == 0 || a > 9 || b > 9 || c > 9 {
		return 0, badStatus
	}
	p.Status = int(a)*100 + int(b)*10 + int(c)
	reason := statusLen
	if buf[reason] == ' ' {
		reason++
	} else if buf[reason] != '\r' {
		return 0, badStatus
	}
	stop := textEnd(buf, reason)
	if stop+1 >= len(buf) || buf[stop] != '\r' || buf[stop+1] != '\n' {
		return 0, textFault(buf, stop)
	}
	p.reason = span{uint32(reason), uint32(stop)}
	return stop + 2, none
}

// statusFault tells an unknown version from garbage. It looks at no byte behind the line, which may be short.
func statusFault(line []byte) fault {
	if len(line) > versionLen && line[versionLen] == ' ' && isVersion(line[:versionLen]) {
		if v := string(line[:versionLen]); v != "HTTP/1.1" && v != "HTTP/1.0" {
			return otherVersion
		}
	}
	return badStatus
}

// Reason returns the reason phrase as received, which may be empty.
func (p *Response) Reason() []byte { return p.reason.in(p.buf) }

// Body tells how the body of the response to a request of this method ends, by RFC 9112 section 6.3. A 205 is
// framed like any other: it must have no content, but the section does not say that it has none. Bytes that
// follow a body of BodyNone are not part of this response. It does not know CONNECT.
func (p *Response) Body(method []byte) Framing {
	switch {
	case p.Status < 200, p.Status == 204, p.Status == 304, string(method) == "HEAD":
		return BodyNone
	case p.Chunked:
		return BodyChunked
	case p.ContentLength >= 0:
		return BodyLength
	}
	return BodyClose
}
