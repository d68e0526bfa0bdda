package exchange

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"l7/cause"
	"l7/certs"
	"l7/config"
	"l7/http1"
	"l7/socket"
)

// clientError is a failure of the client's connection, which is never the server's fault.
type clientError struct{ error }

func (e clientError) Unwrap() error { return e.error }

// untouched is true when the server cannot have acted on the request, or may act on it again: a kept connection ended
// before anything of a response came.
func (x *Exchange) untouched(err error) bool {
	if errors.Is(err, socket.ErrStale) {
		return true
	}
	safe := !x.wrote || x.Repeatable && x.whole
	return safe && !x.heard && isEnd(err)
}

// failed gives a failed attempt its cause.
func (x *Exchange) failed(err error) *cause.Error {
	e := &cause.Error{Cause: x.causeOf(err), Unsent: !x.wrote, Err: fmt.Errorf("%s: %w", x.server.addr, err)}
	return e
}

func (x *Exchange) causeOf(err error) cause.Cause {
	if x.gone.Load() || errors.As(err, new(clientError)) {
		return cause.ClientGone
	}
	if err := x.upload.failure(); err != nil {
		return BodyCause(err)
	}
	switch {
	case socket.IsTimeout(err) && !x.conn.Interrupted():
		return cause.ServerTimeout
	case socket.IsTimeout(err) || isEnd(err):
		return cause.ServerClosed
	}
	return cause.BadResponse
}

// BodyCause is why a request's body could not be read.
func BodyCause(err error) cause.Cause {
	var bad *http1.Error
	switch {
	case errors.Is(err, ErrTooLarge):
		return cause.BodyTooLarge
	case errors.As(err, &bad):
		return cause.BadRequest
	case socket.IsTimeout(err):
		return cause.ClientTimeout
	}
	return cause.ClientGone
}

// isEnd is true for the errors of a connection that the other side has ended.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, socket.ErrStale) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// failedConnect gives a failed connect its cause. Nothing of a request was sent then.
func failedConnect(addr config.Address, err error) *cause.Error {
	c := cause.ConnectFailed
	var dns *net.DNSError
	var network net.Error
	var certificate *tls.CertificateVerificationError
	var handshake handshakeError
	switch {
	case errors.As(err, &certificate):
		c = cause.BadCertificate
	case errors.As(err, &dns):
		c = cause.NameUnresolved
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		c = cause.ConnectRefused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		c = cause.ConnectTimeout
	case errors.As(err, &handshake):
		c = cause.TLSFailed
	}
	if c == cause.BadCertificate || c == cause.TLSFailed {
		err = fmt.Errorf("%s: %w", certs.Reason(err), err)
	}
	return &cause.Error{Cause: c, Unsent: true, Err: fmt.Errorf("%s: %w", addr, err)}
}
