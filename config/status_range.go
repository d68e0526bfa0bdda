package config

import (
	"fmt"
	"strconv"
	"strings"
)

// StatusRange is a range of status codes, both ends included. The zero value holds none.
type StatusRange struct{ First, Last int }

// Contains is true for a status in the range.
func (r StatusRange) Contains(status int) bool { return r.First <= status && status <= r.Last }

// UnmarshalText reads a range, as in 200-399, or one status.
func (r *StatusRange) UnmarshalText(text []byte) error {
	first, last, isRange := strings.Cut(string(text), "-")
	if !isRange {
		last = first
	}
	least, ok := status(first)
	most, okLast := status(last)
	if !ok || !okLast || least > most {
		return fmt.Errorf("%s is not a status; want one from 100 to 599, as in 503, or a range, as in 500-599", quote(string(text)))
	}
	*r = StatusRange{least, most}
	return nil
}

func status(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && len(text) == 3 && n >= 100 && n <= 599
}

// MarshalText returns the form of String.
func (r StatusRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String returns the range as in 200-399, a single status alone, and nothing for the zero value.
func (r StatusRange) String() string {
	switch {
	case r == (StatusRange{}):
		return ""
	case r.First == r.Last:
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}
