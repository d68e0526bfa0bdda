// Package words is how the commands speak to a person on a terminal: lengths of time, numbers of things, colours.
package words

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// What a terminal knows looks by.
const (
	Bold    = "1"
	Faint   = "2"
	Reverse = "7"
	Red     = "31"
	Green   = "32"
	Yellow  = "33"
)

// Paint gives a text a look by its number; none leaves it as it is.
func Paint(number, text string) string {
	if number == "" || text == "" {
		return text
	}
	return "\x1b[" + number + "m" + text + "\x1b[0m"
}

// OfState is the look of a server's, a backend's or the process's state: it tells what should be well from what is kept away on purpose, and
// from what is fine.
func OfState(state string) string {
	switch state {
	case "available", "up", "serving":
		return ""
	case "draining", "weight 0", "not checked yet", "full":
		return Yellow
	}
	return Red
}

// OfEvent is the look of an event by the state that it tells of: bad news stand out.
func OfEvent(state string) string {
	switch state {
	case "unhealthy", "ejected", "down", "refused":
		return Red
	case "draining":
		return Yellow
	}
	return ""
}

// Plain makes a text fit for a terminal: what a server answered may be part of a reason.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// Age is a length of time in the two units that matter, as in 2m05s.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(d, 0)/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// Undrained says when a server is undrained by itself, behind why it is drained; empty where it is not.
func Undrained(until, now time.Time) string {
	if until.IsZero() {
		return ""
	}
	return "; undrained in " + Age(until.Sub(now))
}

// Count is a number of things, as in "1 server" and "2 servers".
func Count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
