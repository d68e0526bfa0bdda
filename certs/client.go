package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
	"time"
)

// ClientOptions are what TLS towards servers is made of. The zero value verifies servers by the roots of the system.
type ClientOptions struct {
	CAFile     string // authorities to trust in place of the system's
	ServerName string // to ask for and to verify in place of the server's own name
	Cert, Key  string // files of the certificate to show to servers that ask for one; both or none

	InsecureSkipVerify bool // trusts whoever answers
}

// ClientConfig is how l7 speaks TLS to the servers of a backend.
type ClientConfig struct {
	config *tls.Config
	key    string
}

// NewClientConfig reads the files. Warnings are as those of Load.
func NewClientConfig(o ClientOptions) (c *ClientConfig, warnings []string, err error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		ServerName:         o.ServerName,
		InsecureSkipVerify: o.InsecureSkipVerify, //nolint:gosec // It is asked for by this very word, and the config warns.
	}
	var authorities, pair []byte
	if o.CAFile != "" {
		var found []*x509.Certificate
		found, authorities, err = readCertificates(o.CAFile)
		err = option(err, "ca_file")
		config.RootCAs = pool(found)
	}
	read, wrong := o.pair()
	if err = errors.Join(err, wrong); err != nil {
		return nil, nil, err
	}
	if read != nil {
		config.Certificates, pair = []tls.Certificate{*read.cert}, read.sum[:]
		warnings = read.warnings(time.Now())
	}
	sum := sumOf([]byte(o.CAFile), authorities, []byte(o.ServerName), []byte(o.Cert), []byte(o.Key), pair,
		strconv.AppendBool(nil, o.InsecureSkipVerify))
	return &ClientConfig{config: config, key: hex.EncodeToString(sum[:])}, warnings, nil
}

// pair reads the certificate that is shown; nil: there is none.
func (o ClientOptions) pair() (read *entry, err error) {
	switch {
	case o.Cert == "" && o.Key == "":
		return nil, nil
	case o.Cert == "" || o.Key == "":
		return nil, option(errors.New("cannot use a client certificate without its key, or a key without its certificate"), "cert")
	}
	read, err = readPair(0, Pair{o.Cert, o.Key}, nil)
	var wrong []error
	for _, err := range parts(err) {
		failed, _ := errors.AsType[*PairError](err) // readPair returns no others
		wrong = append(wrong, option(failed, failed.Key))
	}
	return read, errors.Join(wrong...)
}

// Key is the same for the same options and contents of files, and for no others.
func (c *ClientConfig) Key() string { return c.key }

// For returns the config for one server, by the name or address that it is configured as; it is to be kept as long as the server. It
// remembers one session: a server can resume none of another's, although they may share a name.
func (c *ClientConfig) For(host string) *tls.Config {
	config := c.config.Clone()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if config.ServerName == "" {
		config.ServerName = host
	}
	if addr, err := netip.ParseAddr(config.ServerName); err == nil {
		config.ServerName = addr.WithZone("").String() // no certificate knows of zones
	}
	return config
}

// Files are the files to watch.
func (o ClientOptions) Files() []string { return given(o.CAFile, o.Cert, o.Key) }
