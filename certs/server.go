package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ServerOptions are what TLS towards clients is made of.
type ServerOptions struct {
	MinVersion   string   // "1.2" or "1.3"; "" is 1.2
	CipherSuites []string // of TLS 1.2, by IANA name; none is all with AEAD. Those of 1.3 are always on

	Clients *Clients // whose certificates are asked for; nil asks for none

	// StrictSNI refuses a client that asks for a name which no certificate is for, or for none, in place of showing it the default.
	StrictSNI      bool
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	Tickets *Tickets // those of the process; nil leaves the keys to crypto/tls, which changes them daily
	// Protos are ALPN protocols besides http/1.1, as ACME needs one. Who offers such a one alone is not asked for a certificate, nor held to
	// StrictSNI, so its connection is to be closed after the handshake.
	Protos []string
}

// NameError says that no certificate is for the name that a client asked for. It is returned with ServerOptions.StrictSNI alone.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	if e.Name == "" {
		return "the client names no server, and strict_sni is set"
	}
	return fmt.Sprintf("no certificate is for %q, and strict_sni is set", e.Name)
}

// NewServerConfig returns a config that offers http/1.1 alone: a client that insists on another protocol is refused (RFC 7301 section
// 3.2), and one that names none passes. It is not to be cloned: a clone does not get new ticket keys.
func NewServerConfig(o ServerOptions) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     append([]string{"http/1.1"}, o.Protos...),
		GetCertificate: o.GetCertificate,
	}
	if err := o.setVersions(config); err != nil {
		return nil, err
	}
	if o.Clients != nil {
		o.Clients.attach(config, o.Protos)
	}
	if o.StrictSNI {
		o.beStrict(config)
	}
	if o.Tickets != nil {
		o.Tickets.attach(config)
	}
	return config, nil
}

func (o ServerOptions) setVersions(config *tls.Config) (err error) {
	switch o.MinVersion {
	case "", "1.2":
	case "1.3":
		config.MinVersion = tls.VersionTLS13
	default:
		return fmt.Errorf("cannot use min_version %q: it is 1.2 or 1.3", o.MinVersion)
	}
	if config.MinVersion == tls.VersionTLS13 && len(o.CipherSuites) > 0 {
		return option(errors.New("cannot use cipher_suites with min_version 1.3: the suites of TLS 1.3 are always on"), "cipher_suites")
	}
	config.CipherSuites, err = suites(o.CipherSuites)
	return err
}

// suites returns the ids of TLS 1.2 suites. Their order is of no account: crypto/tls has its own, by what the hardware is quick at.
func suites(names []string) (ids []uint16, err error) {
	known := map[string]uint16{}
	var good, old []string // old ones are not broken as crypto/tls has them, but every scanner objects to CBC
	for _, suite := range tls.CipherSuites() {
		if suite.SupportedVersions[0] == tls.VersionTLS13 {
			continue
		}
		known[suite.Name] = suite.ID
		if strings.Contains(suite.Name, "_CBC_") {
			old = append(old, suite.Name)
			continue
		}
		good = append(good, suite.Name)
	}
	if len(names) == 0 {
		names = good
	}
	var wrong []error
	for i, name := range names {
		id, ok := known[name]
		if !ok {
			text := fmt.Errorf("cannot use cipher suite %q: it is %s; there are %s, and for old clients %s",
				name, whatSuite(name), strings.Join(good, ", "), strings.Join(old, ", "))
			wrong = append(wrong, option(text, "cipher_suites", strconv.Itoa(i)))
		}
		ids = append(ids, id)
	}
	return ids, errors.Join(wrong...)
}

// whatSuite says what a suite is that cannot be chosen.
func whatSuite(name string) string {
	for _, suite := range tls.InsecureCipherSuites() {
		if suite.Name == name {
			return "insecure"
		}
	}
	for _, suite := range tls.CipherSuites() {
		if suite.Name == name {
			return "of TLS 1.3, whose suites are always on"
		}
	}
	return "not known"
}

// beStrict has a config refuse names that the certificate is not for, wherever it comes from. It is asked at each hello, since TLS 1.3 asks for no
// certificate where a session is resumed, and its ticket may be of another name or another listener.
func (o ServerOptions) beStrict(config *tls.Config) {
	next := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !offersOneOf(hello, o.Protos) { // or else its connection leads to nothing
			if err := strict(hello, o.GetCertificate); err != nil {
				return nil, err
			}
		}
		if next == nil {
			return nil, nil // the config itself
		}
		return next(hello)
	}
}

// strict is an error for a hello whose name no certificate is for.
func strict(hello *tls.ClientHelloInfo, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) error {
	cert, err := get(hello)
	if err != nil {
		return err
	}
	if name := nameWanted(hello); cert != nil && name != "" {
		leaf := cert.Leaf
		if leaf == nil {
			if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
				return err
			}
		}
		if leaf.VerifyHostname(name) == nil {
			return nil
		}
	}
	refuseName(hello)
	return &NameError{hello.ServerName}
}

// offersOneOf is true for a client that offers one protocol alone, which is in a list.
func offersOneOf(hello *tls.ClientHelloInfo, list []string) bool {
	return len(hello.SupportedProtos) == 1 && slices.Contains(list, hello.SupportedProtos[0])
}

// refuseName sends the alert unrecognized_name (RFC 6066 section 3), for crypto/tls makes an internal error of any error of
// GetConfigForClient. Nothing is encrypted at this point, in no version, and a client reads no further than the first fatal alert.
func refuseName(hello *tls.ClientHelloInfo) {
	if hello.Conn == nil {
		return
	}
	const alert, fatal, unrecognizedName = 21, 2, 112
	_, _ = hello.Conn.Write([]byte{alert, 3, 3, 0, 2, fatal, unrecognizedName}) // a client that has gone needs none
}

func pool(authorities []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, authority := range authorities {
		p.AddCert(authority)
	}
	return p
}

// given are the paths that are not empty.
func given(paths ...string) (files []string) {
	for _, path := range paths {
		if path != "" {
			files = append(files, path)
		}
	}
	return files
}
