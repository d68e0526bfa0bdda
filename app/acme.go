package app

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"l7/acme"
	"l7/certs"
	"l7/config"
	"l7/route"
)

// authority notes what a listener wants certificates for, and from whom. file finds the files that the config names.
func (l *listening) authority(where []string, from *config.ACME, file func(string) string) acme.Account {
	challenge := func(name string) bool { return len(from.Challenges) == 0 || slices.Contains(from.Challenges, name) }
	account := acme.Account{
		Email: from.Email, CA: from.CA, Storage: file(from.Storage), HTTP01: challenge("http-01"), TLSALPN01: challenge("tls-alpn-01"),
	}
	if from.CARoot != "" {
		root, err := os.ReadFile(file(from.CARoot))
		if err == nil {
			err = acme.CheckRoot(string(root))
		}
		if err != nil {
			text := fmt.Sprintf("cannot use the certificate of the authority %q: %v", from.CARoot, err)
			l.findings = append(l.findings, config.Finding{Path: append(slices.Clone(where), "acme", "ca_root"), Text: text})
		}
		account.Root = string(root)
	}
	hosts := l.hosts
	if len(from.Hosts) > 0 {
		hosts = normal(from.Hosts)
	}
	if len(hosts) == 0 {
		l.warnings = append(l.warnings, "listener "+strings.Join(where[:2], " ")+": no certificate is asked for: no backend has an exact host, and acme names no hosts")
	}
	l.authorities = append(l.authorities, acme.Settings{Account: account, Hosts: hosts})
	return account
}

// proofs answers authorities on plain listeners; it is nil where none is told to ask there.
func (l *listening) proofs(from *acme.Manager) func(host, path string) (string, bool) {
	if slices.ContainsFunc(l.authorities, func(s acme.Settings) bool { return s.HTTP01 }) {
		return from.HTTP01
	}
	return nil
}

// exactHosts are the names that select backends: neither wildcards nor addresses.
func exactHosts(cfg *config.Config) (hosts []string) {
	for name, backend := range cfg.Backends {
		hosts = append(hosts, name)
		hosts = append(hosts, backend.Hosts...)
	}
	hosts = normal(hosts)
	return slices.DeleteFunc(hosts, func(host string) bool {
		_, err := netip.ParseAddr(strings.Trim(host, "[]"))
		return err == nil || strings.Contains(host, "*")
	})
}

// normal are the hosts of keys, each once and in order. What is no key is reported elsewhere.
func normal(keys []string) []string {
	hosts := map[string]bool{}
	for _, text := range keys {
		if key, err := route.ParseKey(text); err == nil {
			hosts[key.Host] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

// sources are where a listener's certificates come from.
type sources struct {
	files *certs.Keeper
	acme  *acme.Manager
}

// get is for tls.Config: a certificate for just that name from a file, or else from an authority, or else the default.
func (s sources) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert, err := s.acme.Challenge(hello); cert != nil || err != nil {
		return cert, err
	}
	if cert := s.files.Lookup(hello); cert != nil {
		return cert, nil
	}
	cert, missing := s.acme.GetCertificate(hello)
	if cert != nil {
		return cert, nil
	}
	cert, err := s.files.GetCertificate(hello)
	if err != nil && missing != nil {
		err = missing
	}
	return cert, err
}
