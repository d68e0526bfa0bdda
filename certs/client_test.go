package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func clientConfig(t testing.TB, o ClientOptions) *ClientConfig {
	t.Helper()
	c, warnings, err := NewClientConfig(o)
	require.NoError(t, err)
	require.Empty(t, warnings)
	return c
}

func TestClient(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	f := func(o ClientOptions, host, want string, names ...string) {
		t.Helper()
		got := connect(t, plain(t, ca.named(t, names...)), clientConfig(t, o).For(host))
		if want == "" {
			require.Equal(t, "http/1.1", got.requireOK(t).client.NegotiatedProtocol)
			return
		}
		require.Equal(t, want, Reason(got.clientErr))
	}
	trusted := ClientOptions{CAFile: ca.file}
	f(trusted, "a.test", "", "a.test")
	f(trusted, "127.0.0.1", "", "127.0.0.1")
	f(trusted, "fe80::1%eth0", "", "fe80::1")
	f(trusted, "b.test", "the certificate is not for b.test, but for a.test, 10.0.0.1", "a.test", "10.0.0.1")
	f(trusted, "127.0.0.1", "the certificate is not for 127.0.0.1, but for a.test", "a.test")
	f(ClientOptions{CAFile: ca.file, ServerName: "a.test"}, "127.0.0.1", "", "a.test")
	f(ClientOptions{CAFile: other.file}, "a.test", "the certificate of a.test is from an authority that is not trusted: CN=ca", "a.test")
	f(ClientOptions{}, "a.test", "the certificate of a.test is from an authority that is not trusted: CN=ca", "a.test")
	f(ClientOptions{InsecureSkipVerify: true}, "b.test", "", "a.test")
}

func TestClientVersionAndCertificate(t *testing.T) {
	ca, clients := newAuthority(t, "ca"), newAuthority(t, "clients")
	get := keeper(t, ca.named(t, "a.test")).GetCertificate
	old := &tls.Config{GetCertificate: get, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	require.ErrorContains(t, connect(t, old, clientConfig(t, ClientOptions{CAFile: ca.file}).For("a.test")).clientErr, "protocol version")

	server := serverConfig(t, ServerOptions{GetCertificate: get, Clients: clientsOf(t, "require", clients.file, "")})
	pair := clients.named(t, "l7.test")
	o := ClientOptions{CAFile: ca.file, Cert: pair.Cert, Key: pair.Key}
	require.Equal(t, []string{ca.file, pair.Cert, pair.Key}, o.Files())
	got := connect(t, server, clientConfig(t, o).For("a.test")).requireOK(t)
	require.Equal(t, []string{"l7.test"}, got.server.PeerCertificates[0].DNSNames)
}

// Each server has its own session.
func TestClientResumption(t *testing.T) {
	ca := newAuthority(t, "ca")
	one, two := plain(t, ca.named(t, "a.test")), plain(t, ca.named(t, "a.test"))
	c := clientConfig(t, ClientOptions{CAFile: ca.file, ServerName: "a.test"})
	toOne, toTwo := c.For("10.0.0.1"), c.For("10.0.0.2")
	for range 3 {
		connect(t, one, toOne).requireOK(t)
		connect(t, two, toTwo).requireOK(t)
	}
	require.True(t, connect(t, one, toOne).requireOK(t).client.DidResume)
	require.True(t, connect(t, two, toTwo).requireOK(t).client.DidResume)
}

// The key is the same for what is the same, and another one for each thing that differs.
func TestClientKey(t *testing.T) {
	ca := newAuthority(t, "ca")
	pair := ca.named(t, "l7.test")
	copied := Pair{pair.Cert + ".copy", pair.Key + ".copy"}
	for from, to := range map[string]string{pair.Cert: copied.Cert, pair.Key: copied.Key} {
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		write(t, to, text)
	}
	seen := map[string]ClientOptions{}
	f := func(o ClientOptions) {
		t.Helper()
		key := clientConfig(t, o).Key()
		require.Equal(t, key, clientConfig(t, o).Key())
		require.NotContains(t, seen, key)
		seen[key] = o
	}
	f(ClientOptions{})
	f(ClientOptions{InsecureSkipVerify: true})
	f(ClientOptions{ServerName: "a.test"})
	f(ClientOptions{CAFile: ca.file})
	f(ClientOptions{CAFile: ca.file, ServerName: "a.test"})
	f(ClientOptions{Cert: pair.Cert, Key: pair.Key})
	f(ClientOptions{Cert: copied.Cert, Key: copied.Key})
	ca.renew(t, pair, leaf("l7.test"), newECDSA(t))
	f(ClientOptions{Cert: pair.Cert, Key: pair.Key})
	write(t, ca.file, pemOf("CERTIFICATE", newAuthority(t, "ca").cert.Raw))
	f(ClientOptions{CAFile: ca.file})
}

func TestClientOptionsRefused(t *testing.T) {
	ca := newAuthority(t, "ca")
	one, two := ca.named(t, "a.test"), ca.named(t, "b.test")
	f := func(o ClientOptions, want string) {
		t.Helper()
		c, _, err := NewClientConfig(o)
		require.Nil(t, c)
		require.ErrorContains(t, err, want)
	}
	f(ClientOptions{CAFile: "missing.pem"}, "missing.pem")
	f(ClientOptions{CAFile: one.Key}, "no certificate in PEM form")
	f(ClientOptions{Cert: one.Cert}, "without its key")
	f(ClientOptions{Key: one.Key}, "without its certificate")
	f(ClientOptions{Cert: one.Cert, Key: two.Key}, "does not match")

	expired := leaf("l7.test")
	expired.NotAfter = time.Now().Add(-time.Minute)
	pair := ca.pair(t, expired, newECDSA(t))
	_, warnings, err := NewClientConfig(ClientOptions{Cert: pair.Cert, Key: pair.Key})
	require.NoError(t, err)
	require.Len(t, warnings, 1)
}

func TestReasonOfTimes(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := func(notBefore, notAfter time.Time, want string) {
		t.Helper()
		template := leaf("a.test")
		template.NotBefore, template.NotAfter = notBefore, notAfter
		server := plain(t, ca.pair(t, template, newECDSA(t)))
		o := connect(t, server, clientConfig(t, ClientOptions{CAFile: ca.file}).For("a.test"))
		require.Equal(t, want, Reason(o.clientErr))
		require.Equal(t, want, Reason(fmt.Errorf("cannot connect: %w", o.clientErr)))
		require.NotEmpty(t, Reason(o.serverErr), "the alert")
	}
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	f(past, past.Add(time.Minute), "the certificate of a.test expired on "+clock(past.Add(time.Minute)))
	f(future, future.Add(time.Minute), "the certificate of a.test is not valid before "+clock(future))
}

func TestReasonSelfSigned(t *testing.T) {
	cert, err := SelfSigned(nil, time.Now())
	require.NoError(t, err)
	server := serverConfig(t, ServerOptions{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }})
	ca := newAuthority(t, "ca")
	o := connect(t, server, clientConfig(t, ClientOptions{CAFile: ca.file}).For("localhost"))
	require.Equal(t, "the certificate of localhost is self-signed and not trusted", Reason(o.clientErr))
}

// What does not speak TLS is named, on either side.
func TestReasonPlain(t *testing.T) {
	ca := newAuthority(t, "ca")
	config := plain(t, ca.named(t, "a.test"))
	f := func(isClient bool, sent, want string) {
		t.Helper()
		near, far := net.Pipe()
		defer near.Close()
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			defer far.Close()
			if !isClient { // the hello that is answered
				_, _ = far.Read(make([]byte, 1<<14))
			}
			_, _ = far.Write([]byte(sent))
			_, _ = io.Copy(io.Discard, far)
		}()
		secure := tls.Server(near, config)
		if !isClient {
			secure = tls.Client(near, clientConfig(t, ClientOptions{}).For("a.test"))
		}
		err := secure.Handshake()
		_ = near.Close()
		<-writing
		require.Equal(t, want, Reason(err))
	}
	const plainClient = "the client speaks plain HTTP, not TLS"
	f(true, "GET / HTTP/1.1\r\n\r\n", plainClient)
	f(true, "PUT /x HTTP/1.1\r\n\r\n", plainClient)
	f(true, "OPTIONS * HTTP/1.1\r\n\r\n", plainClient)
	f(true, "PROXY TCP4 ", "the other side does not speak TLS: first record does not look like a TLS handshake")
	f(false, "HTTP/1.1 400 Bad Request\r\n\r\n", "the server answers in plain HTTP, not TLS")
	f(false, "SSH-2.0-OpenSSH", "the other side does not speak TLS: first record does not look like a TLS handshake")
}

func TestReason(t *testing.T) {
	ca := newAuthority(t, "ca")
	f := func(err error, want string) {
		t.Helper()
		require.Equal(t, want, Reason(err))
	}
	f(nil, "")
	f(errors.New("tls: something"), "something")
	f(fmt.Errorf("read: %w", os.ErrDeadlineExceeded), "the handshake was not finished in time")
	f(io.EOF, "the other side closed the connection during the handshake")
	f(x509.UnknownAuthorityError{}, "certificate signed by unknown authority")
	f(x509.CertificateInvalidError{Reason: x509.TooManyIntermediates}, "too many intermediates for path length constraint")
	f(&NameError{}, "the client names no server, and strict_sni is set")

	many := make([]string, 12)
	for i := range many {
		many[i] = fmt.Sprintf("n%d", i)
	}
	f(x509.HostnameError{Certificate: leaf(many...), Host: "a"},
		"the certificate is not for a, but for "+strings.Join(many[:10], ", ")+" and 2 more")
	f(x509.HostnameError{Certificate: leaf(), Host: "a"}, "the certificate is not for a, but for no name at all")
	f(&RevokedError{ca.cert}, fmt.Sprintf("the certificate of CN=ca, serial number %s, has been revoked", ca.cert.SerialNumber))
	require.Equal(t, "no name", subject(&x509.Certificate{}))
}
