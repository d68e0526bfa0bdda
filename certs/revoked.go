package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// RevokedError says that a client's certificate, or that of an authority between it and the root, has been revoked.
type RevokedError struct{ Certificate *x509.Certificate }

func (e *RevokedError) Error() string {
	return fmt.Sprintf("the certificate of %s, serial number %s, has been revoked", subject(e.Certificate), e.Certificate.SerialNumber)
}

// revoked holds what authorities have revoked. Nil is nothing.
type revoked struct {
	file    string
	entries map[revocation]struct{}
	until   []time.Time // by when each CRL of the file is to be renewed; zero: it does not say
}

// revocation is one certificate: a serial number means something with its issuer alone.
type revocation struct{ issuer, serial string }

// parseRevoked reads the text of a file of CRLs, each of which one of the authorities must have signed. One that is out of date is used
// all the same, with a warning: what it lists is revoked for good, and to refuse everybody would be worse.
func parseRevoked(file string, text []byte, authorities []*x509.Certificate) (*revoked, error) {
	r := &revoked{file: file, entries: map[revocation]struct{}{}}
	for i, raw := range listsIn(text) {
		list, err := x509.ParseRevocationList(raw)
		if err == nil {
			err = checkList(list, authorities)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot use CRL %d of %q: %w", i+1, file, err)
		}
		r.add(list)
	}
	return r, nil
}

func (r *revoked) warnings(now time.Time) (found []string) {
	if r == nil {
		return nil
	}
	for i, next := range r.until {
		if !next.IsZero() && now.After(next) {
			found = append(found, fmt.Sprintf("CRL %d of %q is out of date: it was to be renewed by %s", i+1, r.file, clock(next)))
		}
	}
	return found
}

// listsIn returns the CRLs of a PEM file, or the text itself as a DER file is one CRL.
func listsIn(text []byte) (lists [][]byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "X509 CRL" {
			lists = append(lists, block.Bytes)
		}
	}
	if len(lists) == 0 {
		return [][]byte{text}
	}
	return lists
}

// checkList accepts a whole CRL of one of the authorities. Parts of one, and those that are about other issuers' certificates, have a
// critical extension; who does not understand it must not use them (RFC 5280 section 5.2).
func checkList(list *x509.RevocationList, authorities []*x509.Certificate) error {
	for _, extension := range list.Extensions {
		if extension.Critical {
			return fmt.Errorf("it is not a whole one of its issuer alone: it has the critical extension %s", extension.Id)
		}
	}
	wrong := errors.New("no authority in client_ca is its issuer")
	for _, authority := range authorities {
		if !bytes.Equal(authority.RawSubject, list.RawIssuer) {
			continue
		}
		if wrong = list.CheckSignatureFrom(authority); wrong == nil {
			return nil
		}
	}
	return fmt.Errorf("it is not signed as it should be: %w", wrong)
}

func (r *revoked) add(list *x509.RevocationList) {
	r.until = append(r.until, list.NextUpdate)
	for _, e := range list.RevokedCertificateEntries {
		r.entries[revocation{string(list.RawIssuer), string(e.SerialNumber.Bytes())}] = struct{}{}
	}
}

// verify is for tls.Config.VerifyConnection. A client without a certificate passes: whether it needs one has been settled.
func (r *revoked) verify(state tls.ConnectionState) error {
	if r == nil {
		return nil
	}
	for _, chain := range state.VerifiedChains {
		for _, cert := range chain {
			if _, is := r.entries[revocation{string(cert.RawIssuer), string(cert.SerialNumber.Bytes())}]; is {
				return &RevokedError{cert}
			}
		}
	}
	return nil
}
