package exchange

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Transport is how servers are connected to. The zero value is plain.
type Transport struct {
	// Key is the same for transports that may share connections.
	Key string
	// TLS returns what is spoken with an https server of this name; nil: there are no such servers.
	TLS func(host string) *tls.Config
}

// Dial connects to the server within the context's time, TLS handshake included. A name is tried at all its addresses, IPv6 and IPv4 side
// by side (RFC 8305). Port is asked for instead of the address's own; 0: that.
func (s *Server) Dial(ctx context.Context, port int) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1} // a dead server is noticed by the timeouts; idle connections are closed
	nc, err := dialer.DialContext(ctx, s.addr.Network(), s.addr.DialPort(port))
	if err != nil || s.tls == nil {
		return nc, err
	}
	secure := tls.Client(nc, s.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = nc.Close() // it is of no use
		return nil, handshakeError{err}
	}
	return secure, nil
}

// handshakeError is a TLS handshake that failed.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

// dial connects within a limit; 0: no limit.
func (s *Server) dial(limit time.Duration) (net.Conn, error) {
	ctx := context.Background()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return s.Dial(ctx, 0)
}
