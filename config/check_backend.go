package config

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// backendCheck finds what is wrong with one backend's values that are right one by one. What it says shows none
// of them: the file may have them by an alias from where a secret stands.
type backendCheck struct {
	*loader
	path   []string        // of the backend
	unread map[string]bool // see loader.unread
}

func (b backendCheck) check(backend *Backend) {
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
	b.refuseUnless(path, "want a path that begins with '/' and has no spaces, as in /healthz", "health", "path")
	b.refuseUnless(h.Interval > 0, "want a time from one check to the next, as in 5s; without a path there are no checks", "health", "interval")
	b.refuseUnless(h.Timeout > 0, "a check needs a bound, as in 2s", "health", "timeout")
	b.refuseUnless(isToken(h.Method), "want a method, as in GET", "health", "method")
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
	b.refuseUnless(e.Time <= e.Max, "it is longer than max, which is "+formatDuration(e.Max), "eject", "time")
}

func (b backendCheck) checkSticky(s *Sticky) {
	b.refuseUnless(s.Cookie == "" || isToken(s.Cookie), "want the name of a cookie, as in l7", "sticky", "cookie")
	b.refuseUnless(s.Secret == "" || s.Cookie != "", "there is no cookie to sign; give sticky.cookie too, as in l7", "sticky", "secret")
}

func (b backendCheck) checkServerTLS(backend *Backend) {
	t := &backend.TLS
	b.refuseUnless((t.Cert == "") == (t.Key == ""), "a certificate and its key go together", "tls", "cert")
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

// refuseUnless reports the value at keys of the backend, unless it is good or something else in its section could not be read.
func (b backendCheck) refuseUnless(good bool, text string, keys ...string) {
	if good || b.unread[joinPath(b.at(keys[:len(keys)-1]...))] {
		return
	}
	b.problems = append(b.problems, b.out.Problem(b.at(keys...), text))
}

func (b backendCheck) warn(text string, keys ...string) {
	b.warnings = append(b.warnings, b.out.Problem(b.at(keys...), text))
}

func (b backendCheck) at(keys ...string) []string { return slices.Concat(b.path, keys) }

func isSpaceOrControl(r rune) bool { return r == ' ' || isControl(r) }
