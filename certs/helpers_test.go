package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far more than a handshake takes on a busy machine.
const patience = 20 * time.Second

// authority signs certificates, and has its own in a file.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	file string
}

func newECDSA(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func newRSA(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key := newECDSA(t)
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	a := &authority{cert: cert, key: key, file: filepath.Join(t.TempDir(), name+".pem")}
	write(t, a.file, pemOf("CERTIFICATE", raw))
	return a
}

func (a *authority) pool() *x509.CertPool { return pool([]*x509.Certificate{a.cert}) }

// leaf is a template of a certificate for names and addresses.
func leaf(names ...string) *x509.Certificate {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "common name"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour).Truncate(time.Second),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	return template
}

// sign returns a certificate and its key as PEM texts.
func (a *authority) sign(t testing.TB, template *x509.Certificate, key crypto.Signer) (cert, keyText []byte) {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pemOf("CERTIFICATE", raw), pemOf("PRIVATE KEY", rawKey)
}

// pair makes a pair of files.
func (a *authority) pair(t testing.TB, template *x509.Certificate, key crypto.Signer) Pair {
	t.Helper()
	dir := t.TempDir()
	p := Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	a.renew(t, p, template, key)
	return p
}

// renew replaces the files of a pair by renames, as certbot and Kubernetes do.
func (a *authority) renew(t testing.TB, p Pair, template *x509.Certificate, key crypto.Signer) {
	t.Helper()
	cert, keyText := a.sign(t, template, key)
	write(t, p.Cert, cert)
	write(t, p.Key, keyText)
}

// named is a pair of an ECDSA certificate for names.
func (a *authority) named(t testing.TB, names ...string) Pair {
	t.Helper()
	return a.pair(t, leaf(names...), newECDSA(t))
}

// revoke writes a CRL file, which is to be renewed by a time.
func (a *authority) revoke(t testing.TB, next time.Time, extensions []pkix.Extension, serials ...*big.Int) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "crl.pem")
	write(t, file, a.list(t, next, extensions, serials...))
	return file
}

// list is the text of a CRL.
func (a *authority) list(t testing.TB, next time.Time, extensions []pkix.Extension, serials ...*big.Int) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: next.Add(-24 * time.Hour), NextUpdate: next, ExtraExtensions: extensions}
	for _, serial := range serials {
		e := x509.RevocationListEntry{SerialNumber: serial, RevocationTime: time.Now()}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, e)
	}
	raw, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	require.NoError(t, err)
	return pemOf("X509 CRL", raw)
}

func pemOf(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}

// write replaces a file by a rename.
func write(t testing.TB, path string, text []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", text, 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

func keeper(t testing.TB, pairs ...Pair) *Keeper {
	t.Helper()
	k, _, err := NewKeeper(pairs, nil)
	require.NoError(t, err)
	return k
}

func serverConfig(t testing.TB, o ServerOptions) *tls.Config {
	t.Helper()
	config, err := NewServerConfig(o)
	require.NoError(t, err)
	return config
}

// clientsOf asks clients for certificates of an authority.
func clientsOf(t testing.TB, mode, ca, crl string) *Clients {
	t.Helper()
	c, warnings, err := NewClients(mode, ca, crl)
	require.NoError(t, err)
	require.Empty(t, warnings)
	return c
}

// plain is a server's config with certificates and no options.
func plain(t testing.TB, pairs ...Pair) *tls.Config {
	t.Helper()
	return serverConfig(t, ServerOptions{GetCertificate: keeper(t, pairs...).GetCertificate})
}

func parsed(t testing.TB, p Pair) *x509.Certificate {
	t.Helper()
	found, _, err := readCertificates(p.Cert)
	require.NoError(t, err)
	return found[0]
}

func clientPair(t testing.TB, p Pair) []tls.Certificate {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	require.NoError(t, err)
	return []tls.Certificate{cert}
}

// outcome is what became of a connection.
type outcome struct {
	client, server       tls.ConnectionState
	clientErr, serverErr error
}

// connect makes a handshake over loopback, and then the server sends a byte: so the client has read the tickets of TLS 1.3 as well, or
// has been told that its certificate is refused.
func connect(t testing.TB, server, client *tls.Config) (o outcome) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			o.serverErr = err
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		secure := tls.Server(conn, server)
		_, o.serverErr = secure.Write([]byte("."))
		o.server = secure.ConnectionState()
		// The client closes first, or else it might be reset before it has read an alert.
		_, _ = io.Copy(io.Discard, conn)
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	_ = conn.SetDeadline(time.Now().Add(patience))
	secure := tls.Client(conn, client)
	_, o.clientErr = io.ReadFull(secure, make([]byte, 1))
	o.client = secure.ConnectionState()
	_ = conn.Close()
	<-done
	return o
}

// requireOK fails unless the connection came about.
func (o outcome) requireOK(t testing.TB) outcome {
	t.Helper()
	require.NoError(t, o.serverErr)
	require.NoError(t, o.clientErr)
	return o
}

// shown is the certificate that the client saw.
func (o outcome) shown(t testing.TB) *x509.Certificate {
	t.Helper()
	o.requireOK(t)
	return o.client.PeerCertificates[0]
}
