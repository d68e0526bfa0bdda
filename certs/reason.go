package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Reason says in one clause why a handshake failed: for a log line, or behind "because". It is empty for no error.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	if host, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the certificate is not for %s, but for %s", host.Host, listOf(namesOf(host.Certificate)))
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return invalidReason(invalid)
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return unknownReason(unknown)
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return recordReason(record)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "the handshake was not finished in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the other side closed the connection during the handshake"
	}
	return strings.TrimPrefix(err.Error(), "tls: ")
}

func invalidReason(e x509.CertificateInvalidError) string {
	switch {
	case e.Reason != x509.Expired || e.Cert == nil:
		return strings.TrimPrefix(e.Error(), "x509: ")
	case time.Now().Before(e.Cert.NotBefore): // x509 has one reason for both
		return fmt.Sprintf("the certificate of %s is not valid before %s", subject(e.Cert), clock(e.Cert.NotBefore))
	}
	return fmt.Sprintf("the certificate of %s expired on %s", subject(e.Cert), clock(e.Cert.NotAfter))
}

func unknownReason(e x509.UnknownAuthorityError) string {
	switch {
	case e.Cert == nil:
		return strings.TrimPrefix(e.Error(), "x509: ")
	case bytes.Equal(e.Cert.RawIssuer, e.Cert.RawSubject):
		return fmt.Sprintf("the certificate of %s is self-signed and not trusted", subject(e.Cert))
	}
	return fmt.Sprintf("the certificate of %s is from an authority that is not trusted: %s", subject(e.Cert), e.Cert.Issuer)
}

// recordReason tells plain HTTP from what is neither HTTP nor TLS.
func recordReason(e tls.RecordHeaderError) string {
	first := string(e.RecordHeader[:])
	if first == "HTTP/" {
		return "the server answers in plain HTTP, not TLS"
	}
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE "} {
		if strings.HasPrefix(method, first) || strings.HasPrefix(first, method) {
			return "the client speaks plain HTTP, not TLS"
		}
	}
	return "the other side does not speak TLS: " + e.Msg
}

// subject is what a certificate is called: its first name, or else its subject.
func subject(cert *x509.Certificate) string {
	if names := namesOf(cert); len(names) > 0 {
		return names[0]
	}
	if text := cert.Subject.String(); text != "" {
		return text
	}
	return "no name"
}

// listOf is a list of names that stays short.
func listOf(names []string) string {
	const most = 10
	if len(names) == 0 {
		return "no name at all"
	}
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }
