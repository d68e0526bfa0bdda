package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// listenerCheck is the checker of one listener.
type listenerCheck struct{ checker }

func (c listenerCheck) check(l *Listener) {
	c.checkTLS(&l.TLS)
	unix := l.Address.Network == "unix" || c.isUnread("address")
	c.refuseUnless(l.Mode == "" || unix, "only a unix socket has a mode", "mode")
	if l.Mode != "" {
		mode, err := strconv.ParseUint(l.Mode, 8, 32)
		c.refuseValueUnless(err == nil && mode <= 0o777, l.Mode, "want a mode in octal digits, as in 0660", "mode")
		c.refuseUnless(err != nil || mode != 0, "with "+l.Mode+" nobody could connect; want a mode as 0660, or leave it out for what the umask leaves", "mode")
	}
	c.refuseUnless(len(l.ProxyProtocol.Trusted) == 0 || l.Address.Network != "unix", "the clients of a unix socket have no addresses to be trusted by", "proxy_protocol")
	c.refuseUnless(l.Owner == "" || unix, "only a unix socket has an owner", "owner")
	user, group, both := strings.Cut(l.Owner, ":")
	named := l.Owner == "" || !strings.ContainsAny(group, ": ") && (user != "" || group != "") && (group != "" || !both)
	c.refuseValueUnless(named, l.Owner, "want USER, USER:GROUP or :GROUP", "owner")
	if l.RedirectHTTPS && !c.anyListener((*TLS).On) {
		c.warn("no listener speaks TLS: something in front of l7 has to, and to come in by another listener than this one", "redirect_https")
	}
	c.refuseUnless(!l.RedirectHTTPS || !l.TLS.On(), "it speaks TLS; the redirect belongs to the listener that does not", "redirect_https")
}

func (c listenerCheck) checkTLS(t *TLS) {
	c.refuseUnless(t.Certificate == "" || len(t.Certificates) == 0, "there are certificates as well; keep one of them", "tls", "certificate")
	for i, pair := range t.Certificates {
		n := strconv.Itoa(i)
		c.refuseUnless(pair.Cert != "", "the certificate's file is missing", "tls", "certificates", n, "cert")
		c.refuseUnless(pair.Key != "", "the key's file is missing", "tls", "certificates", n, "key")
	}
	c.refuseUnless(t.Certificate == "" || !t.ACME.On(), "certificates come by acme as well; keep one of them", "tls", "certificate")
	if t.ACME.On() {
		c.checkACME(&t.ACME)
	}
	asks := t.ClientAuth != "off"
	signers := t.ClientCA != "" || c.isUnread("tls", "client_ca")
	c.refuseUnless(!asks || signers, "there is nobody who may sign clients' certificates; give client_ca", "tls", "client_auth")
	c.refuseUnless(asks || t.ClientCA == "" || c.isUnread("tls", "client_auth"), "no client is asked for a certificate; give client_auth: request or require", "tls", "client_ca")
	c.refuseUnless(t.ClientCRL == "" || signers, "it says what client_ca has revoked; give that too", "tls", "client_crl")
	if !t.On() && c.hasTLSKeys() && !c.isMisread() { // without keys it says that the listener is plain, as where the rest comes by a merge key
		c.refuseUnless(false, "there is none, so that the listener would be plain; give certificates, acme, or certificate: self, or leave tls out", "tls", "certificates")
	}
}

// hasTLSKeys is true where the section has any key.
func (c listenerCheck) hasTLSKeys() bool {
	isGiven := func(k *Key) bool { return c.out.Origin(c.at("tls", k.Name)) != (Origin{}) }
	return slices.ContainsFunc(c.keys.field("listen").Item.field("tls").Fields, isGiven)
}

// isMisread is true where the section has a certificate that could not be read, or may have one under a wrong name.
func (c listenerCheck) isMisread() bool {
	keys := c.keys.field("listen").Item.field("tls")
	return slices.ContainsFunc(c.problems, func(p Problem) bool {
		at := c.at("tls")
		if len(p.Path) <= len(at) || !slices.Equal(p.Path[:len(at)], at) {
			return false
		}
		name := p.Path[len(at)]
		return keys.field(name) == nil || slices.Contains([]string{"certificate", "certificates", "acme"}, name)
	})
}

// anyListener is true where the TLS of a listener is so.
func (c listenerCheck) anyListener(is func(*TLS) bool) bool {
	return slices.ContainsFunc(c.out.Config.Listen, func(l Listener) bool { return is(&l.TLS) })
}

func (c listenerCheck) checkACME(a *ACME) {
	c.refuseUnless(a.Email != "", "the authority wants to know where to write to; give one, as in admin@example.com", "tls", "acme", "email")
	c.refuseUnless(a.Storage != "", "there is nowhere to keep certificates; give a folder, as in /var/lib/l7/acme", "tls", "acme", "storage")
	if a.CA != "" {
		u, err := url.Parse(a.CA)
		c.refuseUnless(err == nil && u.Scheme == "https" && u.Host != "", "want the https URL of a directory", "tls", "acme", "ca")
		c.refuseUnless(err != nil || u.User == nil, "the authority is asked without credentials; remove what stands before the '@'", "tls", "acme", "ca")
	}
	c.refuseUnless(a.CARoot == "" || a.CA != "" || c.isUnread("tls", "acme", "ca"), "it is for an authority of your own; give ca too", "tls", "acme", "ca_root")
	if plain := func(t *TLS) bool { return !t.On() }; len(a.Challenges) == 1 && a.Challenges[0] == "http-01" && !c.anyListener(plain) {
		c.warn("no listener is plain, and this challenge comes by one: add ':80', or tls-alpn-01 here", "tls", "acme", "challenges")
	}
	for i, host := range a.Hosts {
		c.refuseValueUnless(host != "" && !strings.ContainsAny(host, "*/:"), host, "want an exact host: these challenges are for no others", "tls", "acme", "hosts", strconv.Itoa(i))
	}
}

// On is true for a listener that speaks TLS.
func (t *TLS) On() bool { return t.Certificate != "" || len(t.Certificates) > 0 || t.ACME.On() }

// On is true where certificates come by ACME.
func (a *ACME) On() bool {
	return a.Email != "" || a.Storage != "" || a.CA != "" || a.CARoot != "" || len(a.Hosts) > 0 || len(a.Challenges) > 0
}
