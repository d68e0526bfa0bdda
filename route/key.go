package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// MaxPrefix is how long the prefix of a key may be, in bytes after decoding.
const MaxPrefix = 1024

var (
	errKeyWildcard = errors.New("a wildcard is the whole first part, as in \"*.example.com\", or the whole host, \"*\"")
	errKeyScheme   = errors.New("a key has no scheme; write the host and, if need be, a path")
	errKeyHost     = errors.New("the host is missing; write \"*\" for every host")
	errKeyQuery    = errors.New("a prefix has no '?' or '#'; write %3F or %23 if the path has such a byte")
	errKeyControl  = errors.New("it has a control byte")
	errKeyLength   = fmt.Errorf("it is longer than %d bytes", MaxPrefix)
)

// Key says which requests a rule covers. Keys that cover the same requests are equal.
type Key struct {
	Host   string // as NormalizeHost returns it, or "*", or "*." before such a name
	Prefix string // "" or "/api": decoded, slashes merged, none at the end
}

// ParseKey reads a key as the config has it: "example.com", "*.example.com", "example.com/api", "*", "*/api", "[::1]/x".
// The prefix may be percent-encoded, and a lone "/" is none.
func ParseKey(s string) (Key, error) {
	if strings.Contains(s, "://") {
		return Key{}, fmt.Errorf("cannot read key %q: %w", s, errKeyScheme)
	}
	i := strings.IndexByte(s, '/')
	if i < 0 {
		i = len(s)
	}
	if i == 0 {
		return Key{}, fmt.Errorf("cannot read key %q: %w", s, errKeyHost)
	}
	host, err := parseHost(s[:i])
	if err != nil {
		return Key{}, fmt.Errorf("cannot read host %q: %w", s[:i], err)
	}
	prefix, err := parsePrefix(s[i:])
	if err != nil {
		return Key{}, fmt.Errorf("cannot read prefix %q of host %q: %w", s[i:], s[:i], err)
	}
	return Key{Host: host, Prefix: prefix}, nil
}

func parseHost(s string) (string, error) {
	if s == "*" {
		return s, nil
	}
	if err := refusePort(s); err != nil {
		return "", err
	}
	name, isWild := strings.CutPrefix(s, "*.")
	if strings.Contains(name, "*") || isWild && (name == "" || name[0] == '[') {
		return "", errKeyWildcard
	}
	host, err := NormalizeHost(nil, []byte(name))
	if err != nil {
		return "", err
	}
	if isWild {
		return "*." + string(host), nil
	}
	return string(host), nil
}

// refusePort tells the one who writes a port that it would do nothing.
func refusePort(s string) error {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is6() {
		return fmt.Errorf("an IPv6 address is written in brackets: \"[%s]\"", s)
	}
	i := strings.LastIndexByte(s, ':')
	if i <= 0 || !isPort([]byte(s[i+1:])) || s[0] == '[' && s[i-1] != ']' {
		return nil
	}
	return fmt.Errorf("ports are ignored when a request is matched; write %q", s[:i])
}

func parsePrefix(s string) (string, error) {
	if strings.ContainsAny(s, "?#") {
		return "", errKeyQuery
	}
	path, parameters, err := decode(make([]byte, 0, len(s)), []byte(s), false)
	switch {
	case err != nil:
		return "", err
	case parameters:
		return "", errParameters
	}
	prefix := strings.TrimSuffix(string(path), "/")
	if strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errKeyControl
	}
	if len(prefix) > MaxPrefix {
		return "", errKeyLength
	}
	return prefix, nil
}

// String returns the key so that ParseKey reads it back, in printable ASCII.
func (k Key) String() string {
	var b strings.Builder
	b.WriteString(k.Host)
	for i := range len(k.Prefix) {
		switch c := k.Prefix[i]; {
		case c <= ' ' || c >= 0x7f || c == '%' || c == '?' || c == '#':
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
