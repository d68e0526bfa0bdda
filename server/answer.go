package server

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"l7/auth"
	"l7/balancer"
	"l7/cause"
	"l7/http1"
	"l7/socket"
)

var errTwoAuthorizations = errors.New("the request has more than one Authorization field")

// fail ends a request with an answer of our own. It is the only place that turns a cause into a response.
// The text that goes out is ours: err may hold bytes of a server and is for the log alone. It is false when the
// connection is of no further use.
func (ss *session) fail(why cause.Cause, err error) bool {
	ss.logAnswer(why, err)
	ss.record.cause = why
	if !ss.answered {
		ss.record.status = why.Status()
	}
	if why == cause.ClientGone || ss.answered {
		return false
	}
	ss.answered = true
	keep := ss.mayStay(why)
	ss.head = ss.appendAnswer(ss.head[:0], why, retryAfter(err), keep)
	if err := ss.conn.sock.Write(ss.head, ss.snapshot.timeouts.Write); err != nil {
		return false
	}
	return keep
}

// mayStay is true when the next request can follow on the connection: the framing of this one is beyond doubt, and its body
// has arrived.
func (ss *session) mayStay(why cause.Cause) bool {
	if len(ss.req.Bytes()) == 0 {
		return false // its head was refused, so that nobody knows where it ends
	}
	switch why {
	case cause.BadRequest, cause.BadHost, cause.Internal,
		cause.MethodNotSupported: // what follows CONNECT was meant for the tunnel
		return false
	}
	for !ss.body.Done() && len(ss.body.Ahead()) > 0 {
		if _, err := ss.body.Take(); err != nil {
			return false
		}
	}
	return ss.body.Done() && ss.req.Persistent() && !ss.conn.isEnding()
}

func (ss *session) appendAnswer(dst []byte, why cause.Cause, retry int, keep bool) []byte {
	status := why.Status()
	code, text := strconv.Itoa(status), http.StatusText(status)
	body := code + " " + text + ": " + why.String() + "\n"
	if !ss.isHead() {
		ss.record.out = int64(len(body))
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, code...)
	dst = append(dst, ' ')
	dst = append(dst, text...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nProxy-Status: "...)
	dst = append(dst, proxyStatus(why)...)
	dst = append(dst, "\r\n"...)
	switch status {
	case http.StatusPermanentRedirect:
		dst = append(ss.appendHTTPS(append(dst, "Location: "...)), "\r\n"...)
	case http.StatusUnauthorized:
		dst = append(dst, "WWW-Authenticate: "+auth.Challenge+"\r\n"...)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		dst = append(dst, "Retry-After: "+strconv.Itoa(retry)+"\r\n"...)
	}
	dst = append(ss.appendRequestID(dst), ss.hsts().line...)
	dst = appendConnection(dst, ss.req.Minor, keep)
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	if ss.isHead() {
		return dst
	}
	return append(dst, body...)
}

// appendHTTPS appends the URL of the request with https: without its port, which is that of http, and without a path where the request is
// about the server as a whole (OPTIONS *).
func (ss *session) appendHTTPS(dst []byte) []byte {
	dst = append(append(dst, "https://"...), ss.req.Hostname()...)
	path := len(dst)
	dst = ss.req.AppendTarget(dst)
	if dst[path] == '*' {
		return dst[:path]
	}
	return dst
}

// retryAfter is after how many seconds another try may succeed; 1 where nobody knows.
func retryAfter(err error) int {
	var typed *cause.Error
	if !errors.As(err, &typed) {
		return 1
	}
	return max(int(math.Ceil(typed.RetryAfter.Seconds())), 1)
}

// isHead is true for a request whose response has no body. The method of one that could not be read is not known.
func (ss *session) isHead() bool {
	return len(ss.req.Bytes()) > 0 && string(ss.req.Method()) == http.MethodHead
}

// proxyStatus is the value of RFC 9209's field: the registered error type that comes closest, and our word.
func proxyStatus(why cause.Cause) string {
	return "l7; error=" + why.ProxyError() + "; details=\"" + why.String() + "\""
}

// causeOf finds the cause of a failed exchange. An error without one is our own fault.
func causeOf(err error) cause.Cause {
	var typed *cause.Error
	if errors.As(err, &typed) {
		return typed.Cause
	}
	return cause.Internal
}

// causeOfHead is why a request's head could not be read.
func causeOfHead(err error) cause.Cause {
	var bad *http1.Error
	switch {
	case errors.As(err, &bad):
		switch bad.Status {
		case http.StatusRequestURITooLong:
			return cause.TargetTooLong
		case http.StatusRequestHeaderFieldsTooLarge:
			return cause.HeaderTooLarge
		case http.StatusHTTPVersionNotSupported:
			return cause.VersionNotSupported
		case http.StatusExpectationFailed:
			return cause.ExpectationFailed
		}
		return cause.BadRequest
	case socket.IsTimeout(err):
		return cause.ClientTimeout
	}
	return cause.ClientGone
}

func (ss *session) logAnswer(why cause.Cause, err error) {
	s := ss.server
	event := s.limited.Info()
	if why.Side() == cause.Self {
		event = s.log.Error()
	}
	event = ss.describe(event).Str("cause", why.String()).Int("status", why.Status()).AnErr("error", err)
	if list := attempts(ss.request.Attempts()); len(list) > 0 {
		event = event.Array("attempts", list)
	}
	event.Msg("request not passed on")
}

// attempts are logged one by one: whom was asked, what came of it, and how long it took.
type attempts []balancer.Attempt

// MarshalZerologArray implements zerolog.LogArrayMarshaler.
func (list attempts) MarshalZerologArray(a *zerolog.Array) {
	for _, try := range list {
		outcome := try.Cause.String()
		if try.Status != 0 {
			outcome = strconv.Itoa(try.Status)
		}
		a.Str(try.Member.Name() + " " + outcome + " " + try.Took.Round(time.Microsecond).String())
	}
}

// logCut logs a response that the client got a part of.
func (ss *session) logCut(err error) {
	why := causeOf(err)
	ss.describe(ss.server.limited.Info()).Str("cause", why.String()).Int64("bytes", ss.exchange.Written()).AnErr("error", err).Msg("response cut off")
}

// describe adds what is known of the request.
func (ss *session) describe(event *zerolog.Event) *zerolog.Event {
	event = event.Str("client", ss.conn.peer.text)
	if len(ss.id) > 0 {
		event = event.Bytes("request_id", ss.id)
	}
	if len(ss.req.Bytes()) == 0 {
		return event // it could not be read
	}
	return event.Bytes("method", ss.req.Method()).Bytes("host", ss.req.Host()).Bytes("path", ss.req.Path())
}
