package config

import (
	"fmt"
	"strings"
)

// HashOn is the part of a request that tells clients apart.
type HashOn struct {
	Part string // client_ip, path, header or cookie
	Name string // of the header or cookie
}

// UnmarshalText reads client_ip, path, header:NAME or cookie:NAME.
func (h *HashOn) UnmarshalText(text []byte) error {
	part, name, named := strings.Cut(string(text), ":")
	switch part {
	case "client_ip", "path":
		if named {
			return fmt.Errorf("%s: %s takes no name", quote(string(text)), part)
		}
	case "header", "cookie":
		if !isToken(name) {
			return fmt.Errorf("%s names no %s; want %s:NAME", quote(string(text)), part, part)
		}
	default:
		return fmt.Errorf("cannot use %s; want client_ip, path, header:NAME or cookie:NAME", quote(string(text)))
	}
	*h = HashOn{part, name}
	return nil
}

// isToken is true for what may be the name of a header field or a cookie (RFC 9110 section 5.6.2).
func isToken(text string) bool {
	for _, c := range []byte(text) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return text != ""
}

// MarshalText returns the form of String.
func (h HashOn) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// String returns the form that UnmarshalText reads.
func (h HashOn) String() string {
	if h.Name == "" {
		return h.Part
	}
	return h.Part + ":" + h.Name
}
