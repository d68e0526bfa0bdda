package server

import (
	"bytes"

	"l7/http1"
)

// stuck is the value of the cookie that the backend keeps its clients at a server by; nil where there is none.
func (ss *session) stuck(b *backend) []byte {
	if b.cookie == "" {
		return nil
	}
	return ss.cookieValue(b.cookie)
}

// stickTo tells the client to come back to the server that has answered, unless it knows.
func (ss *session) stickTo(b *backend) {
	if b.cookie == "" {
		return
	}
	if m := ss.request.Member(); m.Stick() != string(ss.request.Stuck) {
		ss.cookie = b.cookieLines[m.Stick()]
		if ss.conn.secure {
			ss.cookie = b.secureCookieLines[m.Stick()]
		}
	}
}

// cookieValue is the value of the first cookie of that name (RFC 6265 section 5.4).
func (ss *session) cookieValue(name string) []byte {
	r := &ss.req
	for i := range r.Fields {
		f := &r.Fields[i]
		if !http1.EqualFold(f.NameIn(r.Bytes()), "cookie") {
			continue
		}
		for pair := range bytes.SplitSeq(f.ValueIn(r.Bytes()), []byte{';'}) {
			key, value, found := bytes.Cut(bytes.TrimLeft(pair, " \t"), []byte{'='})
			if found && string(key) == name {
				return value
			}
		}
	}
	return nil
}
