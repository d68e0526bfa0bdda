package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pebble is the ACME server that Let's Encrypt tests clients with, built when it is first asked for.
var pebble = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(built.dir, "pebble")
	out, err := exec.Command("go", "build", "-C", "pebble", "-buildvcs=false", "-o", binary, "github.com/letsencrypt/pebble/v2/cmd/pebble").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("cannot build pebble: %w\n%s", err, out)
	}
	return binary, err
})

// acme is an authority and the ports where it looks for l7.
type acme struct {
	t                *testing.T
	plain, secure    string // ports of l7 that challenges are answered at
	port, admin, dns string
	validity         int // of certificates, in seconds

	trusted, certFile, keyFile string // of the authority's own certificate
	*process
}

// month is a validity in seconds after which nothing is renewed in a test. Certificates of an hour may be at any time, since pebble proposes all of
// it (RFC 9773), and so one in twenty was.
const month = 30 * 24 * 3600

// newACME prepares an authority that is down as yet. Every name leads it to this machine.
func newACME(t *testing.T, validity int) *acme {
	t.Helper()
	own := newAuthority(t)
	a := &acme{t: t, plain: freePort(t), secure: freePort(t), port: freePort(t), admin: freePort(t), validity: validity, trusted: own.file}
	a.certFile, a.keyFile = own.sign("pebble", time.Now().Add(time.Hour), "127.0.0.1")
	socket, err := net.Listen("tcp", "127.0.0.1:0") // pebble asks by TCP alone
	require.NoError(t, err)
	a.dns = socket.Addr().String()
	server := &dns.Server{Listener: socket, Handler: dns.HandlerFunc(leadHere)}
	ended := make(chan struct{})
	go func() {
		_ = server.ActivateAndServe() // until the socket is closed
		close(ended)
	}()
	t.Cleanup(func() {
		_ = socket.Close()
		<-ended
	})
	return a
}

// leadHere answers every question for an address with this machine's.
func leadHere(w dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg).SetReply(question)
	if question.Question[0].Qtype == dns.TypeA {
		head := dns.RR_Header{Name: question.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}
		answer.Answer = []dns.RR{&dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)}}
	}
	_ = w.WriteMsg(answer) // who asked may have gone
}

// start starts the authority, and waits until it answers.
func (a *acme) start() *acme {
	a.t.Helper()
	binary, err := pebble()
	require.NoError(a.t, err)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": "127.0.0.1:" + a.port, "managementListenAddress": "127.0.0.1:" + a.admin,
		"certificate": a.certFile, "privateKey": a.keyFile, "keyAlgorithm": "ecdsa",
		"httpPort": json.Number(a.plain), "tlsPort": json.Number(a.secure),
		"profiles": map[string]any{"default": map[string]any{"description": "short", "validityPeriod": a.validity}},
	}})
	require.NoError(a.t, err)
	file := filepath.Join(a.t.TempDir(), "pebble.json")
	require.NoError(a.t, os.WriteFile(file, config, 0o600))
	a.process = start(a.t, program{
		path: binary, args: []string{"-config", file, "-dnsserver", a.dns},
		env: []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0"},
	})
	a.await("the authority answers", func() bool { return a.root() != nil })
	return a
}

// root is what the certificates are verified by; nil while the authority is down.
func (a *acme) root() *x509.CertPool {
	pem, err := os.ReadFile(a.trusted)
	require.NoError(a.t, err)
	own := x509.NewCertPool()
	own.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Get("https://127.0.0.1:" + a.admin + "/roots/0")
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return roots
}

// settings are the value of tls for a listener whose certificates come from the authority. The folder is beside the config's file.
func (a *acme) settings(more string) string {
	return "{acme: {email: admin@example.com, ca: 'https://127.0.0.1:" + a.port + "/dir', ca_root: '" + a.trusted + "', " + more + "}}"
}

// show is a handshake for a host, with what makes it fail.
func show(port, host string, roots *x509.CertPool) (*x509.Certificate, error) {
	dialer := &net.Dialer{Timeout: patience}
	cfg := &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12}
	conn, err := tls.DialWithDialer(dialer, "tcp", "127.0.0.1:"+port, cfg)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// awaitShown waits until a host has a certificate of the authority.
func (a *acme) awaitShown(l *l7, host string) (shown *x509.Certificate) {
	a.t.Helper()
	l.awaitText(host, "certificate obtained")
	roots := a.root()
	l.await("a certificate for "+host, func() (ok bool) { // it is logged a little before it is shown
		var err error
		shown, err = show(a.secure, host, roots)
		return err == nil
	})
	return shown
}

// TestACMEByHTTP01: certificates for all exact hosts of backends are got by port 80, where everything else is redirected, and they are kept
// where nobody else can read them.
func TestACMEByHTTP01(t *testing.T) {
	t.Parallel()
	a := newACME(t, month).start()
	l := run{config: text(
		"listen: [{address: '127.0.0.1:"+a.plain+"', redirect_https: true, deny: 127.0.0.0/8},",
		"  {address: '127.0.0.1:"+a.secure+"', tls: "+a.settings("storage: kept, challenges: [http-01]")+"}]",
		"users: {alice: "+secret+"}",
		"backends: {Example.com/api: {servers: ['"+mirror(t).URL+"'], hosts: [www.example.com], users: {}}, '*.example.org': {}, '[::1]': {}, '*': {}}")}.start(t)
	for _, host := range []string{"example.com", "www.example.com"} {
		assert.Equal(t, []string{host}, a.awaitShown(l, host).DNSNames)
	}
	cfg := &tls.Config{ServerName: "example.com", RootCAs: a.root(), MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	conn, err := tls.Dial("tcp", "127.0.0.1:"+a.secure, cfg)
	over(t, conn, err, strings.Replace(getExample, "/x", "/api/x", 1)).is(http.StatusOK)
	assert.Equal(t, "http/1.1", conn.ConnectionState().NegotiatedProtocol)
	assert.Len(t, l.log("certificate obtained"), 2)
	unnamed, err := tls.Dial("tcp", "127.0.0.1:"+a.secure, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	require.NoError(t, err)
	assert.Equal(t, []string{"example.com"}, unnamed.ConnectionState().PeerCertificates[0].DNSNames, "the first in order")
	require.NoError(t, unnamed.Close())
	l.get("http://example.com/.well-known/acme-challenge/unknown").refusedFor(http.StatusForbidden, "forbidden")
	for _, folder := range []string{"acme", "certificates"} { // beside them are locks, which come and go
		require.NoError(t, filepath.WalkDir(filepath.Join(filepath.Dir(l.file), "kept", folder), func(path string, entry fs.DirEntry, err error) error {
			require.NoError(t, err)
			info, err := entry.Info()
			require.NoError(t, err)
			assert.Zero(t, info.Mode().Perm()&0o077, path)
			return nil
		}))
	}
}

// TestACMEByTLSALPN01: a port 443 is enough. Certificates from files go first for their names, and are the default.
func TestACMEByTLSALPN01(t *testing.T) {
	t.Parallel()
	a := newACME(t, month).start()
	own := newAuthority(t)
	cert, key := own.sign("file", time.Now().Add(time.Hour), "file.example.com")
	l := run{config: text(
		"listen: [{address: '127.0.0.1:"+a.secure+"', tls: "+strings.Replace(a.settings("storage: kept, challenges: [tls-alpn-01], hosts: [Example.com]"),
			"{acme:", "{certificates: [{cert: '"+cert+"', key: '"+key+"'}], acme:", 1)+"}]",
		"backends: {'*': {servers: ['"+mirror(t).URL+"']}}")}.start(t)
	a.awaitShown(l, "example.com")
	for _, host := range []string{"file.example.com", "other.example.com"} {
		cfg := own.trusting(host)
		cfg.InsecureSkipVerify = true // for the other name it is the default
		conn, err := tls.Dial("tcp", "127.0.0.1:"+a.secure, cfg)
		require.NoError(t, err)
		assert.Equal(t, []string{"file.example.com"}, conn.ConnectionState().PeerCertificates[0].DNSNames)
		require.NoError(t, conn.Close())
	}
	_, err := tls.Dial("tcp", "127.0.0.1:"+a.secure, &tls.Config{ServerName: "other.example.com", NextProtos: []string{"acme-tls/1"}, MinVersion: tls.VersionTLS12})
	require.Error(t, err)
}

// TestACMEWithClientCertificates: an authority has no certificate to show, and proves all the same that a host is ours; clients need theirs, and
// strict_sni is no hindrance either.
func TestACMEWithClientCertificates(t *testing.T) {
	t.Parallel()
	a := newACME(t, month).start()
	clients := newAuthority(t)
	l := run{config: text(
		"listen: [{address: '127.0.0.1:"+a.secure+"', tls: "+strings.Replace(a.settings("storage: kept, challenges: [tls-alpn-01]"),
			"{acme:", "{strict_sni: true, client_auth: require, client_ca: '"+clients.file+"', acme:", 1)+"}]",
		"backends: {example.com: {servers: ['"+mirror(t).URL+"']}}")}.start(t)
	l.awaitLog("certificate obtained", 1)
	assert.Empty(t, l.log("connection not taken"))
	a.awaitShown(l, "example.com") // a handshake of TLS 1.3 is done before the client is refused
	pair, err := tls.LoadX509KeyPair(clients.sign("client", time.Now().Add(time.Hour), "alice"))
	require.NoError(t, err)
	for _, protocols := range [][]string{nil, {"http/1.1"}, {"http/1.1", "acme-tls/1"}} {
		cfg := &tls.Config{ServerName: "example.com", RootCAs: a.root(), MinVersion: tls.VersionTLS12, NextProtos: protocols}
		conn, err := tls.Dial("tcp", "127.0.0.1:"+a.secure, cfg)
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorContains(t, err, "certificate required")
		require.NoError(t, conn.Close())
		cfg.Certificates = []tls.Certificate{pair}
		conn, err = tls.Dial("tcp", "127.0.0.1:"+a.secure, cfg)
		assert.Contains(t, over(t, conn, err, getExample).is(http.StatusOK).body, `Subject="CN=alice,O=Tests"`)
	}
	cfg := &tls.Config{ServerName: "example.com", RootCAs: a.root(), MinVersion: tls.VersionTLS12, NextProtos: []string{"acme-tls/1"}}
	_, err = tls.Dial("tcp", "127.0.0.1:"+a.secure, cfg)
	require.Error(t, err, "nothing is being proved any more")
}

// TestACMEDefault: who names no host, or one that no certificate is wanted for, is shown that of the first of hosts, unless strict_sni says
// otherwise.
func TestACMEDefault(t *testing.T) {
	t.Parallel()
	a := newACME(t, month).start()
	config := func(rest string) []string {
		return []string{
			"listen: [{address: '127.0.0.1:" + a.secure + "', tls: " + strings.Replace(a.settings("storage: kept, hosts: [www.example.com, Example.com]"), "{acme:", "{"+rest+"acme:", 1) + "}]",
			"backends: {'*': {servers: ['" + mirror(t).URL + "']}}",
		}
	}
	l := startFile(t, config("")...)
	for _, host := range []string{"www.example.com", "example.com"} {
		assert.Equal(t, []string{host}, a.awaitShown(l, host).DNSNames)
	}
	asked := func(host string) (*tls.Conn, error) {
		return tls.Dial("tcp", "127.0.0.1:"+a.secure, &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	}
	for _, host := range []string{"", "unknown.test", "sub.www.example.com"} {
		conn, err := asked(host)
		over(t, conn, err, getExample).is(http.StatusOK)
		assert.Equal(t, []string{"www.example.com"}, conn.ConnectionState().PeerCertificates[0].DNSNames)
	}
	l.reload(config("strict_sni: true, ")...)
	for _, host := range []string{"", "unknown.test"} {
		_, err := asked(host)
		require.ErrorContains(t, err, "unrecognized name")
	}
	conn, err := asked("example.com")
	over(t, conn, err, getExample).is(http.StatusOK)
}

// TestACMERenewal: a certificate is renewed before it ends while 64 clients come and go, and none of them fails. Once the authority is down
// the log says so.
func TestACMERenewal(t *testing.T) {
	t.Parallel()
	a := newACME(t, 15).start()
	l := run{config: text(
		"listen: [{address: '127.0.0.1:"+a.secure+"', tls: "+a.settings("storage: kept")+"}]",
		"backends: {example.com: {servers: ['"+mirror(t).URL+"']}}")}.start(t)
	first, roots := a.awaitShown(l, "example.com"), a.root()
	var stop atomic.Bool
	var done atomic.Int64
	var failed sync.Map
	var running sync.WaitGroup
	for range 64 {
		running.Go(func() {
			for !stop.Load() {
				if err := askOnce(a.secure, roots); err != nil {
					failed.Store(err.Error(), true)
				}
				done.Add(1)
				time.Sleep(20 * time.Millisecond) // or else the authority gets no CPU
			}
		})
	}
	eventually(t, "a new certificate is shown", func() bool {
		now, err := show(a.secure, "example.com", roots)
		return err == nil && now.SerialNumber.Cmp(first.SerialNumber) != 0
	})
	assert.True(t, time.Now().Before(first.NotAfter), "it was renewed too late")
	l.awaitLog("certificate renewed", 1)
	stop.Store(true)
	running.Wait()
	failed.Range(func(what, _ any) bool { t.Error(what); return true })
	t.Logf("%d handshakes with requests while the certificate was renewed", done.Load())
	assert.Empty(t, l.log("cannot renew a certificate; the one before stays in use"))
	a.kill()
	assert.Contains(t, l.awaitLog("cannot renew a certificate; the one before stays in use", 1).field("error"), "connection refused")
}

// askOnce sends a request over a connection of its own.
func askOnce(port string, roots *x509.CertPool) error {
	cfg := &tls.Config{ServerName: "example.com", RootCAs: roots, MinVersion: tls.VersionTLS12}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", "127.0.0.1:"+port, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, strings.Replace(getExample, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		err = fmt.Errorf("answered %q", answer)
	}
	return err
}

// TestACMERestart: a process that starts takes its certificates from storage, also while the authority is down; and a reload changes
// nothing about those that stay.
func TestACMERestart(t *testing.T) {
	t.Parallel()
	a := newACME(t, month).start()
	config := []string{
		"listen: [{address: '127.0.0.1:" + a.secure + "', tls: " + a.settings("storage: kept") + "}]",
		"backends: {example.com: {servers: ['" + mirror(t).URL + "']}}",
	}
	l := startFile(t, config...)
	before, roots := a.awaitShown(l, "example.com"), a.root()
	l.reload(append(config, "hsts: 1h")...)
	l.reload(config[0], strings.Replace(config[1], "{example.com:", "{example.com: {}, new.example.com:", 1))
	a.awaitShown(l, "new.example.com")
	now, err := show(a.secure, "example.com", roots)
	require.NoError(t, err)
	assert.Equal(t, before.SerialNumber, now.SerialNumber)
	assert.Len(t, l.log("certificate obtained"), 2)
	a.kill()
	l.signal(syscall.SIGTERM)
	require.Zero(t, l.exit())
	l.rewrite(config[0], strings.Replace(config[1], "{example.com:", "{example.com: {}, new.example.com: {}, late.example.com:", 1))
	again := run{args: []string{"--config", l.file}}.start(t)
	now, err = show(a.secure, "example.com", roots)
	require.NoError(t, err, "the certificate is there from the first connection on")
	assert.Equal(t, before.SerialNumber, now.SerialNumber)
	again.awaitLog("certificate in use", 2)
	_, err = show(a.secure, "late.example.com", roots)
	require.ErrorContains(t, err, "remote error", "others' certificates are none for it")
	again.awaitText("connection not taken", `\"late.example.com\"`, "the authority has not given a certificate yet")
	assert.Empty(t, again.log("certificate obtained"))
}

// TestACMEAuthorityDown: an authority that is down stops nothing else, and is asked again until it is back.
func TestACMEAuthorityDown(t *testing.T) {
	t.Parallel()
	a := newACME(t, month)
	l := run{config: text(
		"listen: [{address: '127.0.0.1:"+a.plain+"'}, {address: '127.0.0.1:"+a.secure+"', tls: "+a.settings("storage: kept")+"}]",
		"backends: {example.com: {servers: ['"+mirror(t).URL+"']}}")}.start(t)
	l.get("http://example.com/").is(http.StatusOK)
	assert.Contains(t, l.awaitLog("cannot get a certificate", 1).field("error"), "connection refused")
	_, err := show(a.secure, "example.com", nil)
	require.Error(t, err)
	l.awaitText("connection not taken", "the authority has not given a certificate yet", "connection refused")
	a.start()
	a.awaitShown(l, "example.com")
	l.get("http://example.com/").is(http.StatusOK)
}

// TestACMESharedStorage: an instance answers the challenge of another one that shares its storage, and shows the certificate too.
func TestACMESharedStorage(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			shareStorage(t, challenge)
		})
	}
}

func shareStorage(t *testing.T, challenge string) {
	a := newACME(t, month).start()
	folder := t.TempDir()
	config := func(plain, secure string) run {
		return run{config: text(
			"listen: [{address: '127.0.0.1:"+plain+"'}, {address: '127.0.0.1:"+secure+"', tls: "+a.settings("challenges: ["+challenge+"], storage: '"+folder+"'")+"}]",
			"backends: {example.com: {servers: ['"+mirror(t).URL+"']}}")}
	}
	trusted := a.trusted
	a.trusted = newAuthority(t).file // so that it cannot ask for anything itself
	mute := config(a.plain, a.secure).start(t)
	assert.Contains(t, mute.awaitLog("cannot get a certificate", 1).field("error"), "unknown authority")
	a.trusted = trusted
	elsewhere := freePort(t)
	asking := config(freePort(t), elsewhere).start(t) // the authority does not come here
	asking.awaitLog("certificate obtained", 1)
	mute.awaitLog("certificate in use", 1)
	roots := a.root()
	for port, l := range map[string]*l7{a.secure: mute, elsewhere: asking} {
		l.await("the certificate", func() bool {
			_, err := show(port, "example.com", roots)
			return err == nil
		})
	}
}
