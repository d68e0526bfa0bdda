package server

import (
	"bytes"
	"strconv"

	"l7/http1"
)

// appendRequestHead appends the head that goes to the server: the client's own lines in their order, but for those that end
// here or that we write anew, and behind them ours.
func (ss *session) appendRequestHead(dst []byte, upgrade []byte, expect bool) []byte {
	r := &ss.req
	dst = append(dst, r.Method()...)
	dst = append(dst, ' ')
	dst = r.AppendTarget(dst)
	dst = append(dst, " HTTP/1.1\r\n"...)
	trusted := ss.snapshot.trusts(ss.conn.peer)
	drop := ss.snapshot.dropAlways
	if !trusted {
		drop |= ss.snapshot.dropUntrusted
	}
	if r.Form == http1.AbsoluteForm || !r.Has(http1.Host) {
		drop |= http1.Host.Bit()
		dst = appendLine(dst, "Host: ", r.Host())
	}
	dst = http1.AppendFields(dst, r.Bytes(), r.Fields, drop)
	dst = ss.appendForwarding(dst, trusted)
	switch {
	case r.Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case r.ContentLength >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, r.ContentLength, 10)
		dst = append(dst, "\r\n"...)
	}
	if expect {
		dst = append(dst, "Expect: 100-continue\r\n"...)
	}
	if r.Chunked {
		dst = appendTrailerNames(dst, &r.Head)
	}
	switch {
	case upgrade != nil:
		dst = appendLine(dst, "Connection: Upgrade\r\nUpgrade: ", upgrade)
	case r.TETrailers:
		dst = append(dst, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	return append(dst, "\r\n"...)
}

func appendLine(dst []byte, name string, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// appendTrailerNames announces the trailers as the sender does, but for those that will not be passed on: there are parsers that
// refuse a message for their names alone.
func appendTrailerNames(dst []byte, h *http1.Head) []byte {
	if !h.Has(http1.Trailer) {
		return dst
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Kind == http1.Trailer {
			dst = appendTrailerLine(dst, f.ValueIn(h.Bytes()))
		}
	}
	return dst
}

func appendTrailerLine(dst, names []byte) []byte {
	before, separator := len(dst), "Trailer: "
	for name := range bytes.SplitSeq(names, []byte{','}) {
		if name = bytes.Trim(name, " \t"); http1.MayTrail(name) {
			dst = append(append(dst, separator...), name...)
			separator = ", "
		}
	}
	if len(dst) == before {
		return dst
	}
	return append(dst, "\r\n"...)
}

// appendStatus appends a status line with the reason phrase as received.
func appendStatus(dst []byte, r *http1.Response) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, byte('0'+r.Status/100), byte('0'+r.Status/10%10), byte('0'+r.Status%10), ' ')
	dst = append(dst, r.Reason()...)
	return append(dst, "\r\n"...)
}

// appendResponseHead appends the head that goes to the client: the server's own lines, but for those that end here.
func (ss *session) appendResponseHead(dst []byte, framing http1.Framing, keep bool) []byte {
	r, hsts := &ss.exchange.Response, ss.hsts()
	dst = appendStatus(dst, r)
	drop := http1.HopByHop | hsts.replaces
	if r.Status == 204 {
		drop |= http1.ContentLength.Bit() // RFC 9110 section 8.6 forbids it
	}
	if len(ss.id) > 0 {
		drop |= http1.XRequestID.Bit() // ours tells the client more: it is in the log
	}
	dst = http1.AppendFields(dst, r.Bytes(), r.Fields, drop)
	dst = append(append(ss.appendRequestID(dst), ss.cookie...), hsts.line...)
	if ss.req.Minor == 1 && (framing == http1.BodyChunked || framing == http1.BodyClose) {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		if ss.req.TETrailers {
			dst = appendTrailerNames(dst, &r.Head)
		}
	}
	return append(appendConnection(dst, ss.req.Minor, keep), "\r\n"...)
}

// policy is a header line that clients get from us, in whose place they get none from servers.
type policy struct {
	line     string // empty: they get none from us
	replaces http1.Kinds
}

// hsts is what a client is told of https. One that does not speak TLS would not believe it (RFC 6797 section 8.1).
func (ss *session) hsts() policy {
	if !ss.conn.secure {
		return policy{}
	}
	return ss.snapshot.hsts
}

// appendConnection says whether the connection stays open, where the version does not (RFC 9112 section 9.3).
func appendConnection(dst []byte, minor uint8, keep bool) []byte {
	switch {
	case !keep:
		return append(dst, "Connection: close\r\n"...)
	case minor == 0:
		return append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst
}

// appendSwitch appends the 101 response.
func (ss *session) appendSwitch(dst []byte) []byte {
	r, hsts := &ss.exchange.Response, ss.hsts()
	dst = appendStatus(dst, r)
	dst = http1.AppendFields(dst, r.Bytes(), r.Fields, http1.HopByHop|http1.ContentLength.Bit()|hsts.replaces)
	dst = append(append(ss.appendRequestID(dst), ss.cookie...), hsts.line...)
	return append(appendLine(dst, "Connection: Upgrade\r\nUpgrade: ", r.Upgrade()), "\r\n"...)
}
