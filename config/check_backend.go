package config

import (
	"errors"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// backendCheck is the checker of one backend.
type backendCheck struct{ checker }

func (b backendCheck) check(backend *Backend) {
	b.checkUpgrades(backend.Upgrade)
	b.checkHealth(&backend.Health)
	b.checkEject(&backend.Eject)
	b.checkSticky(&backend.Sticky)
	b.checkServers(backend)
	b.checkServerTLS(backend)
	if backend.Policy != "consistent_hash" && backend.Hash != DefaultBackend().Hash {
		b.warn("only the policy consistent_hash goes by it", "hash", "on")
	}
}

func (b backendCheck) checkHealth(h *Health) {
	path := h.Path == "" || strings.HasPrefix(h.Path, "/") && !strings.ContainsFunc(h.Path, isSpaceOrControl)
	b.refuseValueUnless(path, h.Path, "want a path that begins with '/' and has no spaces, as in /healthz", "health", "path")
	b.refuseUnless(h.Interval > 0, "want a time from one check to the next, as in 5s; without a path there are no checks", "health", "interval")
	b.refuseUnless(h.Timeout > 0, "a check needs a bound, as in 2s", "health", "timeout")
	b.refuseValueUnless(isToken(h.Method), h.Method, "want a method, as in GET", "health", "method")
	b.refuseValueUnless(h.Host == "" || isHostPort(h.Host), h.Host, "want a host, with or without a port, as in example.com", "health", "host")
	if h.Body == "" {
		return
	}
	if _, err := regexp.Compile(h.Body); err != nil {
		text := "want a regular expression (RE2)"
		var mistake *syntax.Error
		if errors.As(err, &mistake) {
			text += ": " + mistake.Code.String()
		}
		b.refuseUnless(false, text, "health", "body")
	}
}

func (b backendCheck) checkEject(e *Eject) {
	if e.After == 0 {
		return
	}
	b.refuseUnless(e.Time > 0, "an ejection takes some time, as in 5s; nobody is ejected with after: 0", "eject", "time")
	b.refuseUnless(e.Time <= e.Max || b.isUnread("eject", "max"), "it is longer than max, which is "+formatDuration(e.Max), "eject", "time")
}

// switches are words of somebody who wants to turn a thing on or off.
var switches = []string{"true", "false", "on", "off", "yes", "no"}

func (b backendCheck) checkSticky(s *Sticky) {
	named := s.Cookie == "" || isToken(s.Cookie) && !slices.Contains(switches, strings.ToLower(s.Cookie))
	b.refuseValueUnless(named, s.Cookie, "want the name of a cookie, as in l7; leave the key out for none", "sticky", "cookie")
	b.refuseUnless(s.Secret == "" || s.Cookie != "" || b.isUnread("sticky"), "there is no cookie to sign; give sticky.cookie too, as in l7", "sticky", "secret")
}

func (b backendCheck) checkServerTLS(backend *Backend) {
	t := &backend.TLS
	b.refuseUnless((t.Cert == "") == (t.Key == "") || b.isUnread("tls", "key"), "a certificate and its key go together", "tls", "cert")
	b.refuseValueUnless(t.ServerName == "" || isHost(t.ServerName), t.ServerName, "want a name or an IP address, as in api.internal", "tls", "server_name")
	https := slices.ContainsFunc(backend.Servers, func(s Server) bool { return strings.HasSuffix(s.Address.Scheme, "https") })
	switch {
	case *t == ServerTLS{}:
	case !https && len(backend.Servers) > 0:
		b.warn("no server of the backend is an https one", "tls")
	case t.InsecureSkipVerify:
		b.warn("every certificate is believed: whoever is on the way to the servers can read and change everything", "tls", "insecure_skip_verify")
	}
}

func (b backendCheck) checkServers(backend *Backend) {
	path := b.at("servers")
	if len(backend.Servers) == 0 {
		b.warn("there are no servers; every request is answered 503", "servers")
		return
	}
	for i, server := range backend.Servers {
		if l := b.ownListener(server.Address); l != nil {
			b.warn("l7 itself listens there ("+l.Address.String()+"): a request would come back again and again", "servers", strconv.Itoa(i))
		}
	}
	working := func(s Server) bool { return s.Weight > 0 }
	if !slices.ContainsFunc(backend.Servers, working) {
		b.warn("every server has weight 0; every request is answered 503", "servers")
	}
	capped := func(s Server) bool { return s.MaxInFlight > 0 || s.MaxConnections > 0 }
	if backend.Queue.Length > 0 && !slices.ContainsFunc(backend.Servers, capped) {
		b.warn("nobody ever waits, for no server has max_in_flight or max_connections", "queue", "length")
	}
	if len(backend.Servers) == 1 {
		return // the usual, and nothing that could be given twice
	}
	addresses := make([]string, len(backend.Servers))
	for i, server := range backend.Servers {
		addresses[i] = server.Address.String()
	}
	b.checkTwice(addresses, path)
}

// checkUpgrades refuses what nobody can ask for (RFC 9110 section 7.8), and h2c: requests inside of it would reach the
// servers past every rule of ours.
func (b backendCheck) checkUpgrades(protocols []string) {
	for i, protocol := range protocols {
		name, version, versioned := strings.Cut(protocol, "/")
		n := strconv.Itoa(i)
		b.refuseValueUnless(isToken(name) && (!versioned || isToken(version)), protocol, "want the name of a protocol, as in websocket", "upgrade", n)
		b.refuseUnless(!strings.EqualFold(protocol, "h2c"), "h2c cannot be passed on: routes and users would not hold for the requests inside of it", "upgrade", n)
	}
}

// ownListener is the listener that takes what is sent to a server, as far as the config can tell; nil: none.
func (b backendCheck) ownListener(server Address) *Listener {
	for i := range b.out.Config.Listen {
		if l := &b.out.Config.Listen[i]; l.Address.takes(server) {
			return l
		}
	}
	return nil
}

// isHostPort is true for what may stand in a Host field.
func isHostPort(text string) bool {
	host, port, err := splitHostPort(text)
	if err == nil && port != "" {
		_, err = parsePort(port[1:], 1)
	}
	return err == nil && host != ""
}

// isHost is true for a name and for an IP address, in brackets or not.
func isHost(text string) bool {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Zone() == "" // no certificate knows of zones
	}
	host, port, err := splitHostPort(text)
	return err == nil && port == "" && host != ""
}

func isSpaceOrControl(r rune) bool { return r == ' ' || isControl(r) }
