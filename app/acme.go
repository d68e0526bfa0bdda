package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"l7/acme"
	"l7/certs"
	"l7/config"
	"l7/route"
)

// authority notes what a listener wants certificates for, and from whom. file finds the files that the config names.
func (l *listening) authority(where []string, t *config.TLS, file func(string) string) acme.Settings {
	where = append(slices.Clone(where), "acme")
	from := &t.ACME
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
			l.find(text, append(where, "ca_root")...)
		}
		account.Root = string(root)
	}
	hosts := l.hosts
	if len(from.Hosts) > 0 {
		hosts = normal(from.Hosts)
	}
	switch {
	case len(hosts) > 0 || len(l.loaded.Config.Backends) == 0: // that has been reported
	case len(t.Certificates) > 0:
		l.warn("no certificate is asked for: no backend has an exact host, and there are no hosts", where...)
	default:
		l.find("there is no host to get a certificate for, so that nobody could connect: no backend has an exact one; give hosts, as in [example.com]", where...)
	}
	l.checkStorage(from.Storage, file, append(where, "storage"))
	wanted := acme.Settings{Account: account, Hosts: hosts}
	l.authorities = append(l.authorities, wanted)
	return wanted
}

// checkStorage says where certificates could not be kept. Nothing is made for that, and who looks may be somebody else than who serves.
func (l *listening) checkStorage(storage string, file func(string) string, where []string) {
	if storage == "" {
		return // it has been reported
	}
	folder := file(storage)
	info, err := os.Stat(folder)
	for errors.Is(err, fs.ErrNotExist) && folder != filepath.Dir(folder) { // what is missing is made
		folder = filepath.Dir(folder)
		info, err = os.Stat(folder)
	}
	switch {
	case errors.Is(err, unix.ENOTDIR) || err == nil && !info.IsDir():
		l.find(fmt.Sprintf("cannot use the folder %q: there is a file in its place", storage), where...)
		return
	case err == nil:
		err = unix.Access(folder, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		l.warn(fmt.Sprintf("cannot write to %q: %v, for user %d; certificates are kept there by the user whom l7 runs as", storage, err, os.Getuid()), where...)
	}
}

// firstHost is the host whose certificate is the default: the first that the config lists, or else of all in their order; empty: none.
func firstHost(listed, all []string) string {
	if len(listed) > 0 {
		all = normal(listed[:1])
	}
	if len(all) == 0 {
		return ""
	}
	return all[0]
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
	first string // the host whose certificate of an authority is the default where there is none in files; empty: none
}

// get is for tls.Config: a certificate for just that name from a file, or else from an authority, or else the default. Where one is to come
// for that name, a default of an authority is none: the log shall say why it does not come.
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
	switch {
	case err == nil:
		return cert, nil
	case missing != nil:
		return nil, missing
	}
	first := *hello
	first.ServerName = s.first
	if cert, missing = s.acme.GetCertificate(&first); cert != nil || missing != nil {
		return cert, missing
	}
	return nil, err
}
