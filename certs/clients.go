package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Clients says which certificates clients have to show. What it has read of its files is in force for the handshakes that come, those
// that resume a session too. All methods may be called concurrently.
type Clients struct {
	auth    tls.ClientAuthType
	ca, crl string
	trusted atomic.Pointer[trusted]

	mu sync.Mutex // held while files are read, so that an older reading never replaces a newer one
}

// trusted is what was read of the files of Clients. It does not change.
type trusted struct {
	sum     [sha256.Size]byte // of all files
	pool    *x509.CertPool
	revoked *revoked // nil without a CRL
}

// NewClients reads the authorities of clients' certificates, and what these have revoked, if there is a file of it, in PEM or DER. Mode is
// "request" (a certificate that is shown must be good) or "require"; for "off" or "" there are no Clients.
func NewClients(mode, ca, crl string) (c *Clients, warnings []string, err error) {
	c = &Clients{ca: ca, crl: crl}
	switch mode {
	case "", "off":
		if ca != "" || crl != "" {
			return nil, nil, errors.New("cannot use client_ca or client_crl while client_auth is off")
		}
		return nil, nil, nil
	case "request":
		c.auth = tls.VerifyClientCertIfGiven
	case "require":
		c.auth = tls.RequireAndVerifyClientCert
	default:
		return nil, nil, fmt.Errorf("cannot use client_auth %q: it is off, request or require", mode)
	}
	if ca == "" { // or else it would be every authority that the system trusts
		return nil, nil, fmt.Errorf("cannot use client_auth %q without client_ca", mode)
	}
	if _, err := c.Reload(); err != nil {
		return nil, nil, err
	}
	return c, c.Warnings(time.Now()), nil
}

// Reload reads the files again. They are one: where either is broken, or they do not fit each other, both stay as they were read before.
func (c *Clients) Reload() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	authorities, text, err := readCertificates(c.ca)
	err = option(err, "client_ca")
	next := &trusted{pool: pool(authorities)}
	var list []byte
	if c.crl != "" {
		var missing error
		if list, missing = readFile(c.crl); missing != nil {
			err = errors.Join(err, option(fmt.Errorf("cannot use %q: %w", c.crl, missing), "client_crl"))
		}
	}
	if err != nil {
		return false, err
	}
	next.sum = sumOf(text, list)
	if before := c.trusted.Load(); before != nil && before.sum == next.sum {
		return false, nil
	}
	if c.crl != "" {
		if next.revoked, err = parseRevoked(c.crl, list, authorities); err != nil {
			return false, option(err, "client_crl")
		}
	}
	c.trusted.Store(next)
	return true, nil
}

// Warnings tell of CRLs that are out of date, which are used all the same.
func (c *Clients) Warnings(now time.Time) []string { return c.trusted.Load().revoked.warnings(now) }

// Files are the files to watch.
func (c *Clients) Files() []string { return given(c.ca, c.crl) }

// attach has a config ask its clients for certificates. A config that handshakes get from GetConfigForClient uses the ticket keys of the
// one that it is called for, unless it has its own: so this is called before there are any.
func (c *Clients) attach(config *tls.Config, others []string) {
	config.ClientAuth = c.auth
	config.ClientCAs = x509.NewCertPool() // nobody's: it is another one at each handshake
	template := config.Clone()
	unasked := config.Clone()
	unasked.ClientAuth = tls.NoClientCert
	unasked.SessionTicketsDisabled = true // a session needs no certificate of ours: it would prove nothing
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if offersOneOf(hello, others) {
			return unasked, nil
		}
		now := c.trusted.Load()
		config := template.Clone()
		config.ClientCAs = now.pool
		// Unlike VerifyPeerCertificate it is called for a resumed session too.
		config.VerifyConnection = now.revoked.verify
		return config, nil
	}
}
