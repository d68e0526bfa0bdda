package route

import (
	"errors"
	"fmt"
)

// ErrAmbiguousPath says that servers may read the path in more than one way, so that a route by it cannot be trusted.
var ErrAmbiguousPath = errors.New("ambiguous path")

// What makes a path ambiguous. A server resolves a dot segment, or does not; an encoded slash is one to some servers
// and a byte of a segment to others (RFC 3986, 2.2); a backslash is a slash to several; C strings end at a NUL.
var (
	errDotSegment   = fmt.Errorf("%w: it has a dot segment", ErrAmbiguousPath)
	errEncodedSlash = fmt.Errorf("%w: it has an encoded slash", ErrAmbiguousPath)
	errBackslash    = fmt.Errorf("%w: it has a backslash", ErrAmbiguousPath)
	errNUL          = fmt.Errorf("%w: it has a NUL byte", ErrAmbiguousPath)
	errEscape       = fmt.Errorf("%w: it has a '%%' without two hex digits behind it", ErrAmbiguousPath)
)

// decode appends path to dst, percent-decoded (once) and with runs of slashes merged, as far as the capacity of dst
// goes. It checks the path to its end all the same.
func decode(dst, path []byte) ([]byte, error) {
	size, dots := 0, 0 // of the segment so far: its bytes, and how many of them are dots
	for i := 0; i < len(path); {
		c, n := octet(path[i:])
		switch {
		case n == 0:
			return dst, errEscape
		case c == 0:
			return dst, errNUL
		case c == '\\':
			return dst, errBackslash
		case c == '/' && n > 1:
			return dst, errEncodedSlash
		case c == '/' && isDotSegment(size, dots):
			return dst, errDotSegment
		}
		isRepeat := c == '/' && size == 0 && i > 0
		if !isRepeat && len(dst) < cap(dst) {
			dst = append(dst, c)
		}
		switch c {
		case '/':
			size, dots = 0, 0
		case '.':
			size, dots = size+1, dots+1
		default:
			size++
		}
		i += n
	}
	if isDotSegment(size, dots) {
		return dst, errDotSegment
	}
	return dst, nil
}

// isDotSegment recognises "." and ".." by their length and the number of dots in them.
func isDotSegment(size, dots int) bool {
	return dots == size && (size == 1 || size == 2)
}

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
