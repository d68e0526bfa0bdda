package http1

import "bytes"

// Form is the form of a request target, RFC 9112 section 3.2.
type Form uint8

// The forms. AuthorityForm is for CONNECT only, AsteriskForm for OPTIONS only.
const (
	OriginForm Form = iota
	AbsoluteForm
	AuthorityForm
	AsteriskForm
)

// readTarget finds the target's form, and in it the authority and the path with query.
func (r *Request) readTarget(buf []byte) fault {
	t := r.target.in(buf)
	r.origin = r.target
	if bytes.IndexByte(t, '#') >= 0 {
		return badTarget
	}
	connect := string(r.method.in(buf)) == "CONNECT"
	if t[0] == '/' && !connect {
		r.Form = OriginForm
		return none
	}
	return r.readRareTarget(buf, t, connect)
}

func (r *Request) readRareTarget(buf, t []byte, connect bool) fault {
	switch {
	case connect:
		return r.readAuthority(t)
	case len(t) == 1 && t[0] == '*' && string(r.method.in(buf)) == "OPTIONS":
		r.Form = AsteriskForm
		r.hostOptional = true
		return none
	case hasPrefixFold(t, "http://"):
		return r.readAbsolute(t, len("http"))
	case hasPrefixFold(t, "https://"):
		return r.readAbsolute(t, len("https"))
	}
	return badTarget
}

// readAuthority reads the target of CONNECT, in which the port is required.
func (r *Request) readAuthority(t []byte) fault {
	end := hostnameEnd(t)
	if end < 0 || end+1 >= len(t) {
		return badTarget
	}
	r.Form = AuthorityForm
	r.setHost(r.target.start, t, end)
	return none
}

// readAbsolute splits scheme "://" authority [path] ["?" query]. The authority holds to the same rules as Host.
func (r *Request) readAbsolute(t []byte, scheme int) fault {
	start := scheme + len("://")
	n := bytes.IndexAny(t[start:], "/?")
	if n < 0 {
		n = len(t) - start
	}
	authority := t[start : start+n]
	end := hostnameEnd(authority)
	if end < 0 {
		return badTarget
	}
	r.Form = AbsoluteForm
	r.scheme = span{r.target.start, r.target.start + uint32(scheme)}
	r.setHost(r.target.start+uint32(start), authority, end)
	r.origin.start += uint32(start + n)
	return none
}
