package certs

import (
	"crypto/tls"
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
		found, text, err := readCertificates(o.CAFile)
		if err != nil {
			return nil, nil, err
		}
		config.RootCAs, authorities = pool(found), text
	}
	if (o.Cert == "") != (o.Key == "") {
		return nil, nil, errors.New("cannot use a client certificate without its key, or a key without its certificate")
	}
	if o.Cert != "" {
		read, err := readPair(0, Pair{o.Cert, o.Key}, nil)
		if err != nil {
			return nil, nil, err
		}
		config.Certificates, pair = []tls.Certificate{*read.cert}, read.sum[:]
		warnings = read.warnings(time.Now())
	}
	sum := sumOf([]byte(o.CAFile), authorities, []byte(o.ServerName), []byte(o.Cert), []byte(o.Key), pair,
		strconv.AppendBool(nil, o.InsecureSkipVerify))
	return &ClientConfig{config: config, key: hex.EncodeToString(sum[:])}, warnings, nil
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
