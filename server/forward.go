package server

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"

	"l7/http1"
)

// Fields that tell a server about the client. From a client that is not trusted they are dropped: it could write what it likes.
const (
	forwardingKinds = 1<<http1.XForwardedFor | 1<<http1.XForwardedProto | 1<<http1.XForwardedHost | 1<<http1.XForwardedPort |
		1<<http1.XForwardedOther | 1<<http1.XRealIP | 1<<http1.Forwarded | http1.Kinds(0)
	// alwaysWritten are written anew for every request, with what a trusted client said in them.
	alwaysWritten = 1<<http1.XForwardedFor | http1.Kinds(0)
)

// forwarding says which fields are written beside X-Forwarded-For, -Proto and -Host.
type forwarding struct {
	realIP, port, forwarded, via, requestID bool
}

func newForwarding(names []string) forwarding {
	has := func(name string) bool { return slices.Contains(names, name) }
	return forwarding{
		realIP:    has("x-real-ip"),
		port:      has("x-forwarded-port"),
		forwarded: has("forwarded"),
		via:       has("via"),
		requestID: has("x-request-id"),
	}
}

// drops are the kinds that are not passed on: always, and from clients that are not trusted.
func (f forwarding) drops() (always, untrusted http1.Kinds) {
	always = http1.HopByHop | http1.ContentLength.Bit() | http1.Expect.Bit() | http1.XForwardedClientCert.Bit() | alwaysWritten
	untrusted = forwardingKinds
	if f.realIP {
		always |= http1.XRealIP.Bit()
	}
	if f.forwarded {
		always |= http1.Forwarded.Bit()
	}
	if f.via {
		always |= http1.Via.Bit()
	}
	if f.requestID {
		always |= http1.XRequestID.Bit()
	}
	return always, untrusted
}

// trusts is true for a client whose forwarding fields are believed. One on a unix socket has no address, and is in no range.
func (s *Snapshot) trusts(p peer) bool {
	for _, prefix := range s.trusted {
		if prefix.Contains(p.ip) {
			return true
		}
	}
	return false
}

// clientIP is the address of who made the request: the right-most that is not a trusted proxy's.
func (ss *session) clientIP(trusted bool) string {
	p := ss.conn.peer
	if !trusted {
		return p.text
	}
	found := p.text
	r := &ss.req
	for i := len(r.Fields) - 1; i >= 0; i-- {
		if r.Fields[i].Kind != http1.XForwardedFor {
			continue
		}
		list := r.Fields[i].ValueIn(r.Bytes())
		for len(list) > 0 {
			comma := bytes.LastIndexByte(list, ',')
			ip, err := parseForwardedFor(string(bytes.TrimSpace(list[comma+1:])))
			if err != nil {
				return found // what stands before it cannot be believed either
			}
			ip = ip.Unmap().WithZone("") // a range has no zones, and another machine's mean nothing
			found = ip.String()
			if !ss.snapshot.trusts(peer{ip: ip}) {
				return found
			}
			list = list[:max(comma, 0)]
		}
	}
	return found
}

// parseForwardedFor reads an address of X-Forwarded-For. Some proxies write the port behind it.
func parseForwardedFor(text string) (netip.Addr, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return ip, nil
	}
	both, err := netip.ParseAddrPort(text)
	return both.Addr(), err
}

// appendForwarding appends the fields that tell the server about the client.
func (ss *session) appendForwarding(dst []byte, trusted bool) []byte {
	r, p := &ss.req, ss.conn.peer
	dst = append(dst, "X-Forwarded-For: "...)
	if trusted {
		dst = appendList(dst, r, http1.XForwardedFor)
	}
	dst = append(dst, p.text...)
	dst = append(dst, "\r\n"...)
	if !trusted || !r.Has(http1.XForwardedProto) {
		dst = appendText(dst, "X-Forwarded-Proto: ", ss.conn.scheme())
	}
	if ss.conn.certificate != "" {
		dst = appendText(dst, "X-Forwarded-Client-Cert: ", ss.conn.certificate)
	}
	if !trusted || !r.Has(http1.XForwardedHost) {
		dst = appendLine(dst, "X-Forwarded-Host: ", r.Host())
	}
	if ss.snapshot.forwarding == (forwarding{}) {
		return dst
	}
	return ss.appendOptional(dst, trusted)
}

func (ss *session) appendOptional(dst []byte, trusted bool) []byte {
	f, r := ss.snapshot.forwarding, &ss.req
	if f.realIP {
		dst = appendText(dst, "X-Real-IP: ", ss.clientIP(trusted))
	}
	if port := ss.conn.port; f.port && port != "" && (!trusted || !r.Has(http1.XForwardedPort)) {
		dst = appendText(dst, "X-Forwarded-Port: ", port)
	}
	if f.forwarded {
		dst = ss.appendForwarded(dst, trusted)
	}
	if f.via {
		dst = append(dst, "Via: "...)
		dst = appendList(dst, r, http1.Via)
		dst = append(dst, '1', '.', '0'+r.Minor)
		dst = append(dst, " l7\r\n"...)
	}
	if f.requestID {
		dst = appendLine(dst, "X-Request-ID: ", ss.id)
	}
	return dst
}

// appendForwarded appends the element of this hop to the field of RFC 7239.
func (ss *session) appendForwarded(dst []byte, trusted bool) []byte {
	dst = append(dst, "Forwarded: "...)
	if trusted {
		dst = appendList(dst, &ss.req, http1.Forwarded)
	}
	ip := ss.conn.peer.text
	switch {
	case !ss.conn.peer.ip.IsValid():
		dst = append(dst, "for=unknown"...)
	case ss.conn.peer.ip.Is6():
		dst = append(append(append(dst, `for="[`...), ip...), `]"`...)
	default:
		dst = append(append(dst, "for="...), ip...)
	}
	dst = append(append(append(dst, `;host="`...), ss.req.Host()...), '"')
	return append(append(append(dst, ";proto="...), ss.conn.scheme()...), "\r\n"...)
}

// appendList appends the values of all fields of a kind, each with the comma that what follows needs.
func appendList(dst []byte, r *http1.Request, k http1.Kind) []byte {
	if !r.Has(k) {
		return dst
	}
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Kind == k && f.ValueEnd > f.Value {
			dst = append(append(dst, f.ValueIn(r.Bytes())...), ", "...)
		}
	}
	return dst
}

// scheme is how the client came.
func (c *conn) scheme() string {
	if c.secure {
		return "https"
	}
	return "http"
}

func appendText(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), value...)
	return append(dst, "\r\n"...)
}

// maxRequestID is the longest request id that is kept from a client.
const maxRequestID = 128

// requestID finds the id that a trusted client gave, or makes one.
func (ss *session) requestID() {
	id := ss.req.Value(http1.XRequestID)
	if len(id) > 0 && len(id) <= maxRequestID && ss.snapshot.trusts(ss.conn.peer) {
		ss.id = append(ss.id[:0], id...)
		return
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails: crypto/rand ends the process instead
	ss.id = hex.AppendEncode(ss.id[:0], random[:])
}

// appendRequestID appends the request id to a response, where there is one.
func (ss *session) appendRequestID(dst []byte) []byte {
	if len(ss.id) == 0 {
		return dst
	}
	return appendLine(dst, "X-Request-ID: ", ss.id)
}
