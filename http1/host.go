package http1

import "bytes"

// readHost reads the Host line of a request, RFC 9112 section 3.2. An empty one is for targets without an
// authority: a request for one of those (OPTIONS *) is told apart by h.hostOptional.
func (h *Head) readHost(v []byte, f *Field, seen Kinds) fault {
	if h.response {
		return none
	}
	if seen.Has(Host) {
		return repeatedHost
	}
	end := hostnameEnd(v)
	if end < 0 && (len(v) > 0 || !h.hostOptional) {
		return badHost
	}
	if h.host == (span{}) { // the authority of an absolute-form target comes before, and wins
		h.setHost(f.Value, v, max(end, 0))
	}
	return none
}

// setHost notes the authority v, found at start, whose name is its first end bytes.
func (h *Head) setHost(start uint32, v []byte, end int) {
	h.host = span{start, start + uint32(len(v))}
	h.hostname = span{start, start + uint32(end)}
}

// hostnameEnd returns the length of the name in v, which must be host [":" port] in the strict reading below, or -1.
//
// RFC 3986 allows more in a reg-name: percent-encoding and the delimiters !$&'()*+,;=. No host has them, and
// proxies differ in what they make of them, so a name is letters, digits, '-', '_' and single dots (one may
// end it), or an IPv6 address in brackets without a zone. A port is at most 65535 and may be empty.
func hostnameEnd(v []byte) int {
	var end int
	if len(v) > 0 && v[0] == '[' {
		end = bracketEnd(v)
	} else {
		end = nameEnd(v)
	}
	if end <= 0 || end < len(v) && !isPort(v[end:]) {
		return -1
	}
	return end
}

func nameEnd(v []byte) int {
	dot := true // an empty label is next to a dot or the start
	for i, c := range v {
		switch {
		case class[c]&isHostname != 0:
			dot = false
		case c == '.' && !dot:
			dot = true
		case c == ':':
			return i
		default:
			return -1
		}
	}
	return len(v)
}

// bracketEnd is lax on the form of the address, which names no server that exists when it is wrong.
func bracketEnd(v []byte) int {
	end := bytes.IndexByte(v, ']')
	if end < 3 || end > 46 || bytes.Count(v[:end], []byte{':'}) < 2 {
		return -1
	}
	for _, c := range v[1:end] {
		if hex[c] == notHex && c != ':' && c != '.' {
			return -1
		}
	}
	return end + 1
}

// isPort reports whether v is a colon and a port.
func isPort(v []byte) bool {
	if v[0] != ':' || len(v) > 6 {
		return false
	}
	n := 0
	for _, c := range v[1:] {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}
