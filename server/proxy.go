package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pires/go-proxyproto"
)

// The forms of a PROXY header (haproxy.org, proxy-protocol.txt section 2).
const (
	longestV1 = 107
	headV2    = 16
	longestV2 = 4 << 10 // of the part behind the head; addresses and a few extensions
)

var errNoProxyHeader = errors.New("there is no PROXY header, although the connection comes from listen.proxy_protocol")

// readProxy reads a PROXY header and takes the client's address from it, and the port that the client has reached. It reads no byte behind it, so
// that nothing has to be kept for who reads next.
func (c *conn) readProxy(limit time.Duration) error {
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	raw := make([]byte, 12, headV2+64)
	if err := c.readFull(raw, deadline); err != nil {
		return err
	}
	var err error
	switch {
	case bytes.Equal(raw, proxyproto.SIGV2):
		if raw, err = c.restOfV2(raw, deadline); err == nil && tellsNothing(raw) {
			return nil
		}
	case bytes.HasPrefix(raw, []byte("PROXY ")):
		raw, err = c.restOfV1(raw, deadline)
	default:
		return errNoProxyHeader
	}
	if err != nil {
		return err
	}
	header, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return fmt.Errorf("cannot read the PROXY header: %w", err)
	}
	if source, ok := header.SourceAddr.(*net.TCPAddr); ok && !header.Command.IsLocal() {
		c.peer = newPeer(source)
		c.proxied, c.port = header, portOf(header.DestinationAddr)
	}
	return nil
}

// tellsNothing is true for a PROXY command of version 2 about a client of no known family (UNSPEC): the connection's own addresses hold, as
// for LOCAL (proxy-protocol.txt section 2.2). The library refuses it.
func tellsNothing(v2 []byte) bool {
	return v2[12] == byte(proxyproto.PROXY) && v2[13] == byte(proxyproto.UNSPEC)
}

// ends are the client's address and the one that it connected to: where a PROXY header told them, those.
func (c *conn) ends() (source, target net.Addr) {
	if c.proxied != nil {
		return c.proxied.SourceAddr, c.proxied.DestinationAddr
	}
	return c.sock.RemoteAddr(), c.sock.LocalAddr()
}

func (c *conn) restOfV1(raw []byte, deadline time.Time) ([]byte, error) {
	for !bytes.HasSuffix(raw, []byte("\r\n")) {
		if len(raw) == longestV1 {
			return nil, errors.New("the PROXY header has no end")
		}
		raw = append(raw, 0)
		if err := c.readFull(raw[len(raw)-1:], deadline); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

func (c *conn) restOfV2(raw []byte, deadline time.Time) ([]byte, error) {
	raw = raw[:headV2]
	if err := c.readFull(raw[12:], deadline); err != nil {
		return nil, err
	}
	length := int(raw[14])<<8 | int(raw[15])
	if length > longestV2 {
		return nil, fmt.Errorf("the PROXY header is %d bytes long", length)
	}
	raw = append(raw, make([]byte, length)...)
	return raw, c.readFull(raw[headV2:], deadline)
}

// readFull fills p.
func (c *conn) readFull(p []byte, deadline time.Time) error {
	for n := 0; n < len(p); {
		limit := time.Duration(0)
		if !deadline.IsZero() {
			limit = max(time.Until(deadline), time.Millisecond)
		}
		read, err := c.sock.Read(p[n:], limit)
		if err != nil {
			return err
		}
		n += read
	}
	return nil
}
