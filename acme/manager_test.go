package acme

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// Certificates that come are the matter of e2e/acme_test.go, which has an authority. Here there is none.

// nobody is an account at an authority that is down.
func nobody(t *testing.T) Account {
	return Account{Email: "a@example.com", CA: "https://127.0.0.1:1/dir", Storage: t.TempDir(), HTTP01: true, TLSALPN01: true}
}

// TestWithoutAuthority: who asks for a host that a certificate is wanted for is told why there is none, and for another gets nothing.
func TestWithoutAuthority(t *testing.T) {
	t.Parallel()
	log := &lines{}
	m := New(zerolog.New(log))
	defer m.Close()
	account := nobody(t)
	require.NoError(t, configure(m, []Settings{{account, []string{"example.com"}}, {account, []string{"www.example.com"}}}))
	log.await(t, "cannot get a certificate")
	for _, name := range []string{"Example.com", "www.example.com", "example.com."} {
		cert, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		assert.Nil(t, cert)
		assert.ErrorIs(t, err, ErrNotYet)
	}
	for _, name := range []string{"", "example.org", "a.example.com"} {
		cert, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		assert.Nil(t, cert)
		assert.NoError(t, err)
	}
	_, ok := m.HTTP01("example.com", ChallengePath+"x")
	assert.False(t, ok)
	assert.Empty(t, m.Expiries())
}

// TestChallengeOfStrangers: only hosts that a certificate is wanted for can be proved ours, and only to who speaks that protocol alone.
func TestChallengeOfStrangers(t *testing.T) {
	t.Parallel()
	m := New(zerolog.Nop())
	defer m.Close()
	require.NoError(t, configure(m, []Settings{{nobody(t), []string{"example.com"}}}))
	f := func(name string, asks bool, protos ...string) {
		t.Helper()
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		cert, err := m.Challenge(&tls.ClientHelloInfo{ServerName: name, SupportedProtos: protos, Conn: server})
		assert.Nil(t, cert)
		assert.Equal(t, asks, err != nil)
	}
	f("example.com", false)
	f("example.com", false, "http/1.1")
	f("example.com", false, "http/1.1", Protocol)
	f("example.org", true, Protocol)
}

func configure(m *Manager, settings []Settings) error {
	err := m.Add(settings)
	m.Keep(settings)
	return err
}

// TestConfigureAgain: what stays goes on undisturbed, and what goes leaves nothing behind.
func TestConfigureAgain(t *testing.T) {
	t.Parallel()
	m := New(zerolog.Nop())
	one, other := nobody(t), nobody(t)
	require.NoError(t, configure(m, []Settings{{one, []string{"a.example.com", "b.example.com"}}}))
	account, standIn := m.accounts[one], m.standIn
	before := account.hosts["a.example.com"]
	require.NoError(t, configure(m, []Settings{{one, []string{"a.example.com"}}, {other, []string{"c.example.com"}}}))
	assert.Same(t, account, m.accounts[one])
	assert.Same(t, before, account.hosts["a.example.com"])
	assert.Len(t, account.hosts, 1)
	assert.Len(t, m.accounts, 2)
	require.NoError(t, configure(m, nil))
	assert.Empty(t, m.accounts)
	require.Error(t, account.ctx.Err())
	_, err := standIn.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	m.Close()
	require.NoError(t, configure(m, []Settings{{one, []string{"a.example.com"}}}))
	assert.Empty(t, m.accounts, "after Close nothing begins")
}

// TestStandIn: who connects is hung up on.
func TestStandIn(t *testing.T) {
	t.Parallel()
	m := New(zerolog.Nop())
	require.NoError(t, m.stand())
	defer m.sitDown()
	conn, err := net.Dial("tcp", m.standIn.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	f := func(before int, want time.Duration) {
		t.Helper()
		assert.Equal(t, want, backoff(time.Second, 5*time.Minute, before))
	}
	f(0, time.Second)
	f(1, 2*time.Second)
	f(5, 32*time.Second)
	f(9, 5*time.Minute)
	f(1000, 5*time.Minute)
}

// TestBridge: what certmagic says is for debugging, but for faults that we do not tell of ourselves.
func TestBridge(t *testing.T) {
	t.Parallel()
	f := func(say func(*zap.Logger), want string) {
		t.Helper()
		log := &lines{}
		say(zap.New(bridge{log: zerolog.New(log)}).With(zap.String("host", "example.com")))
		assert.JSONEq(t, want, log.String())
	}
	f(func(l *zap.Logger) { l.Info("step", zap.Int("n", 1)) }, `{"level":"debug","part":"acme","host":"example.com","n":1,"message":"step"}`)
	f(func(l *zap.Logger) { l.Warn("step") }, `{"level":"debug","part":"acme","host":"example.com","message":"step"}`)
	f(func(l *zap.Logger) { l.Error("fault", zap.Error(errors.New("why"))) },
		`{"level":"warn","part":"acme","host":"example.com","error":"why","message":"fault"}`)
	f(func(l *zap.Logger) { l.Error("job failed") }, `{"level":"debug","part":"acme","host":"example.com","message":"job failed"}`)
}

func TestCheckRoot(t *testing.T) {
	t.Parallel()
	require.Error(t, CheckRoot(""))
	require.Error(t, CheckRoot("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
}

// lines is a log.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) await(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(l.String(), text) }, 10*time.Second, time.Millisecond)
}
