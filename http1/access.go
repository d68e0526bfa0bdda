package http1

import "bytes"

// What a handler asks of a complete request. The slices alias the head's bytes. Of a request that is incomplete or was
// refused they are empty.

// Method returns the method.
func (r *Request) Method() []byte { return r.method.in(r.buf) }

// Target returns the request target as received.
func (r *Request) Target() []byte { return r.target.in(r.buf) }

// Host returns the authority that the request is for, with its port: that of an absolute-form target, whatever Host
// says (RFC 9112 section 3.2.2), or that of CONNECT, or the Host field. It is empty when HTTP/1.0 has none.
func (r *Request) Host() []byte { return r.host.in(r.buf) }

// Hostname returns Host without the port, in the case received; an IPv6 address keeps its brackets, a name its final dot.
func (r *Request) Hostname() []byte { return r.hostname.in(r.buf) }

// Scheme returns the scheme of an absolute-form target as received, nil for the other forms.
func (r *Request) Scheme() []byte {
	if r.Form != AbsoluteForm {
		return nil
	}
	return r.scheme.in(r.buf)
}

// Path returns the path, raw, without the query. It starts with a slash, but is * for the asterisk-form, and empty for CONNECT.
func (r *Request) Path() []byte {
	if r.Form == AuthorityForm {
		return nil
	}
	path, _, _ := bytes.Cut(r.origin.in(r.buf), question)
	if len(path) == 0 {
		return slash
	}
	return path
}

// Query returns what follows the first question mark of the target, raw.
func (r *Request) Query() []byte {
	_, query, _ := bytes.Cut(r.origin.in(r.buf), question)
	return query
}

var (
	question = []byte{'?'}
	slash    = []byte{'/'}
	asterisk = []byte{'*'}
)

// AppendTarget appends the target to send to a server: the target as received, or an absolute-form one cut
// to its origin-form, which is * for OPTIONS without path and query (RFC 9112 section 3.2.4).
func (r *Request) AppendTarget(dst []byte) []byte {
	origin := r.origin.in(r.buf)
	switch {
	case len(origin) == 0 && string(r.Method()) == "OPTIONS":
		return append(dst, asterisk...)
	case len(origin) == 0 || origin[0] == '?':
		dst = append(dst, slash...)
	}
	return append(dst, origin...)
}

// HasBody reports whether a body follows the head, be it an empty chunked one.
func (r *Request) HasBody() bool { return r.Chunked || r.ContentLength > 0 }

// Idempotent reports whether the request may be sent again after it may have been acted on, RFC 9110 section 9.2.2.
func (r *Request) Idempotent() bool {
	switch string(r.Method()) {
	case "PUT", "DELETE":
		return true
	}
	return r.Safe()
}

// Safe reports whether the request asks for no change, RFC 9110 section 9.2.1.
func (r *Request) Safe() bool {
	switch string(r.Method()) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}
