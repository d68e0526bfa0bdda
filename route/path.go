package route

import (
	"errors"
	"fmt"
)

// ErrAmbiguousPath says that servers may read the path in more than one way, so that a route by it cannot be trusted.
var ErrAmbiguousPath = errors.New("ambiguous path")

// What makes a path ambiguous. A server resolves a dot segment, or does not; an encoded slash is one to some servers
// and a byte of a segment to others (RFC 3986, 2.2); a backslash is a slash to several; C strings end at a NUL. Servers of Java cut
// parameters off a segment (RFC 3986, 3.3) before all that, so that "..;x" is a dot segment, and "/api;x" is "/api".
var (
	errDotSegment   = fmt.Errorf("%w: it has a dot segment", ErrAmbiguousPath)
	errEncodedSlash = fmt.Errorf("%w: it has an encoded slash", ErrAmbiguousPath)
	errBackslash    = fmt.Errorf("%w: it has a backslash", ErrAmbiguousPath)
	errNUL          = fmt.Errorf("%w: it has a NUL byte", ErrAmbiguousPath)
	errEscape       = fmt.Errorf("%w: it has a '%%' without two hex digits behind it", ErrAmbiguousPath)
	errParameters   = fmt.Errorf("%w: it has a ';', which some servers cut off with what is behind it in the segment", ErrAmbiguousPath)
)

// decode appends path to dst, percent-decoded (once) and with runs of slashes merged, as far as the capacity of dst
// goes; with cut also without the parameters of its segments, of which parameters tells whether there are any. It checks the path to its end all
// the same.
func decode(dst, path []byte, cut bool) (decoded []byte, parameters bool, err error) {
	var s segment
	for i := 0; i < len(path); {
		c, n := octet(path[i:])
		switch {
		case n == 0:
			return dst, parameters, errEscape
		case c == 0:
			return dst, parameters, errNUL
		case c == '\\':
			return dst, parameters, errBackslash
		case c == '/' && n > 1:
			return dst, parameters, errEncodedSlash
		case c == '/' && s.isDots():
			return dst, parameters, errDotSegment
		}
		isRepeat := c == '/' && i > 0 && (s.size == 0 || cut && s.name == 0)
		if c == '/' {
			s = segment{}
		} else {
			s.add(c)
		}
		parameters = parameters || s.parameters
		if !isRepeat && !(cut && s.parameters) && len(dst) < cap(dst) {
			dst = append(dst, c)
		}
		i += n
	}
	if s.isDots() {
		return dst, parameters, errDotSegment
	}
	return dst, parameters, nil
}

// segment is what decode has seen of one.
type segment struct {
	size       int // in bytes
	name, dots int // of these before its parameters, and of those the dots
	parameters bool
}

func (s *segment) add(c byte) {
	s.size++
	s.parameters = s.parameters || c == ';'
	if s.parameters {
		return
	}
	s.name++
	if c == '.' {
		s.dots++
	}
}

// isDots is true for "." and "..", with parameters or without.
func (s *segment) isDots() bool { return s.dots == s.name && (s.name == 1 || s.name == 2) }

// octet returns the first byte of s, decoded, and how many bytes it takes there; 0 if the escape is not valid.
func octet(s []byte) (c byte, n int) {
	if s[0] != '%' {
		return s[0], 1
	}
	if len(s) < 3 {
		return 0, 0
	}
	hi, lo := unhex(s[1]), unhex(s[2])
	if hi > 0xf || lo > 0xf {
		return 0, 0
	}
	return hi<<4 | lo, 3
}

// unhex returns more than 0xf for what is not a hex digit.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	default:
		return 0xff
	}
}
