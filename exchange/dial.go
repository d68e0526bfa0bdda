package exchange

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"l7/config"
	"l7/socket"
)

// Transport is how servers are connected to. The zero value is plain.
type Transport struct {
	// Key is the same for transports whose https servers may share connections.
	Key string
	// TLS returns what is spoken with an https server of this name; nil: there are no such servers.
	TLS func(host string) *tls.Config
	// Announce is the version of the PROXY header that each connection begins with; 0: none.
	Announce byte
}

// KeyFor is the same for transports that may share connections to this address.
func (t Transport) KeyFor(addr config.Address) string {
	key := ""
	if addr.Scheme == "https" {
		key = t.Key
	}
	if t.Announce > 0 {
		key = fmt.Sprintf("proxy v%d %s", t.Announce, key)
	}
	return key
}

// Dial connects to the server within the context's time, TLS handshake included, on nobody's behalf. A name is tried at all its addresses,
// IPv6 and IPv4 side by side (RFC 8305). Port is asked for instead of the address's own; 0: that. Where the server wants a PROXY header, it is told
// that there is no client; a port of its own gets none.
func (s *Server) Dial(ctx context.Context, port int) (net.Conn, error) {
	announce := s.announce
	if s.addr.DialPort(port) != s.addr.Dial() {
		announce = 0
	}
	return s.dialAs(ctx, port, announcement(announce, nil))
}

// dialAs connects and begins with a PROXY header, where there is one.
func (s *Server) dialAs(ctx context.Context, port int, announcement []byte) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1} // a dead server is noticed by the timeouts; idle connections are closed
	nc, err := dialer.DialContext(ctx, s.addr.Network(), s.addr.DialPort(port))
	if err != nil {
		return nil, err
	}
	if len(announcement) > 0 {
		if _, err := nc.Write(announcement); err != nil { // the kernel takes it: it is the first
			_ = nc.Close() // it is of no use
			return nil, err
		}
	}
	if s.tls == nil {
		return nc, nil
	}
	secure := tls.Client(socket.New(nc).Lean(), s.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = nc.Close() // it is of no use
		return nil, handshakeError{err}
	}
	return secure, nil
}

// handshakeError is a TLS handshake that failed.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

// dial connects for a client within a limit; 0: no limit.
func (s *Server) dial(client Client, limit time.Duration) (net.Conn, error) {
	ctx := context.Background()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return s.dialAs(ctx, 0, announcement(s.announce, client))
}
