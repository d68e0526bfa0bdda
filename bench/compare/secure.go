//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// What -tls negotiates. Left alone, Go's side and OpenSSL's prefer different suites, and a Go client offers a hybrid group that OpenSSL
// 3.0 does not know: they would do different work. Clients are pinned, servers run as they come.
const (
	wantVersion = tls.VersionTLS13
	wantSuite   = tls.TLS_AES_128_GCM_SHA256
	wantGroup   = tls.X25519
	serverName  = "bench"
)

// clientConf is the openssl.cnf of wrk, which has no options for this, and of openssl s_client.
const clientConf = `
openssl_conf = main
[main]
ssl_conf = ssl
[ssl]
system_default = pinned
[pinned]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
`

// identity is the certificate that every contestant shows, and what our clients need to know.
type identity struct {
	cert, key, both string // PEM files; HAProxy wants both in one
	clientConf      string // path of clientConf
	roots           *x509.CertPool
}

// newIdentity makes an ECDSA P-256 certificate that signs itself.
func (l *lab) newIdentity() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a key: %w", err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	id := &identity{roots: x509.NewCertPool()}
	id.roots.AppendCertsFromPEM(certPEM)
	return id, id.write(l, string(certPEM), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}

func (id *identity) write(l *lab, cert, key string) error {
	for _, file := range []struct {
		path          *string
		name, content string
	}{
		{&id.cert, "cert.pem", cert},
		{&id.key, "key.pem", key},
		{&id.both, "both.pem", cert + key},
		{&id.clientConf, "openssl.cnf", clientConf},
	} {
		path, err := l.write(file.name, file.content)
		if err != nil {
			return err
		}
		*file.path = path
	}
	return nil
}

// What the contestants are told of it. A nil identity is plain HTTP.

func (id *identity) scheme() string {
	if id == nil {
		return "http"
	}
	return "https"
}

// l7 is a whole config file: arguments know nothing of certificates.
func (id *identity) l7(s setup) string {
	return fmt.Sprintf(`
listen:
  - address: %q
    tls: {certificates: [{cert: %q, key: %q}]}
backends:
  '*': {servers: [%q]}
`, s.listen, id.cert, id.key, s.origin)
}

// nginx is what follows the address that it listens on. Tickets and the (absent) session cache are as they come.
func (id *identity) nginx() string {
	if id == nil {
		return ""
	}
	return fmt.Sprintf(` ssl;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate %s;
    ssl_certificate_key %s`, id.cert, id.key)
}

// haproxy is what follows the address that it binds. By itself it would choose AES-256 where the others take what the client has first,
// and it would answer 400 to a mere handshake.
func (id *identity) haproxy() string {
	if id == nil {
		return ""
	}
	return " ssl prefer-client-ciphers crt " + id.both + "\n  option http-ignore-probes"
}

// pin has a program that uses OpenSSL read clientConf. A nil identity leaves it as it is.
func (id *identity) pin(cmd *exec.Cmd) {
	if id != nil {
		cmd.Env = append(os.Environ(), "OPENSSL_CONF="+id.clientConf)
	}
}

// client is the TLS of our own client. Every client says that it takes session tickets, as all do in real life; the sessions may be nil
// for one that forgets them.
func (id *identity) client(sessions tls.ClientSessionCache) *tls.Config {
	if sessions == nil {
		sessions = forgetful{}
	}
	return &tls.Config{
		RootCAs: id.roots, ServerName: serverName, MinVersion: wantVersion,
		CurvePreferences: []tls.CurveID{wantGroup}, ClientSessionCache: sessions,
	}
}

// forgetful is a session cache that keeps nothing.
type forgetful struct{}

// Get implements tls.ClientSessionCache.
func (forgetful) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// Put implements tls.ClientSessionCache.
func (forgetful) Put(string, *tls.ClientSessionState) {}

// once makes one verified request on a connection of its own, in TLS where that is spoken.
func (i *instance) once(request, want []byte) error {
	if i.secure == nil {
		return once(i.addr, request, want)
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: clientTimeout}, "tcp", i.addr, i.secure.client(nil))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := negotiated(conn.ConnectionState()); err != nil {
		return err
	}
	return onceOn(conn, request, want)
}

// negotiated is an error when it is not what all are to do.
func negotiated(s tls.ConnectionState) error {
	if s.Version == wantVersion && s.CipherSuite == wantSuite && s.CurveID == wantGroup {
		return nil
	}
	return fmt.Errorf("negotiated %s instead of TLS 1.3, TLS_AES_128_GCM_SHA256, X25519", describe(s))
}

func describe(s tls.ConnectionState) string {
	return fmt.Sprintf("%s, %s, %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.CurveID)
}

// printNegotiated tells what every contestant negotiates with the two clients that the load comes from: OpenSSL as wrk has it, and
// Go; and with both unpinned.
func printNegotiated(ctx context.Context, field []*instance, w io.Writer) error {
	fmt.Fprintln(w)
	for _, i := range field {
		lines := []struct {
			what string
			said func() (string, error)
		}{
			{"OpenSSL pinned", func() (string, error) { return i.askOpenSSL(ctx, i.secure) }},
			{"Go pinned", func() (string, error) { return i.askGo(i.secure.client(nil)) }},
			{"OpenSSL by itself", func() (string, error) { return i.askOpenSSL(ctx, nil) }},
			{"Go by itself", func() (string, error) {
				return i.askGo(&tls.Config{RootCAs: i.secure.roots, ServerName: serverName, MinVersion: tls.VersionTLS12})
			}},
		}
		for _, line := range lines {
			said, err := line.said()
			if err != nil {
				return fmt.Errorf("%s, %s: %w", i.contestant.name, line.what, err)
			}
			fmt.Fprintf(w, "%-10s %-18s %s\n", i.contestant.name, line.what, said)
		}
	}
	return nil
}

func (i *instance) askGo(config *tls.Config) (string, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: clientTimeout}, "tcp", i.addr, config)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return describe(conn.ConnectionState()), nil
}

// askOpenSSL reads what s_client prints of a handshake. With an identity it is pinned, and anything else than the pinned is an error.
func (i *instance) askOpenSSL(ctx context.Context, pinned *identity) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", "s_client", "-connect", i.addr, "-servername", serverName, "-CAfile", i.secure.cert)
	pinned.pin(cmd)
	out, err := cmd.Output() // without an input it ends after the handshake
	if err != nil {
		return "", fmt.Errorf("cannot run openssl s_client: %w: %s", err, out)
	}
	after := func(mark string) string {
		_, rest, _ := bytes.Cut(out, []byte(mark))
		line, _, _ := strings.Cut(string(rest), "\n")
		return line
	}
	said := strings.Replace(after("\nNew, "), "Cipher is ", "", 1) + ", " + after("\nServer Temp Key: ")
	if want := "TLSv1.3, TLS_AES_128_GCM_SHA256, X25519"; pinned != nil && !strings.HasPrefix(said, want) {
		return "", fmt.Errorf("negotiated %s instead of %s", said, want)
	}
	return said, nil
}
