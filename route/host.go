package route

import (
	"bytes"
	"errors"
	"net/netip"
	"unsafe"
)

// The limits of DNS (RFC 1035, 2.3.4), without the trailing dot. They also bound the work of a lookup.
const (
	maxHost   = 253
	maxLabel  = 63
	maxLabels = (maxHost + 1) / 2
)

// Fixed values, so that refusing a host allocates nothing.
var (
	errHostByte   = errors.New("a host has only letters, digits, '-', '_' and '.'")
	errHostASCII  = errors.New("a host has only ASCII; write an international name in its \"xn--\" form")
	errHostLabel  = errors.New("a part between the dots is empty or longer than 63 bytes")
	errHostLength = errors.New("it is longer than 253 bytes")
	errHostIPv6   = errors.New("it is not an IPv6 address in brackets, without a zone")
	errHostPort   = errors.New("the port is not a number from 0 to 65535")
	errHostEmpty  = errors.New("it is empty")
)

// NormalizeHost appends to dst the host as Lookup and Key have it: in lower case, without its port and without one
// trailing dot, an IPv6 address in brackets and in its canonical text (RFC 5952). The host is the value of a Host field
// or the authority of a target, without white space around it; an empty one is fine and stays empty.
// Anything that is not plainly a name or an address is an error (answer it with 400), and dst comes back as it was.
// The names and numbers in a host are not looked at further: "127.1" stays as it is.
func NormalizeHost(dst, host []byte) ([]byte, error) {
	if len(host) == 0 {
		return dst, nil
	}
	if host[0] == '[' {
		return appendIPv6(dst, host)
	}
	name, port, hasPort := bytes.Cut(host, []byte{':'})
	if hasPort && !isPort(port) {
		return dst, errHostPort
	}
	return appendName(dst, name)
}

func appendIPv6(dst, host []byte) ([]byte, error) {
	text, port, found := bytes.Cut(host[1:], []byte{']'})
	if !found || bytes.IndexByte(text, '%') >= 0 || len(port) > 0 && port[0] != ':' {
		return dst, errHostIPv6
	}
	if len(port) > 0 && !isPort(port[1:]) {
		return dst, errHostPort
	}
	// netip keeps its argument in the error only, which is dropped here: nothing holds on to the caller's bytes.
	// A copy would be an allocation for each request.
	addr, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(text), len(text))) //nolint:gosec // as said above
	if err != nil || !addr.Is6() {
		return dst, errHostIPv6
	}
	return append(addr.AppendTo(append(dst, '[')), ']'), nil
}

// isPort takes an empty one, too: "a:" is a valid authority (RFC 3986, 3.2.3).
func isPort(s []byte) bool {
	port := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
		if port = port*10 + int(c-'0'); port > 65535 {
			return false
		}
	}
	return true
}

func appendName(dst, name []byte) ([]byte, error) {
	if len(name) > 0 && name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	switch {
	case len(name) == 0:
		return dst, errHostEmpty
	case len(name) > maxHost:
		return dst, errHostLength
	}
	out, label := dst, 0 // label: bytes of the current one
	for _, c := range name {
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_':
		case c == '.' && label > 0:
			out, label = append(out, c), 0
			continue
		default:
			return dst, byteError(c)
		}
		if label++; label > maxLabel {
			return dst, errHostLabel
		}
		out = append(out, c)
	}
	if label == 0 { // the dot that was dropped was one of two
		return dst, errHostLabel
	}
	return out, nil
}

// byteError says what is wrong with a byte that no host has at its place.
func byteError(c byte) error {
	switch {
	case c == '.':
		return errHostLabel
	case c >= 0x80:
		return errHostASCII
	default:
		return errHostByte
	}
}
