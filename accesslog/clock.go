package accesslog

import "time"

// clock keeps the texts of the latest second, because most requests of a moment share it. It is always UTC: then a line
// means the same wherever it is read, and there is no hour that comes twice.
type clock struct {
	second int64
	millis int
	iso    []byte // without fraction and zone; empty: nothing is kept yet
	clf    []byte
}

func (c *clock) set(t time.Time) {
	c.millis = t.Nanosecond() / int(time.Millisecond)
	if second := t.Unix(); second != c.second || len(c.iso) == 0 {
		c.second = second
		t = t.UTC()
		c.iso = t.AppendFormat(c.iso[:0], "2006-01-02T15:04:05")
		c.clf = t.AppendFormat(c.clf[:0], "02/Jan/2006:15:04:05 -0700")
	}
}

// appendISO appends the time as in RFC 3339, with milliseconds.
func (c *clock) appendISO(dst []byte) []byte {
	dst = append(dst, c.iso...)
	dst = appendFraction(dst, c.millis)
	return append(dst, 'Z')
}

// appendMillis appends a duration in milliseconds, cut to microseconds. No time is negative: a clock that was set back
// must not upset whoever adds these up.
func appendMillis(dst []byte, d time.Duration) []byte {
	us := max(d, 0).Microseconds()
	dst = appendInt(dst, us/1000)
	return appendFraction(dst, int(us%1000))
}

// appendFraction appends a point and three digits.
func appendFraction(dst []byte, thousandths int) []byte {
	return append(dst, '.', '0'+byte(thousandths/100), '0'+byte(thousandths/10%10), '0'+byte(thousandths%10))
}
