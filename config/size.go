package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. Its text carries a unit, as in 16KiB; 0 needs none.
type Size int64

// units are the binary ones, and the decimal ones that some prefer; the largest first, as String wants them.
var units = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// UnmarshalText reads a whole number with a unit: B, KiB, MiB, GiB, KB, MB or GB. 0 needs none.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := string(text), int64(0)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil || n < 0 || number[0] == '+':
		return fmt.Errorf("%s is not a size; want a whole number with its unit (B, KiB, MiB, GiB), as in 16KiB", quote(string(text)))
	case factor == 0 && n != 0:
		return fmt.Errorf("%s has no unit; write %sB for bytes, or KiB, MiB, GiB", quote(string(text)), number)
	case factor > 0 && n > math.MaxInt64/factor:
		return fmt.Errorf("%s is too large", quote(string(text)))
	}
	*s = Size(n * factor)
	return nil
}

// MarshalText returns the form of String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the size in the largest binary unit that it is a whole number of.
func (s Size) String() string {
	for _, u := range units[:3] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	if s == 0 {
		return "0"
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}
