package exchange

import (
	"context"
	"net"
	"time"

	"l7/config"
)

// dial connects to an address. A name is tried at all its addresses, IPv6 and IPv4 side by side (RFC 8305).
func dial(addr config.Address, limit time.Duration) (net.Conn, error) {
	dialer := net.Dialer{Timeout: limit, KeepAlive: -1} // a dead server is noticed by the timeouts; idle connections are closed
	return dialer.DialContext(context.Background(), addr.Network(), addr.Dial())
}
