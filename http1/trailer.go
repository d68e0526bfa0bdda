package http1

import "bytes"

// Trailers returns the trailer section once Done reports true: its bytes, and its fields as offsets into them, valid
// until Reset. Fields that must not come as trailers have the kind Forbidden, so that AppendFields with HopByHop drops them.
func (c *Chunked) Trailers() ([]byte, []Field) { return c.trailer, c.fields }

// readTrailer consumes at most one line. Lines are collected, because they may come in portions and have to outlive p.
func (c *Chunked) readTrailer(p []byte) int {
	if len(c.trailer) == 0 && p[0] == '\r' {
		c.state = chunkFinalLF
		return 1
	}
	lf := bytes.IndexByte(p, '\n')
	n := lf + 1
	if lf < 0 {
		n = len(p)
	}
	if len(c.trailer)+n > maxTrailers {
		return c.fail(trailersTooLarge)
	}
	c.trailer = append(c.trailer, p[:n]...)
	if lf >= 0 {
		c.trailerLine()
	}
	return n
}

// trailerLine reads the line that has just become complete.
func (c *Chunked) trailerLine() {
	line := c.trailer[c.line:]
	if string(line) == "\r\n" {
		c.state = chunkDone
		return
	}
	var f Field
	end, flt := readField(c.trailer, c.line, &f)
	if end == 0 {
		c.fail(judge(line, flt))
		return
	}
	if len(c.fields) == maxTrailerFields {
		c.fail(tooManyTrailers)
		return
	}
	if forbiddenTrailer(f.NameIn(c.trailer), f.Kind) {
		f.Kind = Forbidden
	}
	c.fields = append(c.fields, f)
	c.line = end
}

// neverTrailers are the names without a kind that RFC 9110 section 6.5.1 keeps out of trailers: request
// modifiers, authentication, and what controls the response.
var neverTrailers = [...]string{
	"cache-control", "max-forwards", "pragma", "range",
	"www-authenticate", "authentication-info", "proxy-authentication-info", "set-cookie2",
	"age", "expires", "location", "retry-after", "vary", "warning",
}

// MayTrail reports whether a name is that of a field that may come as a trailer, RFC 9110 section 6.5.1.
func MayTrail(name []byte) bool {
	return len(name) > 0 && tokenEnd(name, 0) == len(name) && !forbiddenTrailer(name, kindOf(name))
}

// forbiddenTrailer reports whether a field may not be a trailer. Every name that has a kind is of framing, routing,
// authentication or for one hop. Of Content-*, only Content-Digest is made for trailers (RFC 9530 section 2).
func forbiddenTrailer(name []byte, kind Kind) bool {
	if kind != Plain && kind != Underscored {
		return true
	}
	if hasPrefixFold(name, "content-") && !EqualFold(name, "content-digest") || hasPrefixFold(name, "if-") {
		return true
	}
	for _, never := range neverTrailers {
		if EqualFold(name, never) {
			return true
		}
	}
	return false
}
