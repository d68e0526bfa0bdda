package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// authority signs certificates, and keeps their files in a folder of its own.
type authority struct {
	t      *testing.T
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	file   string
	serial atomic.Int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.file = filepath.Join(a.dir, "ca.pem")
	a.write(a.file, "CERTIFICATE", der)
	return a
}

func (a *authority) write(path, kind string, der []byte) {
	a.t.Helper()
	next := path + ".next"
	require.NoError(a.t, os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	require.NoError(a.t, os.Rename(next, path))
}

// sign writes a certificate for names, and its key, and returns their files. An empty name is left out.
func (a *authority) sign(file string, until time.Time, names ...string) (cert, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial.Add(1) + 1), Subject: pkix.Name{CommonName: names[0], Organization: []string{"Tests"}},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if name != "" {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	require.NoError(a.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(a.t, err)
	cert, key = filepath.Join(a.dir, file+".pem"), filepath.Join(a.dir, file+".key")
	a.write(key, "PRIVATE KEY", pkcs8)
	a.write(cert, "CERTIFICATE", der)
	return cert, key
}

// trusting is a TLS client that trusts the authority alone.
func (a *authority) trusting(name string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}
}

// over sends a request over a connection of its own.
func over(t *testing.T, conn net.Conn, err error, request string) reply {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return reply{response, t, string(body)}
}

// mirror is a server that answers with the fields it has got.
func mirror(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.Header.Write(w) // the client may have gone
	}))
	t.Cleanup(server.Close)
	return server
}

const getExample = "GET /x?y HTTP/1.1\r\nHost: example.com\r\n\r\n"

// TestHTTPS: clients speak TLS, and the servers and clients are told what follows from it.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.sign("one", time.Now().Add(time.Hour), "example.com", "*.example.org")
	l := run{config: text(
		"listen: [{address: '127.0.0.1:0', tls: {certificates: [{cert: '"+cert+"', key: '"+key+"'}]}}]",
		"hsts: 24h",
		"backends: {'*': {servers: ['"+mirror(t).URL+"'], sticky: l7}}")}.start(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := a.trusting("www.example.org")
		cfg.MinVersion, cfg.MaxVersion, cfg.NextProtos = version, version, []string{"h2", "http/1.1"}
		conn, err := tls.Dial("tcp", l.addr, cfg)
		got := over(t, conn, err, getExample).is(http.StatusOK)
		assert.Equal(t, "http/1.1", conn.ConnectionState().NegotiatedProtocol)
		assert.Contains(t, got.body, "X-Forwarded-Proto: https\r\n")
		assert.Equal(t, "max-age=86400", got.Header.Get("Strict-Transport-Security"))
		assert.True(t, got.Cookies()[0].Secure)
	}
	plain, err := net.Dial("tcp", l.addr)
	assert.Contains(t, over(t, plain, err, getExample).is(http.StatusBadRequest).body, "wants TLS")
	old := a.trusting("example.com")
	old.MinVersion, old.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	_, err = tls.Dial("tcp", l.addr, old)
	require.Error(t, err)
	only := a.trusting("example.com")
	only.NextProtos = []string{"h2"}
	_, err = tls.Dial("tcp", l.addr, only)
	require.ErrorContains(t, err, "no application protocol")
}

// TestRedirectToHTTPS: every request is sent to https, whatever its host and method.
func TestRedirectToHTTPS(t *testing.T) {
	t.Parallel()
	l := startFile(t, "listen: [{address: '127.0.0.1:0', redirect_https: true}]", "backends: {example.com: {servers: ['127.0.0.1:1']}}")
	got := l.raw("POST /x?y=%20 HTTP/1.1\r\nHost: Example.com:80\r\nContent-Length: 0\r\n\r\n").is(http.StatusPermanentRedirect)
	assert.Equal(t, "https://Example.com/x?y=%20", got.Header.Get("Location"))
}

// TestClientCertificates: without a good one nobody comes in, and the server is told whose it is.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	a, stranger := newAuthority(t), newAuthority(t)
	cert, key := a.sign("server", time.Now().Add(time.Hour), "example.com")
	l := run{config: text(
		"listen: [{address: '127.0.0.1:0', tls: {certificates: [{cert: '"+cert+"', key: '"+key+"'}], client_auth: require, client_ca: '"+a.file+"'}}]",
		"trusted_proxies: 127.0.0.1",
		"backends: {'*': {servers: ['"+mirror(t).URL+"']}}")}.start(t)
	ask := func(by *authority, until time.Time) (*tls.Conn, error) {
		cfg := a.trusting("example.com")
		if by != nil {
			pair, err := tls.LoadX509KeyPair(by.sign("client", until, "alice\"\r\nX: y"))
			require.NoError(t, err)
			cfg.Certificates = []tls.Certificate{pair}
		}
		conn, err := tls.Dial("tcp", l.addr, cfg)
		if err == nil { // in TLS 1.3 the client is done before it is refused
			_, err = conn.Write([]byte(strings.Replace(getExample, "\r\n\r\n", "\r\nX-Forwarded-Client-Cert: forged\r\n\r\n", 1)))
		}
		return conn, err
	}
	conn, err := ask(a, time.Now().Add(time.Hour))
	got := over(t, conn, err, "")
	assert.Contains(t, got.body, `X-Forwarded-Client-Cert: Subject="CN=alice\\\"\\0D\\0AX: y,O=Tests"`)
	assert.NotContains(t, got.body, "forged")
	for _, by := range []*authority{nil, stranger} {
		conn, err := ask(by, time.Now().Add(time.Hour))
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		require.Error(t, err)
	}
	conn, err = ask(a, time.Now().Add(-time.Hour))
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	require.Error(t, err)
}

// TestHTTPSServers: servers are verified, and one that is not who it should be is told of by name and gets no request.
func TestHTTPSServers(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	serve := func(names ...string) string {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(a.sign(names[0], time.Now().Add(time.Hour), names...))
		require.NoError(t, err)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.TLS.ServerName, " ", r.TLS.DidResume)
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // it is to be refused
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		server.StartTLS()
		t.Cleanup(server.Close)
		return server.URL
	}
	good, wrong := serve("api.internal", "127.0.0.1"), serve("other.internal")
	config := func(servers, tls string) []string {
		return []string{listenAnywhere, "backends: {example.com: {servers: [" + servers + "], policy: first, tls: {" + tls + "}}}"}
	}
	l := startFile(t, config("'"+wrong+"', '"+good+"'", "ca_file: '"+a.file+"'")...)
	for range 5 {
		l.get("http://example.com/").is(http.StatusOK)
	}
	why := l.awaitLog("server changed", 1)
	assert.Equal(t, "ejected", why.field("state"))
	assert.Contains(t, why.field("reason"), "bad_certificate")
	assert.Contains(t, why.field("reason"), "other.internal")
	l.reload(config("'"+good+"'", "ca_file: '"+a.file+"', server_name: api.internal")...)
	assert.Equal(t, "api.internal false", l.get("http://example.com/").is(http.StatusOK).body)
	l.reload(config("'"+good+"'", "")...)
	l.get("http://example.com/").refusedFor(http.StatusBadGateway, "bad_certificate")
	l.reload(config("'"+good+"'", "insecure_skip_verify: true")...)
	l.get("http://example.com/").is(http.StatusOK)
	l.awaitText("every certificate is believed")
	checked := append(config("'"+good+"'", "ca_file: '"+a.file+"'"), "")
	checked[1] = strings.Replace(checked[1], "policy: first", "policy: first, health: {path: /, interval: 50ms, required: true}", 1)
	l.reload(checked...)
	eventually(t, "the check passes over TLS", func() bool { return l.get("http://example.com/").StatusCode == http.StatusOK })
}

// TestProxyProtocol: the client's address comes from the header, in both versions, and from trusted addresses alone.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	config := func(trusted string) string {
		return text("listen: [{address: '127.0.0.1:0', proxy_protocol: "+trusted+"}]", "backends: {'*': {servers: ['"+mirror(t).URL+"'], deny: 192.0.2.66}}")
	}
	l := run{config: config("127.0.0.0/8")}.start(t)
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x30\x39\x00\x50"
	local := "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	ask := func(header string) reply {
		conn, err := net.Dial("tcp", l.addr)
		return over(t, conn, err, header+getExample)
	}
	assert.Contains(t, ask("PROXY TCP4 192.0.2.7 127.0.0.1 12345 80\r\n").body, "X-Forwarded-For: 192.0.2.7\r\n")
	assert.Contains(t, ask("PROXY TCP6 2001:db8::7 ::1 12345 80\r\n").body, "X-Forwarded-For: 2001:db8::7\r\n")
	assert.Contains(t, ask("PROXY UNKNOWN\r\n").body, "X-Forwarded-For: 127.0.0.1\r\n")
	assert.Contains(t, ask(v2).body, "X-Forwarded-For: 192.0.2.7\r\n")
	assert.Contains(t, ask(local).body, "X-Forwarded-For: 127.0.0.1\r\n")
	ask("PROXY TCP4 192.0.2.66 127.0.0.1 12345 80\r\n").refusedFor(http.StatusForbidden, "forbidden")
	for _, header := range []string{"", "PROXY TCP4 192.0.2.7\r\n", "PROXY " + strings.Repeat("x", 200), v2[:12] + "\x21\x11\xff\xff"} {
		conn, err := net.Dial("tcp", l.addr)
		require.NoError(t, err)
		_, _ = io.WriteString(conn, header+getExample)
		answer, _ := io.ReadAll(conn)
		assert.Empty(t, string(answer), "%q", header)
	}
	l = run{config: config("192.0.2.0/24")}.start(t)
	ask("PROXY TCP4 192.0.2.7 127.0.0.1 12345 80\r\n").is(http.StatusBadRequest)
	assert.Contains(t, ask("").body, "X-Forwarded-For: 127.0.0.1\r\n")
}

// TestAllowAndDeny: who may not connect is told so, and a reload holds for connections that are open.
func TestAllowAndDeny(t *testing.T) {
	t.Parallel()
	config := func(rule string) []string {
		return []string{"listen: [{address: '127.0.0.1:0'" + rule + "}]", "backends: {example.com: {servers: ['" + mirror(t).URL + "']}}"}
	}
	l := startFile(t, config("")...)
	l.get("http://example.com/").is(http.StatusOK)
	l.reload(config(", deny: 127.0.0.0/8")...)
	l.get("http://example.com/").refusedFor(http.StatusForbidden, "forbidden")
	l.reload(config(", allow: [10.0.0.0/8, 127.0.0.1]")...)
	l.get("http://example.com/").is(http.StatusOK)
}

// slowKinds are how a client can fail to finish its handshake. Each is what it sends at once, and what one byte a second.
func slowKinds(t *testing.T) map[string][2][]byte {
	t.Helper()
	hello := clientHello(t)
	return map[string][2][]byte{
		"silence":                 {},
		"half a record":           {hello[:len(hello)/2], nil},
		"a hello, then silence":   {hello, nil},
		"a byte a second":         {nil, hello},
		"garbage":                 {bytes.Repeat([]byte{0xaa}, 300), nil},
		"garbage in a record":     {append([]byte{22, 3, 1, 1, 0}, bytes.Repeat([]byte{0xaa}, 256)...), nil},
		"a hello, then slow junk": {hello, bytes.Repeat([]byte{22}, 100)},
	}
}

// clientHello is what a client begins with.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		_ = tls.Client(theirs, &tls.Config{ServerName: "example.com", MinVersion: tls.VersionTLS12}).Handshake()
	}()
	head := make([]byte, 5)
	_, err := io.ReadFull(ours, head)
	require.NoError(t, err)
	rest := make([]byte, int(head[3])<<8|int(head[4]))
	_, err = io.ReadFull(ours, rest)
	require.NoError(t, err)
	return append(head, rest...)
}

// slow are clients that do not finish their handshakes. It returns when all of them have been cut: after which time the last one was.
func slow(t *testing.T, addr string, n int) (longest time.Duration) {
	t.Helper()
	kinds := slowKinds(t)
	names := slices.Sorted(maps.Keys(kinds))
	cut := make(chan time.Duration, n)
	for i := range n {
		kind := kinds[names[i%len(names)]]
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		started := time.Now()
		require.NoError(t, conn.SetReadDeadline(started.Add(patience)))
		_, err = conn.Write(kind[0])
		require.NoError(t, err)
		ended := make(chan struct{})
		go drip(conn, kind[1], ended)
		go func() {
			defer conn.Close()
			_, err := io.Copy(io.Discard, conn)
			close(ended)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("never cut: " + names[i%len(names)])
			}
			cut <- time.Since(started)
		}()
	}
	for range n {
		longest = max(longest, <-cut) // there is a deadline
	}
	return longest
}

// drip writes a byte a second until the connection ends.
func drip(conn net.Conn, text []byte, ended <-chan struct{}) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for i := range text {
		_, _ = conn.Write(text[i : i+1]) // it may have ended just now
		select {
		case <-second.C:
		case <-ended:
			return
		}
	}
}

// latencies are how long the requests of a good client take, each on a connection of its own, until stop is closed.
func latencies(addr string, roots *x509.CertPool, stop <-chan struct{}) (all []time.Duration, err error) {
	_, port, _ := net.SplitHostPort(addr)
	for {
		started := time.Now()
		if err := askOnce(port, roots); err != nil {
			return all, err
		}
		all = append(all, time.Since(started))
		select {
		case <-stop:
			return all, nil
		default:
		}
	}
}

// TestSlowHandshakes: a thousand clients at once do not finish their handshakes, in one way or another. All are cut within timeouts.header,
// a good client is served meanwhile, and nothing of them is left. A test process may open as many files as it needs: Go sees to it.
func TestSlowHandshakes(t *testing.T) {
	const many, limit, margin = 1000, 2 * time.Second, time.Second
	a := newAuthority(t)
	l := startReleased(t,
		"listen: [{address: '127.0.0.1:0', tls: {certificates: ["+pairOf(a.sign("server", hence(time.Hour), "example.com"))+"]}}]",
		"timeouts: {header: 2s, server_idle: 1s}",
		"admin: {listen: '127.0.0.1:0', socket: 'off'}",
		"backends: {example.com: {servers: ['"+mirror(t).URL+"']}}")
	admin := newClient(t, l.awaitLog("admin listening", 1).field("address"))
	goroutines := func() (n int) {
		scrape := admin.get("http://" + admin.addr + "/metrics").is(http.StatusOK).body
		_, rest, found := strings.Cut(scrape, "\ngo_goroutines ")
		require.True(t, found)
		_, err := fmt.Sscan(rest, &n)
		require.NoError(t, err)
		return n
	}
	round := func() footprint {
		stop, done := make(chan struct{}), make(chan struct{})
		var served []time.Duration
		var failed error
		go func() {
			defer close(done)
			served, failed = latencies(l.addr, a.trusting("").RootCAs, stop)
		}()
		longest := slow(t, l.addr, many)
		close(stop)
		<-done
		require.NoError(t, failed)
		slices.Sort(served)
		worst := served[len(served)-1]
		assert.Less(t, longest, limit+margin)
		assert.Less(t, worst, time.Second)
		l.awaitQuiet()
		held := l.footprint()
		t.Logf("%d clients, all cut after %v; %d good requests meanwhile: half of them in %v, all in %v; afterwards %d files, %d threads, %d KiB",
			many, longest, len(served), served[len(served)/2], worst, held.files, held.threads, held.memory>>10)
		return held
	}
	l.awaitQuiet()
	before, files := goroutines(), l.footprint().files
	early := round()
	for range 2 {
		late := round()
		assert.LessOrEqual(t, late.files, files+2, "but for a connection to the server and one of the admin listener")
		assert.Less(t, late.memory, early.memory+32<<20, "what a thousand handshakes hold, and the collector has not taken yet")
	}
	eventually(t, "their goroutines are gone", func() bool { return goroutines() <= before+10 })
	t.Logf("%d goroutines and %d files before, %d and %d afterwards", before, files, goroutines(), l.footprint().files)
}
