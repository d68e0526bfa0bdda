package server

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificate is one of its own making, with its subject and the URIs that it is for.
func certificate(t *testing.T, subject pkix.Name, uris ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, DNSNames: []string{"a"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	for _, text := range uris {
		uri, err := url.Parse(text)
		require.NoError(t, err)
		template.URIs = append(template.URIs, uri)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// speaksTLS is what a listener needs for that, and what its clients do.
func speaksTLS(t *testing.T) (listener, client *tls.Config) {
	t.Helper()
	own := certificate(t, pkix.Name{CommonName: "a"})
	roots := x509.NewCertPool()
	roots.AddCert(own.Leaf)
	return &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: roots, ServerName: "a", MinVersion: tls.VersionTLS12}
}

// obeys gives the listener other rules.
func (p *proxy) obeys(rules Rules) {
	p.t.Helper()
	for address := range p.listeners {
		opening, err := p.Open([]Listen{{Address: address, Rules: rules}})
		require.NoError(p.t, err)
		commit(p.Server, opening)
	}
}

// secure speaks TLS on a connection. It returns what sends a request and reads the head of the response.
func (c *peerConn) secure(cfg *tls.Config) (ask func(request string) string) {
	over := tls.Client(c.TCPConn, cfg)
	r := bufio.NewReader(over)
	return func(request string) string {
		_, _ = io.WriteString(over, request) // what is read then tells
		return (&peerConn{t: c.t, r: r}).readHead()
	}
}

// From a subject with a comma in a name servers read another subject, of the client's choice: the backslash before it had become a question mark.
func TestSubjectsCannotBeForged(t *testing.T) {
	f := func(subject pkix.Name, want string) {
		t.Helper()
		require.Equal(t, want, quoted(subject.String()))
	}
	f(pkix.Name{CommonName: "alice", Organization: []string{"Tests"}}, `CN=alice,O=Tests`)
	f(pkix.Name{CommonName: "mallory,O=Admins,CN=root"}, `CN=mallory\\,O=Admins\\,CN=root`)
	f(pkix.Name{CommonName: `mallory\,O=Admins`}, `CN=mallory\\\\\\,O=Admins`)
	f(pkix.Name{CommonName: `mallory?,O=Admins`}, `CN=mallory?\\,O=Admins`)
	f(pkix.Name{CommonName: `a";Hash="b`}, `CN=a\\\"\\;Hash=\\\"b`)
	f(pkix.Name{CommonName: "a\r\nX: b\x00\x7f"}, `CN=a\\0D\\0AX: b\\00\\7F`)
	f(pkix.Name{CommonName: "Žofie"}, `CN=\\C5\\BDofie`)
	f(pkix.Name{CommonName: `\C5`}, `CN=\\\\C5`)
	f(pkix.Name{CommonName: " #"}, `CN=\\ #`)
}

// A client whose certificate has no subject, as those of SPIFFE, came without a word of it; and of its URIs, which are its names, the server
// was told nothing.
func TestCertificatesOfURIs(t *testing.T) {
	m := newMirror(t)
	f := func(subject pkix.Name, want string, uris ...string) {
		t.Helper()
		listener, client := speaksTLS(t)
		listener.ClientAuth = tls.RequireAnyClientCert
		client.Certificates = []tls.Certificate{certificate(t, subject, uris...)}
		m.obeys(Rules{TLS: listener})
		c := m.dial()
		ask := c.secure(client)
		for range 2 {
			require.Contains(t, ask(good), "200 OK")
			require.Contains(t, receive(t, m.heads), "\r\nX-Forwarded-Client-Cert: "+want+"\r\n")
		}
		require.NoError(t, c.Close())
	}
	f(pkix.Name{}, `Subject=""`)
	f(pkix.Name{}, `Subject="";URI="spiffe://a.test/ns/x"`, "spiffe://a.test/ns/x")
	f(pkix.Name{CommonName: "a"}, `Subject="CN=a";URI="urn:a";URI="spiffe://b/c,d;e=f"`, "urn:a", "spiffe://b/c,d;e=f")
	f(pkix.Name{}, `Subject="";URI="spiffe://a/?\",By=\"\\"`, `spiffe://a/?",By="\`)
}

// What a proxy says of a certificate was believed wherever clients are asked for none.
func TestCertificatesAreOursToTell(t *testing.T) {
	const forged = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: Subject=\"CN=root\"\r\nx-forwarded-client-cert:\r\n\r\n"
	for _, trust := range []string{"", trusted} {
		m := newMirror(t, trust)
		require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\n"+added("a")+"\r\n", m.forwarded(t, forged))
		for asked, want := range map[tls.ClientAuthType]string{
			tls.NoClientCert:         "",
			tls.RequestClientCert:    "",
			tls.RequireAnyClientCert: "X-Forwarded-Client-Cert: Subject=\"CN=a\\\\,b\"\r\n",
		} {
			listener, client := speaksTLS(t)
			listener.ClientAuth = asked
			m.obeys(Rules{TLS: listener})
			if want != "" {
				client.Certificates = []tls.Certificate{certificate(t, pkix.Name{CommonName: "a,b"})}
			}
			c := m.dial()
			require.Contains(t, c.secure(client)(forged), "200 OK")
			require.NoError(t, c.Close())
			require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n"+want+"X-Forwarded-Host: a\r\n\r\n", receive(t, m.heads))
		}
	}
}

// Where clients are asked for certificates, what a trusted proxy said of the request did not arrive at all.
func TestForwardingFieldsPassWhereCertificatesAreAskedFor(t *testing.T) {
	m := newMirror(t, trusted)
	listener, client := speaksTLS(t)
	listener.ClientAuth = tls.RequestClientCert
	m.obeys(Rules{TLS: listener})
	const fields = "X-Forwarded-Proto: http\r\nX-Forwarded-Host: b\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Prefix: /x\r\nX-Real-IP: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n"
	c := m.dial()
	require.Contains(t, c.secure(client)("GET / HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n"), "200 OK")
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\n"+fields+"X-Forwarded-For: 127.0.0.1\r\n\r\n", receive(t, m.heads))
	require.NoError(t, c.Close())
}

const proxyLine = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"

// Behind a PROXY header the client has reached another address and port than those of the socket: the server was told of the listener's port, and the
// certificate for those who name nobody went by the listener's address.
func TestWhatAClientHasReached(t *testing.T) {
	m := newMirror(t, "forwarding: [x-forwarded-port]\n")
	listener, client := speaksTLS(t)
	own := listener.Certificates
	reached := make(chan string, 100)
	listener.Certificates = nil
	listener.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		reached <- hello.Conn.LocalAddr().String()
		return &own[0], nil
	}
	_, port, _ := net.SplitHostPort(m.addr)
	f := func(header, address, port string) {
		t.Helper()
		m.obeys(Rules{Proxies: prefixes("127.0.0.1/32"), TLS: listener})
		c := m.dial()
		c.send(header)
		ask := c.secure(client)
		for range 2 {
			require.Contains(t, ask(good), "200 OK")
			require.Contains(t, receive(t, m.heads), "\r\nX-Forwarded-Port: "+port+"\r\n")
		}
		require.Equal(t, address, receive(t, reached))
		require.NoError(t, c.Close())

		m.obeys(Rules{Proxies: prefixes("127.0.0.1/32")})
		c = m.dial()
		require.Contains(t, c.ask(header+good), "200 OK")
		require.Contains(t, receive(t, m.heads), "\r\nX-Forwarded-Port: "+port+"\r\n")
		require.NoError(t, c.Close())
	}
	f(proxyLine, "192.0.2.2:2", "2")
	f("PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n", "[2001:db8::2]:443", "443")
	f("PROXY UNKNOWN\r\n", m.addr, port)
}

// A drain waited as long as a handshake may take, and with no limit for ever, for connections on which nobody has said a word.
func TestADrainDoesNotWaitForTheSilent(t *testing.T) {
	t.Parallel()
	listener, _ := speaksTLS(t)
	f := func(name string, rules Rules, before, header string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := inFront(t, answering(t, plainOK), "timeouts: {header: "+header+"}\n")
			p.obeys(rules)
			c := p.dial()
			c.send(before)
			until(t, func() bool { return p.conns.len() == 1 }, "it is not accepted")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			start := time.Now()
			require.NoError(t, p.Drain(ctx))
			require.Less(t, time.Since(start), drainGrace*5/4+busy)
			require.True(t, c.ended())
		})
	}
	proxies := prefixes("127.0.0.1/32")
	for _, header := range []string{"0s", "20s"} {
		f("TLS, "+header, Rules{TLS: listener}, "", header)
		f("PROXY, "+header, Rules{Proxies: proxies}, "", header)
		f("PROXY, then TLS, "+header, Rules{Proxies: proxies, TLS: listener}, proxyLine, header)
		f("PROXY, then a request, "+header, Rules{Proxies: proxies}, proxyLine, header)
	}
}

// What has begun when a drain begins is finished: a PROXY header, a handshake, and the request behind them.
func TestADrainLetsHandshakesFinish(t *testing.T) {
	t.Parallel()
	p := inFront(t, answering(t, plainOK))
	listener, client := speaksTLS(t)
	p.obeys(Rules{Proxies: prefixes("127.0.0.1/32"), TLS: listener})
	c := p.dial()
	c.send(proxyLine[:7])
	until(t, func() bool { return p.conns.len() == 1 }, "it is not accepted")
	drained := make(chan error, 1)
	go func() { drained <- p.Drain(t.Context()) }()
	until(t, func() bool {
		ending := false
		p.conns.each(all, func(c *conn) {
			c.mu.Lock()
			defer c.mu.Unlock()
			ending = c.ending
		})
		return ending
	}, "the drain does not begin")
	c.send(proxyLine[7:])
	require.Contains(t, c.secure(client)(get), "200 OK")
	require.NoError(t, c.Close())
	require.NoError(t, receive(t, drained))
}

// A client that says nothing before its first request has timeouts.header, and so has one that stops in the middle.
func TestSilenceBeforeTheFirstRequest(t *testing.T) {
	t.Parallel()
	listener, _ := speaksTLS(t)
	proxies := prefixes("127.0.0.1/32")
	for _, rules := range []Rules{{TLS: listener}, {Proxies: proxies}, {Proxies: proxies, TLS: listener}} {
		for _, begun := range []string{"", "\x16\x03\x01", "PRO"} {
			p := inFront(t, answering(t, plainOK), withTimeout("header"))
			p.obeys(rules)
			took(t, short, func() {
				c := p.dial()
				c.send(begun)
				require.True(t, c.ended())
			})
		}
	}
}

// The limit of the PROXY header stayed in force: with idle: 0s it ended the connection later on, in the middle of nothing.
func TestTheLimitOfAProxyHeaderEndsWithIt(t *testing.T) {
	t.Parallel()
	p := inFront(t, answering(t, plainOK), "timeouts: {idle: 0s, header: 400ms}\n")
	listener, client := speaksTLS(t)
	p.obeys(Rules{Proxies: prefixes("127.0.0.1/32"), TLS: listener})
	c := p.dial()
	c.send(proxyLine)
	ask := c.secure(client)
	require.Contains(t, ask(get), "200 OK")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
	_, err := io.Copy(io.Discard, c.TCPConn)
	require.True(t, ranOut(err), "the connection ends: %v", err)
}

// A proxy that does not know its client's kind of address says UNSPEC, also in a PROXY command: the connection's own addresses hold
// (proxy-protocol.txt section 2.2). The connection was closed.
func TestProxyOfNoKnownFamily(t *testing.T) {
	m := newMirror(t)
	m.obeys(Rules{Proxies: prefixes("127.0.0.1/32")})
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	f := func(header, want string) {
		t.Helper()
		c := m.dial()
		require.Contains(t, c.ask(header+get), "200 OK")
		require.Contains(t, receive(t, m.heads), "X-Forwarded-For: "+want+"\r\n")
		require.NoError(t, c.Close())
	}
	f(v2+"\x21\x00\x00\x00", "127.0.0.1")
	f(v2+"\x21\x00\x00\x05\x04\x00\x02ab", "127.0.0.1")
	f(v2+"\x21\x00\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x30\x39\x00\x50", "127.0.0.1")
	f(v2+"\x20\x00\x00\x00", "127.0.0.1")
	f(v2+"\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x30\x39\x00\x50", "192.0.2.7")
	f(v2+"\x21\x31\x00\xd8"+strings.Repeat("\x00", 216), "127.0.0.1")
	for _, bad := range []string{"\x21\x01\x00\x00", "\x22\x00\x00\x00", "\x31\x00\x00\x00", "\x21\x13\x00\x00"} {
		c := m.dial()
		c.send(v2 + bad + get)
		require.True(t, c.ended(), "%q", bad)
	}
}
