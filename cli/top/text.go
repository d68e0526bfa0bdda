package top

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"l7/cli/words"
)

// look is what the terminal can show beside text.
type look struct{ colour bool }

// paint gives a text a look by its number.
func (l look) paint(number, text string) string {
	if !l.colour {
		return text
	}
	return words.Paint(number, text)
}

// cells is how wide a text is on the screen. Nearly all texts are ASCII, and need no look into the tables of Unicode.
func cells(text string) int {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return ansi.StringWidth(text)
		}
	}
	return len(text)
}

// cut shortens a text to so many cells.
func cut(text string, most int) string {
	if cells(text) <= most {
		return text
	}
	return ansi.Truncate(text, most, "…")
}

// cutLeft shortens a text from its beginning: servers of one backend differ at the end.
func cutLeft(text string, most int) string {
	if n := cells(text); n > most {
		return ansi.TruncateLeft(text, n-most+1, "…")
	}
	return text
}

// pad makes a text exactly so wide.
func pad(text string, wide int, right bool) string {
	text = cut(text, wide)
	gap := strings.Repeat(" ", max(0, wide-cells(text)))
	if right {
		return gap + text
	}
	return text + gap
}

// fit joins as many of the parts as the width has room for. The first are the most important; the first of all is cut if need be.
func fit(wide int, parts ...string) string {
	line := ""
	for i, part := range parts {
		switch {
		case part == "":
		case i == 0 || line == "":
			line = cut(part, wide)
		case cells(line)+2+cells(part) <= wide:
			line += "  " + part
		default:
			return line
		}
	}
	return line
}

// The figures have at most six characters, which is what their columns have room for.

// perSecond is how much there is of something in a second.
func perSecond(n float64) string {
	switch {
	case n <= 0:
		return "0"
	case n < 0.05:
		return "<0.1"
	case n < 9.95:
		return fmt.Sprintf("%.1f", n)
	case n < 99_999.5:
		return fmt.Sprintf("%.0f", n)
	case n < 9_999_500:
		return fmt.Sprintf("%.0fk", n/1000)
	}
	return fmt.Sprintf("%.0fM", n/1e6)
}

// millis is a time in milliseconds; '-' where there was nothing to measure.
func millis(ms float64) string {
	switch {
	case ms <= 0:
		return "-"
	case ms < 0.995:
		return fmt.Sprintf("%.2fms", ms)
	case ms < 9.95:
		return fmt.Sprintf("%.1fms", ms)
	case ms < 999.5:
		return fmt.Sprintf("%.0fms", ms)
	case ms < 9_950:
		return fmt.Sprintf("%.1fs", ms/1000)
	}
	return fmt.Sprintf("%.0fs", ms/1000)
}
