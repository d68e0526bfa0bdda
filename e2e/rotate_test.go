package e2e

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tlsLoad is 64 TLS clients: every other one keeps its connection, and the others make one for each request.
type tlsLoad struct {
	running          sync.WaitGroup
	stop             atomic.Bool
	requests, dialed atomic.Int64
	failed           sync.Map // what went wrong, by its text
}

const tlsClients = 64

func startTLSLoad(t *testing.T, addr string, a *authority) *tlsLoad {
	t.Helper()
	d := &tlsLoad{}
	roots := a.trusting("").RootCAs
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	for i := range tlsClients {
		d.running.Go(func() {
			client := d.keeps
			if i%2 == 0 {
				client = d.comesAndGoes
			}
			if err := client(port, roots); err != nil {
				d.failed.Store(err.Error(), true)
			}
		})
	}
	t.Cleanup(d.end)
	return d
}

func (d *tlsLoad) end() {
	d.stop.Store(true)
	d.running.Wait()
}

// comesAndGoes makes a connection for each request.
func (d *tlsLoad) comesAndGoes(port string, roots *x509.CertPool) error {
	for !d.stop.Load() {
		if err := askOnce(port, roots); err != nil {
			return err
		}
		d.requests.Add(1)
		d.dialed.Add(1)
		time.Sleep(5 * time.Millisecond) // or else nobody else gets any CPU
	}
	return nil
}

// keeps sends all its requests over one connection.
func (d *tlsLoad) keeps(port string, roots *x509.CertPool) error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", "127.0.0.1:"+port,
		&tls.Config{ServerName: "example.com", RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err != nil {
		return err
	}
	defer conn.Close()
	d.dialed.Add(1)
	reader := bufio.NewReader(conn)
	for !d.stop.Load() {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, getExample); err != nil {
			return fmt.Errorf("on a kept connection: %w", err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return fmt.Errorf("on a kept connection: %w", err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("on a kept connection: %s, %w", response.Status, err)
		}
		d.requests.Add(1)
		time.Sleep(5 * time.Millisecond) // all of them together are to leave the machine something for handshakes
	}
	return nil
}

// TestRotationUnderLoad: a certificate is renewed again and again while 64 clients come, go and stay, and no request fails; a broken one
// changes nothing.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	const rotations = 20
	a := newAuthority(t)
	cert, key := a.sign("server", hence(time.Hour), "example.com")
	server := startUpstream(t, "a")
	l := run{config: text(
		"listen: [{address: '127.0.0.1:0', tls: {certificates: ["+pairOf(cert, key)+"]}}]",
		"backends: {example.com: {servers: ["+server.address+"]}}")}.start(t)
	shown := func() string {
		conn, err := tls.Dial("tcp", l.addr, a.trusting("example.com"))
		require.NoError(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	d := startTLSLoad(t, l.addr, a)
	for range rotations {
		a.sign("server", hence(time.Hour), "example.com")
		wanted := fmt.Sprint(a.serial.Load() + 1)
		eventually(t, "the new certificate is shown", func() bool { return shown() == wanted })
	}
	before := shown()
	require.NoError(t, os.WriteFile(cert, []byte("broken"), 0o600))
	l.awaitText("cannot renew a certificate; the one before stays in use", cert, "no certificate in PEM form")
	assert.Equal(t, before, shown())
	d.end()
	d.failed.Range(func(what, _ any) bool { t.Error(what); return true })
	assert.Greater(t, d.dialed.Load(), int64(rotations*tlsClients/2))
	t.Logf("%d clients, %d requests on %d connections while the certificate changed %d times", tlsClients, d.requests.Load(), d.dialed.Load(), rotations)
}

// guarded is an l7 that lets nobody in without a certificate, and the files that say whose are good.
type guarded struct {
	t       *testing.T
	l       *l7
	own     *authority // of l7's certificate
	clients *authority
	crl     string
}

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{t: t, own: newAuthority(t), clients: newAuthority(t)}
	g.crl = filepath.Join(g.clients.dir, "revoked.crl")
	g.revoke(hence(time.Hour))
	g.l = startFile(t,
		"listen: [{address: '127.0.0.1:0', tls: {certificates: ["+pairOf(g.own.sign("server", hence(time.Hour), "example.com"))+"], "+
			"client_auth: require, client_ca: '"+g.clients.file+"', client_crl: '"+g.crl+"'}}]",
		"backends: {example.com: {servers: ['"+mirror(t).URL+"']}}")
	return g
}

// revoke writes the list anew, to be renewed by a time.
func (g *guarded) revoke(next time.Time, clients ...*tls.Config) {
	g.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: next.Add(-24 * time.Hour), NextUpdate: next}
	for _, client := range clients {
		serial := client.Certificates[0].Leaf.SerialNumber
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: hence(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, g.clients.cert, g.clients.key)
	require.NoError(g.t, err)
	g.clients.write(g.crl, "X509 CRL", der)
}

// client has a certificate, and keeps its session.
func (g *guarded) client(version uint16, by *authority, name string) *tls.Config {
	g.t.Helper()
	pair, err := tls.LoadX509KeyPair(by.sign(name, hence(time.Hour), name))
	require.NoError(g.t, err)
	cfg := g.own.trusting("example.com")
	cfg.MaxVersion, cfg.Certificates, cfg.ClientSessionCache = version, []tls.Certificate{pair}, tls.NewLRUClientSessionCache(1)
	return cfg
}

func (g *guarded) passes(client *tls.Config, resumed bool) {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.l.addr, client)
	over(g.t, conn, err, getExample).is(http.StatusOK)
	require.Equal(g.t, resumed, conn.ConnectionState().DidResume)
}

// refuses requires an alert. A client of TLS 1.3 is done with its handshake before it gets one.
func (g *guarded) refuses(client *tls.Config, alert string) {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.l.addr, client)
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = conn.Read(make([]byte, 1))
	}
	require.ErrorContains(g.t, err, "remote error: tls: "+alert)
}

// TestRevokedWhileRunning: a changed client_crl holds for the next handshake, without a reload, and for sessions from before too. What is
// broken changes nothing. Connections that stand are kept.
func TestRevokedWhileRunning(t *testing.T) {
	t.Parallel()
	const renewed, kept = "client_ca and client_crl renewed", "cannot renew client_ca and client_crl; what was read before stays in force"
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGuarded(t)
			bad, good := g.client(version, g.clients, "bad"), g.client(version, g.clients, "good")
			for _, client := range []*tls.Config{bad, good} {
				g.passes(client, false)
				g.passes(client, true)
			}
			conn, err := tls.Dial("tcp", g.l.addr, bad)
			over(t, conn, err, getExample).is(http.StatusOK)

			g.revoke(hence(time.Hour), bad)
			g.l.awaitLog(renewed, 1)
			g.refuses(bad, "bad certificate")
			withoutSession := bad.Clone()
			withoutSession.ClientSessionCache = nil
			g.refuses(withoutSession, "bad certificate")
			g.l.awaitText("connection not taken", "the certificate of bad", "has been revoked")
			g.passes(good, true)
			over(t, conn, nil, getExample).is(http.StatusOK)

			require.NoError(t, os.WriteFile(g.crl, []byte("broken"), 0o600))
			assert.Contains(t, g.l.awaitLog(kept, 1).field("error"), `cannot use CRL 1 of "`+g.crl+`"`)
			g.refuses(bad, "bad certificate")
			g.passes(good, true)
			g.l.signal(syscall.SIGHUP)
			assert.Contains(t, g.l.awaitLog("cannot reload; the config in force stays", 1).field("error"), g.crl)

			g.revoke(hence(-time.Minute), bad)
			g.l.awaitLog(renewed, 2)
			g.l.awaitText(`"warn"`, g.crl, "is out of date: it was to be renewed by")
			g.refuses(bad, "bad certificate") // what is out of date still counts
			g.passes(good, true)
			assert.Empty(t, g.l.log("reloaded"))
		})
	}
}

// TestClientCAWhileRunning: a changed client_ca holds for the next handshake. The sessions of an authority that has gone go with it, and
// those of the others stay.
func TestClientCAWhileRunning(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own, old, fresh := newAuthority(t), newAuthority(t), newAuthority(t)
			ca := filepath.Join(own.dir, "clients.pem")
			trust := func(authorities ...*authority) {
				var text strings.Builder
				for _, a := range authorities {
					content, err := os.ReadFile(a.file)
					require.NoError(t, err)
					text.Write(content)
				}
				require.NoError(t, os.WriteFile(ca+".next", []byte(text.String()), 0o600))
				require.NoError(t, os.Rename(ca+".next", ca))
			}
			trust(old)
			g := &guarded{t: t, own: own, clients: old}
			g.l = startFile(t,
				"listen: [{address: '127.0.0.1:0', tls: {certificates: ["+pairOf(own.sign("server", hence(time.Hour), "example.com"))+"], "+
					"client_auth: require, client_ca: '"+ca+"'}}]",
				"backends: {example.com: {servers: ['"+mirror(t).URL+"']}}")
			one, two := g.client(version, old, "one"), g.client(version, fresh, "two")
			g.passes(one, false)
			g.passes(one, true)
			g.refuses(two, "unknown certificate authority")
			trust(old, fresh)
			g.l.awaitLog("client_ca and client_crl renewed", 1)
			g.passes(one, true)
			g.passes(two, false)
			trust(fresh)
			g.l.awaitLog("client_ca and client_crl renewed", 2)
			g.refuses(one, "unknown certificate authority")
			g.passes(two, true)
		})
	}
}
