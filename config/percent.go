package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Percent is a whole number of hundredths from 0 to 100. Its text ends in %.
type Percent int

// UnmarshalText reads a whole number with a percent sign, as in 20%.
func (p *Percent) UnmarshalText(text []byte) error {
	digits, marked := strings.CutSuffix(string(text), "%")
	n, err := parseNumber(digits)
	switch {
	case err == nil && !marked:
		return fmt.Errorf("%s has no unit; write %d%%", quote(string(text)), n)
	case err != nil || digits[0] == '-' || n > 100:
		return fmt.Errorf("%s is not a share; want 0%% to 100%%, as in 20%%", quote(string(text)))
	}
	*p = Percent(n)
	return nil
}

// MarshalText returns the form of String.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns the number with a percent sign.
func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }
