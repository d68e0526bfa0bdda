package http1

// Tables with one entry per byte value: a load and a test per byte, no chain of comparisons.

const (
	isToken      = 1 << iota // tchar of RFC 9110 section 5.6.2
	isUnderscore             // set besides isToken
	isHostname               // what a host name of ours may hold besides the dot
)

var (
	class = makeClass()
	lower = makeLower()
	hex   = makeHex()
)

// notHex is hex's entry for a byte that is no hexadecimal digit.
const notHex = 0xff

func makeClass() (t [256]uint8) {
	for c := range t {
		if alphanumeric(byte(c)) {
			t[c] = isToken | isHostname
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = isToken
	}
	t['-'] |= isHostname
	t['_'] |= isHostname | isUnderscore
	return t
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func makeLower() (t [256]byte) {
	for c := range t {
		t[c] = byte(c)
		if c >= 'A' && c <= 'Z' {
			t[c] = byte(c) + 'a' - 'A'
		}
	}
	return t
}

func makeHex() (t [256]byte) {
	for c := range t {
		t[c] = notHex
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	for i, c := range []byte("ABCDEF") {
		t[c] = byte(i + 10)
	}
	return t
}

// EqualFold reports whether b is word but for the case of ASCII letters. The word must be in lower case.
func EqualFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		if lower[b[i]] != word[i] {
			return false
		}
	}
	return true
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && EqualFold(b[:len(prefix)], prefix)
}

// sameFold reports whether two names are the same but for the case of ASCII letters.
func sameFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower[a[i]] != lower[b[i]] {
			return false
		}
	}
	return true
}

// tokenEnd returns the index of the first byte at or after i that is no tchar, or len(b).
func tokenEnd(b []byte, i int) int {
	for i < len(b) && class[b[i]]&isToken != 0 {
		i++
	}
	return i
}

// isOWS tells the two bytes of optional whitespace, RFC 9110 section 5.6.3.
func isOWS(c byte) bool { return c == ' ' || c == '\t' }

// trimOWS cuts optional whitespace from both ends.
func trimOWS(b []byte) []byte {
	for len(b) > 0 && isOWS(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isOWS(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
