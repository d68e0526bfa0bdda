// Package cause names why a request ended as it did: one word that the response, the log and the metrics share.
//
// It decides nothing. Which cause applies is found where the request ends.
package cause

import "time"

// Cause is the one word. The zero value means that a server answered.
type Cause uint8

// The causes, by what ended the request.
const (
	None Cause = iota

	// The request could not be read or is not accepted as it stands.
	BadRequest
	BadHost
	AmbiguousPath
	MethodNotSupported
	VersionNotSupported
	TargetTooLong
	HeaderTooLarge
	BodyTooLarge
	ExpectationFailed
	ClientTimeout
	ClientGone

	// The connection is one too many.
	TooManyConnections
	ClientConnections

	// The request was understood and not passed on.
	NoRoute
	Redirected
	Forbidden
	Unauthorized
	NoServer
	Unavailable
	Full
	QueueTimeout
	RateLimited

	// An attempt was made and failed.
	ConnectRefused
	ConnectTimeout
	ConnectFailed
	NameUnresolved
	BadCertificate
	TLSFailed
	ServerClosed
	ServerTimeout
	BadResponse
	ResponseCut

	// l7 itself is at fault.
	Internal

	count
)

// Side says who has to act for the request to succeed another time.
type Side uint8

// The sides of a request.
const (
	Nobody Side = iota
	Client
	Server
	Self
)

type entry struct {
	word   string
	status int
	side   Side
	proxy  string // error type registered by RFC 9209 section 2.3
}

var entries = [count]entry{
	None:                {"ok", 200, Nobody, ""},
	BadRequest:          {"bad_request", 400, Client, "http_request_error"},
	BadHost:             {"bad_host", 400, Client, "http_request_error"},
	AmbiguousPath:       {"ambiguous_path", 400, Client, "http_request_error"},
	MethodNotSupported:  {"method_not_supported", 501, Client, "http_request_error"},
	VersionNotSupported: {"version_not_supported", 505, Client, "http_request_error"},
	TargetTooLong:       {"target_too_long", 414, Client, "http_request_error"},
	HeaderTooLarge:      {"header_too_large", 431, Client, "http_request_error"},
	BodyTooLarge:        {"body_too_large", 413, Client, "http_request_error"},
	ExpectationFailed:   {"expectation_failed", 417, Client, "http_request_error"},
	TooManyConnections:  {"too_many_connections", 503, Self, "connection_limit_reached"},
	ClientConnections:   {"client_connections", 429, Client, "connection_limit_reached"},
	ClientTimeout:       {"client_timeout", 408, Client, "http_request_error"},
	ClientGone:          {"client_gone", 499, Client, "http_request_error"},
	NoRoute:             {"no_route", 404, Client, "destination_not_found"},
	Redirected:          {"redirected", 308, Client, "http_request_error"},
	Forbidden:           {"forbidden", 403, Client, "http_request_denied"},
	Unauthorized:        {"unauthorized", 401, Client, "http_request_denied"},
	NoServer:            {"no_server", 503, Server, "destination_unavailable"},
	Unavailable:         {"unavailable", 503, Server, "destination_unavailable"},
	Full:                {"full", 503, Server, "connection_limit_reached"},
	QueueTimeout:        {"queue_timeout", 503, Server, "connection_limit_reached"},
	RateLimited:         {"rate_limited", 429, Client, "http_request_denied"},
	ConnectRefused:      {"connect_refused", 502, Server, "connection_refused"},
	ConnectTimeout:      {"connect_timeout", 504, Server, "connection_timeout"},
	ConnectFailed:       {"connect_failed", 502, Server, "destination_unavailable"},
	NameUnresolved:      {"name_unresolved", 503, Server, "dns_error"},
	BadCertificate:      {"bad_certificate", 502, Server, "tls_certificate_error"},
	TLSFailed:           {"tls_failed", 502, Server, "tls_protocol_error"},
	ServerClosed:        {"server_closed", 502, Server, "connection_terminated"},
	ServerTimeout:       {"server_timeout", 504, Server, "http_response_timeout"},
	BadResponse:         {"bad_response", 502, Server, "http_protocol_error"},
	ResponseCut:         {"response_cut", 502, Server, "http_response_incomplete"},
	Internal:            {"internal", 500, Self, "proxy_internal_error"},
}

// String is the word, in snake_case, as it stands in log lines and metrics.
func (c Cause) String() string { return entries[c].word }

// Status is the status code that l7 answers with when nothing has been sent to the client yet.
func (c Cause) Status() int { return entries[c].status }

// Side says who has to act.
func (c Cause) Side() Side { return entries[c].side }

// ProxyError is the error type registered by RFC 9209 section 2.3 that comes closest, empty for None.
func (c Cause) ProxyError() string { return entries[c].proxy }

// All returns every cause, None included, in a fixed order.
func All() []Cause {
	all := make([]Cause, count)
	for i := range all {
		all[i] = Cause(i)
	}
	return all
}

// Error is a failure with its cause. It becomes a response in one place only, server.answer.
type Error struct {
	Cause Cause
	// Unsent is true when no byte of the request can have reached a server, so that any request may be tried again.
	Unsent bool
	// RetryAfter is how long it takes until another try may succeed; 0: nobody knows.
	RetryAfter time.Duration
	// Err is what happened, for the log. It may hold bytes of a peer and never goes to a client.
	Err error
}

// Error returns the cause and what happened.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Cause.String()
	}
	return e.Cause.String() + ": " + e.Err.Error()
}

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }
