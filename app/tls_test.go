package app

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"l7/certs"
	"l7/config"
	"l7/server"
)

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards all below
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// certified replaces a file by a new certificate and its key.
func certified(t *testing.T, file string) {
	t.Helper()
	cert, err := certs.SelfSigned(nil, time.Now())
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	require.NoError(t, os.WriteFile(file+".new", text, 0o600))
	require.NoError(t, os.Rename(file+".new", file))
}

// A change of one file was logged as one of every certificate of every listener, also where it was that of client_ca.
func TestWhatIsRenewedIsLogged(t *testing.T) {
	dir := t.TempDir()
	first, second, ca := filepath.Join(dir, "1.pem"), filepath.Join(dir, "2.pem"), filepath.Join(dir, "ca.pem")
	for _, file := range []string{first, second, ca} {
		certified(t, file)
	}
	file := configFile(t, `
listen:
  - address: '127.0.0.1:0'
    tls: {certificates: [{cert: `+first+`, key: `+first+`}, {cert: `+second+`, key: `+second+`}], client_auth: request, client_ca: `+ca+`}
  - {address: ':0', tls: {certificates: [{cert: `+first+`, key: `+first+`}]}}
admin: {socket: 'off'}
backends: {a.com: {servers: ['127.0.0.1:1']}}`)
	log := &lockedBuffer{}
	a, err := Start(Source{Args: config.Args{File: file}}, zerolog.New(log), log)
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Drain()) }()
	f := func(changed string, certificates, clients int) {
		t.Helper()
		certified(t, changed)
		a.renewCertificates() // or the watcher has done so already
		require.Equal(t, []int{certificates, clients}, []int{log.count(`"message":"certificate renewed"`), log.count(`"message":"client_ca and client_crl renewed"`)})
		require.Zero(t, log.count("certificate in use"))
	}
	f(first, 1, 0)
	f(ca, 1, 1)
	f(second, 2, 1)
}

// The fingerprint of a certificate of our own is told by the process that shows it. Check and diff told that of one which nobody ever sees.
func TestFingerprint(t *testing.T) {
	f := func(parts Parts, want bool) {
		t.Helper()
		file := configFile(t, "listen: {address: '127.0.0.1:0', tls: self}\nbackends: {a.io: {servers: '127.0.0.1:1'}}\n")
		plan, err := Prepare(Source{Args: config.Args{File: file}}, parts)
		require.NoError(t, err)
		defer plan.Snapshot.Close()
		require.Len(t, plan.Warnings, 1)
		require.Contains(t, plan.Warnings[0], "127.0.0.1:0 shows a certificate of its own making, for development")
		require.Equal(t, want, strings.Contains(plan.Warnings[0], "fingerprint is "))
	}
	parts := NewParts(Ignore)
	f(parts, false)
	parts.lookUp = func(*config.Config) server.Names { return server.Names{} } // as in a process that serves
	f(parts, true)
}
