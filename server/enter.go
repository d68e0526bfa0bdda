package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"l7/cause"
	"l7/metrics"
	"l7/socket"
)

// enter has a connection pass what stands before its first request: a PROXY header, and the TLS handshake. It is the goroutine's that
// serves the connection, so that a client that says nothing holds up nobody else. False is the end of the connection.
func (c *conn) enter() bool {
	if c.entered {
		return true
	}
	c.entered = true
	rules, limit := c.gate(), c.listener.server.Snapshot().timeouts.Header
	if rules.isProxy(c.peer.ip) {
		if !c.pass("proxy", limit, c.readProxy) {
			return false
		}
		if why := c.listener.server.conns.named(c, c.listener.server.Snapshot().connections); why != cause.None {
			c.turnAway(why)
			return false
		}
	}
	if rules.TLS == nil {
		return true
	}
	return c.pass("tls", limit, func(limit time.Duration) error {
		if now := c.gate().TLS; now != nil { // the client may have taken its time
			return c.shakeHands(now, limit)
		}
		return c.shakeHands(rules.TLS, limit)
	})
}

// gate is what holds for the connection as things are now: requests go by the same snapshot.
func (c *conn) gate() *Rules { return c.listener.server.Snapshot().gate(c.listener) }

// pass does what stands before the first request within a limit. Its first byte is waited for as that of a request is: a connection on which
// nobody says a word holds up no drain. False is the end of the connection.
func (c *conn) pass(step string, limit time.Duration, do func(limit time.Duration) error) bool {
	started := c.listener.server.now()
	if !c.awaitRequest(limit) {
		return false
	}
	if limit > 0 {
		limit = max(limit-(c.listener.server.now()-started), time.Millisecond)
	}
	err := do(limit)
	if err != nil {
		c.refused(step, err)
	}
	return err == nil
}

// turnAway answers a connection that is one too many. One that should speak TLS is closed without a word.
func (c *conn) turnAway(why cause.Cause) {
	s := c.listener.server
	s.limited.Info().Str("client", c.peer.text).Str("cause", why.String()).Int("status", why.Status()).Msg("connection refused")
	s.Snapshot().cells.nowhere.Observe(0, metrics.Request{Status: why.Status(), Cause: uint8(why)})
	if c.gate().TLS == nil {
		_ = c.sock.Write(refusal(why), time.Second) // a best effort
	}
	_ = c.sock.Close()
}

// refused logs why a connection ends before its first request. One that ends without a word is nothing worth a line.
func (c *conn) refused(step string, err error) {
	if !errors.Is(err, io.EOF) {
		c.listener.server.limited.Info().Str("client", c.peer.text).Str("step", step).AnErr("error", err).Msg("connection not taken")
	}
}

// plainOnTLS is what a client is told that speaks plain HTTP where TLS is wanted, as nginx has it.
const plainOnTLS = "400 Bad Request: plain HTTP on a port that wants TLS: use https\n"

// answerPlain tells a client that it should speak TLS.
func (c *conn) answerPlain() {
	answer := fmt.Appendf(nil, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Proxy-Status: l7; error=tls_protocol_error; details=\"plain_http\"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		len(plainOnTLS), plainOnTLS)
	_ = c.sock.Write(answer, time.Second) // a best effort
}

// proofProtocol is spoken by an authority that asks whether a host is ours, and wants to see a certificate only (ACME, RFC 8737).
const proofProtocol = "acme-tls/1"

// shakeHands does the TLS handshake within a limit, and puts the connection that comes of it in the place of the plain one.
func (c *conn) shakeHands(cfg *tls.Config, limit time.Duration) error {
	ctx := context.Background()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	// The bytes before have left a deadline, of which what comes on top knows nothing: it would hold for ever.
	_ = c.sock.NetConn().SetReadDeadline(time.Time{}) // fails on a closed connection only, as the handshake will
	under := c.sock.Lean()
	if c.proxied != nil {
		under = reached{under, c.proxied.DestinationAddr}
	}
	secure := tls.Server(under, cfg)
	err := secure.HandshakeContext(ctx)
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &notTLS) && notTLS.Conn != nil && looksLikeHTTP(notTLS.RecordHeader):
		c.answerPlain()
		return errors.New("plain HTTP on a listener that wants TLS")
	case err != nil:
		return err
	}
	state := secure.ConnectionState()
	if state.NegotiatedProtocol == proofProtocol {
		_ = secure.Close() // the certificate was the answer
		return io.EOF
	}
	c.secure = true
	if len(state.PeerCertificates) > 0 {
		c.certificate = told(state.PeerCertificates[0])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sock = socket.New(secure)
	return nil
}

// reached is a connection behind a PROXY header, with the address that the client has reached: certificates are chosen by it.
type reached struct {
	net.Conn
	address net.Addr
}

// LocalAddr implements net.Conn.
func (r reached) LocalAddr() net.Addr { return r.address }

// NetConn is the connection underneath, which the socket package looks for.
func (r reached) NetConn() net.Conn { return r.Conn }

func looksLikeHTTP(start [5]byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO", "TRACE", "CONNE"} {
		if string(start[:]) == method {
			return true
		}
	}
	return false
}

// told is what servers are told of a client's certificate: its subject, which may be empty, and the URIs that it is for. The form is Envoy's, whose
// readers take a value in quotes for any key.
func told(cert *x509.Certificate) string {
	text := `Subject="` + quoted(cert.Subject.String()) + `"`
	for _, uri := range cert.URIs {
		text += `;URI="` + quoted(uri.String()) + `"`
	}
	return text
}

// quoted is the string form of a name, as RFC 4514 has it, for the inside of a quoted-string (RFC 9110 section 5.6.4). Its bytes that are not
// printable ASCII are written in hexadecimal, as the former allows: whatever a certificate holds, who takes both off has its name.
func quoted(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\\%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
