package accesslog

import (
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// fields is a line of names and values, in JSON or in logfmt. Both are written by one list, so that they cannot differ.
type fields struct {
	dst  []byte
	json bool
}

// appendFields appends the line without its end.
func appendFields(dst []byte, n *line, json bool) []byte {
	f := fields{dst: dst, json: json}
	f.time(n.clock)
	text(&f, "id", n.ID)
	text(&f, "client", n.Client)
	text(&f, "user", n.User)
	text(&f, "method", n.Method)
	text(&f, "host", n.Host)
	text(&f, "path", n.target)
	text(&f, "proto", n.Proto)
	f.number("status", int64(n.Status))
	f.number("bytes_in", n.BytesIn)
	f.number("bytes_out", n.BytesOut)
	text(&f, "backend", n.Backend)
	text(&f, "server", n.Server)
	f.number("attempts", int64(n.Attempts))
	text(&f, "cause", n.Cause)
	f.duration("queue_ms", n.Queue)
	f.duration("connect_ms", n.Connect)
	f.duration("first_byte_ms", n.FirstByte)
	f.duration("total_ms", n.Total)
	text(&f, "referer", n.referer)
	text(&f, "user_agent", n.UserAgent)
	if json {
		f.dst = append(f.dst, '}')
	}
	return f.dst
}

// time is the first field, with nothing to set it apart from.
func (f *fields) time(c *clock) {
	if !f.json {
		f.dst = c.appendISO(append(f.dst, "time="...))
		return
	}
	f.dst = c.appendISO(append(f.dst, `{"time":"`...))
	f.dst = append(f.dst, '"')
}

func (f *fields) name(name string) {
	if f.json {
		f.dst = append(f.dst, ',', '"')
		f.dst = append(f.dst, name...)
		f.dst = append(f.dst, '"', ':')
		return
	}
	f.dst = append(f.dst, ' ')
	f.dst = append(f.dst, name...)
	f.dst = append(f.dst, '=')
}

func (f *fields) number(name string, n int64) {
	f.name(name)
	f.dst = appendInt(f.dst, n)
}

func (f *fields) duration(name string, d time.Duration) {
	f.name(name)
	f.dst = appendMillis(f.dst, d)
}

// text is a function because a method cannot be generic. Logfmt quotes as JSON does, but only where it has to.
func text[T string | []byte](f *fields, name string, value T) {
	if len(value) == 0 {
		return
	}
	f.name(name)
	if !f.json && isBare(value) {
		f.dst = append(f.dst, value...)
		return
	}
	f.dst = append(f.dst, '"')
	f.dst = appendEscaped(f.dst, value)
	f.dst = append(f.dst, '"')
}

// isBare reports whether a value of logfmt needs no quotes.
func isBare[T string | []byte](value T) bool {
	for i := range len(value) {
		if c := value[i]; !isPlain(c) || c == ' ' || c == '=' {
			return false
		}
	}
	return true
}

// appendEscaped appends the inside of a JSON string. Bytes that are no UTF-8 become U+FFFD, each by itself.
func appendEscaped[T string | []byte](dst []byte, value T) []byte {
	start := 0
	for i := 0; i < len(value); {
		if isPlain(value[i]) {
			i++
			continue
		}
		dst = append(dst, value[start:i]...)
		r, size := utf8.DecodeRuneInString(string(value[i:min(i+utf8.UTFMax, len(value))]))
		dst = appendRune(dst, r)
		i += size
		start = i
	}
	return append(dst, value[start:]...)
}

// appendRune also escapes what JSON would allow and people cannot see: other line ends (U+0085, U+2028), control codes
// that a terminal obeys, and marks that turn the direction of the text around.
func appendRune(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case strconv.IsPrint(r):
		return utf8.AppendRune(dst, r)
	case r <= 0xffff:
		return appendUnit(dst, r)
	}
	high, low := utf16.EncodeRune(r)
	return appendUnit(appendUnit(dst, high), low)
}

func appendUnit(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

const hex = "0123456789abcdef"

// isPlain reports whether a byte stands for itself between quotes, in every format.
func isPlain(c byte) bool { return ' ' <= c && c <= '~' && c != '"' && c != '\\' }

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
