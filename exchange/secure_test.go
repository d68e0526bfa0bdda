package exchange

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/certs"
	"l7/socket"
)

// serveSecurely is serve for an https server.
func serveSecurely(t *testing.T, script func(c *tls.Conn)) *Server {
	t.Helper()
	believing := func(string) *tls.Config { return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} }
	return serveSecurelyTo(t, believing, func(*tls.Config) {}, script)
}

// serveSecurelyTo is serveSecurely with other configs.
func serveSecurelyTo(t *testing.T, ours func(string) *tls.Config, change func(theirs *tls.Config), script func(c *tls.Conn)) *Server {
	t.Helper()
	certificate, err := certs.SelfSigned([]string{"127.0.0.1"}, time.Now())
	require.NoError(t, err)
	cfg := &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
	change(cfg)
	plain := serve(t, func(c *net.TCPConn) {
		secure := tls.Server(c, cfg)
		script(secure)
		_ = secure.Close()
	})
	addr := plain.Address()
	addr.Scheme = "https"
	s := NewServer(addr, Transport{TLS: ours}, NewPools(), time.Minute)
	t.Cleanup(func() {
		require.Zero(t, s.PendingRequests())
		s.Close()
	})
	return s
}

// TestStaleConnectionsUnderTLS: what an https server does to a connection that is kept is noticed before the next request goes out. Before, a request
// on a connection that it had closed was lost, and what it had sent unasked was the response to the next client.
func TestStaleConnectionsUnderTLS(t *testing.T) {
	for name, act := range map[string]func(c *tls.Conn){
		"closed":  func(c *tls.Conn) { _ = c.Close() },
		"cut":     func(c *tls.Conn) { _ = c.NetConn().Close() },
		"unasked": func(c *tls.Conn) { _, _ = io.WriteString(c, okHead+"no") },
	} {
		t.Run(name, func(t *testing.T) {
			first := make(chan struct{}, 1)
			first <- struct{}{}
			acting := make(chan struct{})
			s := serveSecurely(t, func(c *tls.Conn) {
				for readN(c, len(getHead)) == getHead {
					_, _ = io.WriteString(c, okHead+"ok")
					select {
					case <-first:
						<-acting
						act(c)
					default:
					}
				}
			})
			x, client := New(), newClient(t)
			ask := func() {
				x := request(x, client, getHead, Incoming{})
				x.Repeatable = false
				require.NoError(t, s.Do(x))
				require.Equal(t, "ok", string(x.source.Ahead()))
				require.NoError(t, x.Relay([]byte("H"), false, 0))
				x.Finish()
				require.Equal(t, 1, s.Idle())
			}
			ask()
			require.False(t, s.idle.conns[0].Stale())
			close(acting)
			eventually(t, "it to arrive", s.idle.conns[0].Stale)
			ask()
			ask()
			require.EqualValues(t, 2, s.Opened())
		})
	}
}

// TestTicketsEndNoConnection has an https server send a ticket behind its handshake, as all do. A bug took it for something unasked when it came between
// the handshake and the first request: the fresh connection was stale, and the request failed.
func TestTicketsEndNoConnection(t *testing.T) {
	f := func(name string, change func(theirs *tls.Config)) {
		t.Run(name, func(t *testing.T) {
			client, _, err := certs.NewClientConfig(certs.ClientOptions{InsecureSkipVerify: true})
			require.NoError(t, err)
			s := serveSecurelyTo(t, client.For, change, func(c *tls.Conn) {
				for readN(c, len(getHead)) == getHead {
					_, _ = io.WriteString(c, okHead+"ok")
				}
			})
			for range 3 {
				x := request(New(), newClient(t), getHead, Incoming{})
				x.Repeatable = false
				require.NoError(t, s.Do(x))
				require.NoError(t, x.Relay([]byte("H"), false, 0))
				x.Finish()
			}
			require.EqualValues(t, 1, s.Opened())
		})
	}
	large := func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return make([]byte, 8000), nil }
	f("usual", func(*tls.Config) {})
	f("large", func(theirs *tls.Config) { theirs.WrapSession = large }) // the end of it comes after the handshake's last read
	f("later", func(theirs *tls.Config) { theirs.WrapSession, theirs.ClientAuth = large, tls.RequestClientCert })
}

// TestATunnelOfTLSOnBothSidesEnds: when both sides have said that they are done, nothing is waited for. A socket under TLS does not hang up with that,
// and both directions watched for it for ever.
func TestATunnelOfTLSOnBothSidesEnds(t *testing.T) {
	s := serveSecurely(t, func(c *tls.Conn) {
		readN(c, len(getHead))
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, c)
		_ = c.CloseWrite()
		_, _ = c.NetConn().Read(make([]byte, 1)) // the socket stays until l7 closes it
	})
	certificate, err := certs.SelfSigned([]string{"127.0.0.1"}, time.Now())
	require.NoError(t, err)
	client := newClient(t)
	client.sock = socket.New(tls.Server(client.sock.Lean(), &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}))
	far := tls.Client(client.far, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	x := request(New(), client, getHead, Incoming{})
	x.Upgrade = []byte("websocket")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Do(x); err == nil {
			x.Tunnel([]byte("H"), nil)
			x.Finish()
		}
	}()
	_, _ = io.WriteString(far, "ping")
	require.NoError(t, far.CloseWrite())
	got, err := io.ReadAll(far)
	require.NoError(t, err)
	require.Equal(t, "Hping", string(got))
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the tunnel goes on")
	}
}
