package socket

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"syscall"
	"testing"
)

// secure makes a TLS connection of both ends of another one.
func secure(t testing.TB, near, far net.Conn) (client, server *tls.Conn) {
	t.Helper()
	return secureWith(t, near, far, func(_, _ *tls.Config) {})
}

// secureWith is secure with other configs.
func secureWith(t testing.TB, near, far net.Conn, change func(ours, theirs *tls.Config)) (client, server *tls.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	theirs := &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		SessionTicketsDisabled: true, // nothing is on the line that the test has not put there
	}
	ours := &tls.Config{InsecureSkipVerify: true}
	change(ours, theirs)
	server, client = tls.Server(far, theirs), tls.Client(near, ours)
	var failed error
	wait := background(func() { failed = server.Handshake() })
	must(t, client.Handshake())
	wait()
	must(t, failed)
	return client, server
}

// securePair is TLS over a pipe, for tests with a clock of their own.
func securePair(t testing.TB) (*Conn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	client, server := secure(t, near, far)
	return New(client), server
}

func TestTLS(t *testing.T) {
	near, far := dial(t, "tcp")
	client, server := secure(t, near, far)
	c := New(client)
	pool := NewPool(64)

	must(t, c.Write([]byte("hello"), long))
	expect(t, server, "hello")
	send(t, server, "world")
	read(t, c, "world")

	defer background(func() { expect(t, server, "ask"); send(t, server, "answer") })()
	b, n, sent, err := c.Exchange([]byte("ask"), pool, long, long)
	if err != nil || !sent || string(b.Bytes()[:n]) != "answer" {
		t.Errorf("exchange: %d, %v, %v", n, sent, err)
	}
	if c.CanAwait() || c.Stale() {
		t.Error("a silent TLS connection can be awaited, or is stale")
	}
}

func TestCloseWrite(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		if _, ok := c.nc.(plain); ok {
			if err := c.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
				t.Fatalf("got %v", err)
			}
			return
		}
		must(t, c.Write([]byte("last"), long))
		must(t, c.CloseWrite())
		got, err := io.ReadAll(peer)
		if err != nil || string(got) != "last" {
			t.Fatalf("the peer got %q, %v", got, err)
		}
		send(t, peer, "answer")
		read(t, c, "answer")
		if err := c.Write([]byte("x"), long); !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("a write after the end got %v", err)
		}
	})
}

// What was written before still arrives.
func TestClose(t *testing.T) {
	kinds(t, func(t *testing.T, c *Conn, peer net.Conn) {
		must(t, c.Write([]byte("last"), long))
		must(t, c.Close())
		got, err := io.ReadAll(peer)
		if err != nil || string(got) != "last" {
			t.Fatalf("the peer got %q, %v", got, err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("closing again: %v", err)
		}
	})
}

func TestReset(t *testing.T) {
	c, peer := pair(t)
	must(t, c.Reset())
	if _, err := peer.Read(make([]byte, 8)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer got %v", err)
	}
}

// TLS closed properly is an end, by which a body without a length would pass for whole.
func TestResetOfTLS(t *testing.T) {
	near, far := dial(t, "tcp")
	client, server := secure(t, near, far)
	must(t, New(client).Reset())
	if _, err := server.Read(make([]byte, 8)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer got %v", err)
	}
}

func TestResetOfOthers(t *testing.T) {
	f := func(c *Conn, peer net.Conn) {
		t.Helper()
		must(t, c.Reset())
		if _, err := peer.Read(make([]byte, 8)); err == nil {
			t.Error("the peer read on")
		}
		if err := c.Write([]byte("x"), long); err == nil {
			t.Error("it is still open")
		}
	}
	near, far := dial(t, "unix")
	f(New(near), far)
	near, far = dial(t, "tcp")
	f(New(plain{near}), far)
	near, far = net.Pipe()
	f(New(near), far)
}
