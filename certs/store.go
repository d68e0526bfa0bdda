// Package certs holds what TLS needs on both sides of l7: the certificates that are shown to clients, chosen by name and re-read when
// their files change; the keys of session tickets; and the settings towards clients and servers.
//
// It watches no files, opens no connections and writes no logs: the caller does, and is told what to watch and what to say. It gets no
// certificates from an authority; what does stands behind the same GetCertificate.
package certs

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// Store is a set of certificates, by the names they are for. It does not change, so all methods may be called concurrently.
type Store struct {
	entries []*entry // in the order given

	// Each name has the certificates for it in the order given: there may be one of ECDSA and one of RSA.
	names    map[string][]*tls.Certificate // by DNS name in lower case, and by IP address
	wildcard map[string][]*tls.Certificate // "*.example.com" stands under ".example.com"
	defaults []*tls.Certificate            // the first of all, and those that share its first name
}

// Expiry tells until when a certificate is valid.
type Expiry struct {
	Names    []string
	NotAfter time.Time // the earliest of the chain
	File     string
}

// Load reads all pairs, of which the first is the default. The error joins a *PairError for each file that cannot be read or does not match,
// and then there is no store. Warnings tell of certificates that clients will not like, which are used all the same: one that has
// expired, say.
func Load(pairs []Pair, now time.Time) (store *Store, warnings []string, err error) {
	store, broken := load(pairs, nil)
	if len(broken) > 0 {
		return nil, nil, errors.Join(broken...)
	}
	return store, store.warnings(now), nil
}

// load reads the pairs. A broken one is taken from the store before, if that has it, and is left out otherwise.
func load(pairs []Pair, before *Store) (store *Store, broken []error) {
	store = &Store{names: map[string][]*tls.Certificate{}, wildcard: map[string][]*tls.Certificate{}}
	for i, pair := range pairs {
		old := before.entry(pair)
		read, err := readPair(i, pair, old)
		if err != nil {
			broken = append(broken, parts(err)...)
			read = old
		}
		if read != nil {
			store.add(read)
		}
	}
	if len(store.entries) > 0 {
		store.defaults = store.sharing(store.entries[0].cert)
	}
	return store, broken
}

// entry returns what was read from a pair of files, or nil. The store may be nil.
func (s *Store) entry(pair Pair) *entry {
	if s == nil {
		return nil
	}
	for _, e := range s.entries {
		if e.pair == pair {
			return e
		}
	}
	return nil
}

func (s *Store) add(e *entry) {
	s.entries = append(s.entries, e)
	for _, name := range namesOf(e.cert.Leaf) {
		name = normal(name)
		if suffix, ok := strings.CutPrefix(name, "*"); ok {
			s.wildcard[suffix] = append(s.wildcard[suffix], e.cert)
			continue
		}
		s.names[name] = append(s.names[name], e.cert)
	}
}

// sharing returns the certificates for the first name of one, which is the first of its name.
func (s *Store) sharing(cert *tls.Certificate) []*tls.Certificate {
	names := namesOf(cert.Leaf)
	if len(names) == 0 {
		return []*tls.Certificate{cert}
	}
	first := normal(names[0])
	if suffix, ok := strings.CutPrefix(first, "*"); ok {
		return s.wildcard[suffix]
	}
	return s.names[first]
}

// Get returns the certificate for a DNS name or an IP address, or nil: one for just that name, or else one for a wildcard that stands
// for the name's first label. Among several it prefers what the client supports; hello may be nil.
func (s *Store) Get(name string, hello *tls.ClientHelloInfo) *tls.Certificate {
	name = normal(name)
	exact := s.names[name]
	var wildcard []*tls.Certificate
	if dot := strings.IndexByte(name, '.'); dot > 0 {
		wildcard = s.wildcard[name[dot:]]
	}
	if hello != nil && len(exact)+len(wildcard) > 1 {
		if cert := firstSupported(exact, hello); cert != nil {
			return cert
		}
		if cert := firstSupported(wildcard, hello); cert != nil {
			return cert
		}
	}
	// With no choice the handshake shows what does not fit, and does so in clearer words.
	for _, found := range [2][]*tls.Certificate{exact, wildcard} {
		if len(found) > 0 {
			return found[0]
		}
	}
	return nil
}

// Default returns the first certificate, or nil if there is none.
func (s *Store) Default() *tls.Certificate {
	if len(s.defaults) == 0 {
		return nil
	}
	return s.defaults[0]
}

// defaultFor is the default, in the algorithm that the client supports.
func (s *Store) defaultFor(hello *tls.ClientHelloInfo) *tls.Certificate {
	if len(s.defaults) > 1 {
		unnamed := *hello
		unnamed.ServerName = "" // it fits none of them
		if cert := firstSupported(s.defaults, &unnamed); cert != nil {
			return cert
		}
	}
	return s.Default()
}

// Expiries tells until when the certificates are valid, in the order given.
func (s *Store) Expiries() []Expiry {
	expiries := make([]Expiry, 0, len(s.entries))
	for _, e := range s.entries {
		expiries = append(expiries, e.expiry())
	}
	return expiries
}

func (s *Store) warnings(now time.Time) (found []string) {
	for _, e := range s.entries {
		found = append(found, e.warnings(now)...)
	}
	return found
}

func firstSupported(certs []*tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	for _, cert := range certs {
		if hello.SupportsCertificate(cert) == nil {
			return cert
		}
	}
	return nil
}

// nameWanted is the name that the client asks for. A client that dials an address sends none (RFC 6066 section 3), so it asks for the
// address it has reached.
func nameWanted(hello *tls.ClientHelloInfo) string {
	if hello.ServerName != "" || hello.Conn == nil {
		return hello.ServerName
	}
	local, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String())
	if err != nil { // a Unix socket
		return ""
	}
	return local.Addr().Unmap().WithZone("").String()
}

// normal is a name as it is compared. It makes no garbage for one that is normal already.
func normal(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
