package config

import (
	"fmt"
	"strings"
	"time"
)

// Rate is how many in how long a time. The zero value is no bound.
type Rate struct {
	Count int
	Per   time.Duration
}

// UnmarshalText reads a whole number over a unit of time: 100/s, 600/m or 5000/h. Nothing is no bound.
func (r *Rate) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Rate{}
		return nil
	}
	count, unit, _ := strings.Cut(string(text), "/")
	n, err := parseNumber(count)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if err != nil || n <= 0 || per == 0 || n > 1_000_000_000 {
		return fmt.Errorf("%s is not a rate; want a whole number from 1 up over s, m or h, as in 100/s", quote(string(text)))
	}
	*r = Rate{n, per}
	return nil
}

// MarshalText returns the form of String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String returns the rate as in 100/s, and nothing for no bound.
func (r Rate) String() string {
	if r == (Rate{}) {
		return ""
	}
	return fmt.Sprintf("%d/%s", r.Count, map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per])
}
