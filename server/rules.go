package server

import (
	"crypto/tls"
	"net/netip"

	"l7/config"
	"l7/unixsocket"
)

// Listen is an address that clients connect to, and what holds for those who do.
type Listen struct {
	Address config.ListenAddress
	Rules

	Permission unixsocket.Permission // of a unix socket
}

// Rules are what holds for the connections of a listener. A reload changes them for connections that are open too, TLS and PROXY excepted.
type Rules struct {
	TLS      *tls.Config     // nil: plain
	Proxies  []config.Prefix // whose connections begin with a PROXY header
	Allow    []config.Prefix // who may connect; none: everybody
	Deny     []config.Prefix // who may not, also when allowed
	Redirect bool            // every request is sent to https
}

// gate is what holds for the connections and requests that come by a listener. One that is not wanted any more keeps the rules that it had.
func (s *Snapshot) gate(l *listener) *Rules {
	if rules := s.gates[l]; rules != nil {
		return rules
	}
	return l.rules.Load()
}

// isProxy is true for an address whose connections begin with a PROXY header.
func (r *Rules) isProxy(ip netip.Addr) bool { return contains(r.Proxies, ip) }

// admits is true for an address that lists of who may and who may not let pass. One that is not valid, as of a unix socket, is in no list.
func admits(allow, deny []config.Prefix, ip netip.Addr) bool {
	return (len(allow) == 0 || contains(allow, ip)) && !contains(deny, ip)
}

func contains(list []config.Prefix, ip netip.Addr) bool {
	for _, prefix := range list {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// admits is admits for the client that a request comes from, behind the proxies that are trusted.
func (b *backend) admits(ss *session) bool {
	if len(b.allow) == 0 && len(b.deny) == 0 {
		return true
	}
	ip, _ := netip.ParseAddr(ss.client()) // a client on a unix socket has none
	return admits(b.allow, b.deny, ip)
}
