package accesslog

import "bytes"

// hidden stands for a value that is not to be read.
const hidden = "***"

// redactor is the names of query keys whose values are hidden.
type redactor []string

// hide returns a target or URL with the values of those keys replaced, and all else byte for byte as it was. It uses *buf
// when there is something to look at, so the result holds until the next call with that.
func (r redactor) hide(target []byte, buf *[]byte) []byte {
	if len(r) == 0 {
		return target
	}
	query := bytes.IndexByte(target, '?') + 1
	if query == 0 {
		return target
	}
	dst := append((*buf)[:0], target[:query]...)
	for rest := target[query:]; len(rest) > 0; {
		end := bytes.IndexAny(rest, "&;") // some servers still take ; for a separator
		if end < 0 {
			end = len(rest)
		}
		dst = r.appendPair(dst, rest[:end])
		next := min(end+1, len(rest))
		dst = append(dst, rest[end:next]...)
		rest = rest[next:]
	}
	*buf = dst
	return dst
}

func (r redactor) appendPair(dst, pair []byte) []byte {
	equals := bytes.IndexByte(pair, '=')
	if equals < 0 || !r.has(pair[:equals]) {
		return append(dst, pair...)
	}
	dst = append(dst, pair[:equals+1]...)
	return append(dst, hidden...)
}

func (r redactor) has(key []byte) bool {
	for _, name := range r {
		if decodesTo(key, name) {
			return true
		}
	}
	return false
}

// decodesTo reports whether a key, once decoded, is the name. A plus may be meant as itself or as a space; both are a
// match, because to hide too much is the smaller fault.
func decodesTo(key []byte, name string) bool {
	for len(key) > 0 {
		c, size := unescape(key)
		if name == "" || c != name[0] && (key[0] != '+' || name[0] != ' ') {
			return false
		}
		key, name = key[size:], name[1:]
	}
	return name == ""
}

// unescape returns the first byte and how many it was written with. A percent sign without two digits is just that.
func unescape(s []byte) (c byte, size int) {
	if s[0] != '%' || len(s) < 3 {
		return s[0], 1
	}
	high, low := digit(s[1]), digit(s[2])
	if high > 15 || low > 15 {
		return s[0], 1
	}
	return high<<4 | low, 3
}

// digit returns the value of a hexadecimal digit, or something over 15.
func digit(c byte) byte {
	switch lower := c | 0x20; {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= lower && lower <= 'f':
		return lower - 'a' + 10
	}
	return 0xff
}
