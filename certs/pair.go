package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Pair is a certificate and key as PEM files. The certificate's file has the chain too, with the certificate itself first. Both may be
// one file.
type Pair struct{ Cert, Key string }

// PairError says why one pair cannot be used.
type PairError struct {
	Index int    // of the pair
	Key   string // which of its files is at fault: cert or key
	File  string // that file; of two that do not match, the key's
	Err   error
}

func (e *PairError) Error() string { return fmt.Sprintf("cannot use %q: %v", e.File, e.Err) }

func (e *PairError) Unwrap() error { return e.Err }

// entry is a pair that has been read.
type entry struct {
	pair     Pair
	sum      [sha256.Size]byte // of both files
	cert     *tls.Certificate  // has its Leaf
	notAfter time.Time         // the earliest of the chain
}

// readPair reads a pair. If the files are what they were before, so is the result: a certificate that has not changed is not parsed
// again. The error joins a *PairError for each file that is at fault.
func readPair(index int, p Pair, before *entry) (*entry, error) {
	badCert := func(err error) error { return &PairError{index, "cert", p.Cert, err} }
	badKey := func(err error) error { return &PairError{index, "key", p.Key, err} }
	certText, err := readFile(p.Cert)
	if err != nil {
		err = badCert(err)
	}
	keyText, missing := readFile(p.Key)
	if missing != nil {
		err = errors.Join(err, badKey(missing))
	}
	if err != nil {
		return nil, err
	}
	sum := sumOf(certText, keyText)
	if before != nil && before.sum == sum {
		return before, nil
	}
	chain, err := parseCertificates(certText)
	if err != nil {
		return nil, badCert(err)
	}
	cert, err := tls.X509KeyPair(certText, keyText)
	switch {
	case err == nil:
	case isEncrypted(keyText):
		return nil, badKey(fmt.Errorf("it is encrypted; `openssl pkey -in %s -out plain.key` takes the password away", p.Key))
	case slices.ContainsFunc(chain[1:], func(c *x509.Certificate) bool { return fits(c, keyText) }):
		return nil, badKey(fmt.Errorf("it is no key for the first certificate in %q: the server's own certificate comes first in the file", p.Cert))
	default: // the certificate has been read, so it is about the key
		return nil, badKey(fmt.Errorf("it is no key for certificate %q: %w", p.Cert, err))
	}
	cert.Leaf = chain[0]
	notAfter := slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
	return &entry{pair: p, sum: sum, cert: &cert, notAfter: notAfter}, nil
}

func (e *entry) expiry() Expiry {
	return Expiry{Names: namesOf(e.cert.Leaf), NotAfter: e.notAfter, File: e.pair.Cert}
}

// isEncrypted is true for a key that nobody can read without a password.
func isEncrypted(keyText []byte) bool {
	for block, rest := pem.Decode(keyText); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.HasSuffix(block.Headers["Proc-Type"], ",ENCRYPTED") {
			return true
		}
	}
	return false
}

// fits is true for the key of a certificate.
func fits(cert *x509.Certificate, keyText []byte) bool {
	_, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), keyText)
	return err == nil
}

// warnings are what is wrong with a certificate that is used all the same.
func (e *entry) warnings(now time.Time) (found []string) {
	add := func(format string, args ...any) {
		found = append(found, fmt.Sprintf("certificate %q "+format, append([]any{e.pair.Cert}, args...)...))
	}
	if now.After(e.notAfter) {
		add("expired on %s", clock(e.notAfter))
	}
	if now.Before(e.cert.Leaf.NotBefore) {
		add("is not valid before %s", clock(e.cert.Leaf.NotBefore))
	}
	if len(namesOf(e.cert.Leaf)) == 0 {
		add("has no subject alternative name: clients accept it for no name, and a common name counts no more")
	}
	if mustStaple(e.cert.Leaf) && len(e.cert.OCSPStaple) == 0 {
		add("asks for a stapled OCSP response (must-staple), which l7 does not send: clients that check refuse it")
	}
	return found
}

// namesOf are all the names that a certificate is for.
func namesOf(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// mustStaple is true for a certificate with the TLS feature status_request (RFC 7633).
func mustStaple(cert *x509.Certificate) bool {
	const statusRequest = 5
	for _, extension := range cert.Extensions {
		var features []int
		if !extension.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}) {
			continue
		}
		if _, err := asn1.Unmarshal(extension.Value, &features); err == nil && slices.Contains(features, statusRequest) {
			return true
		}
	}
	return false
}

// parseCertificates reads PEM certificates, at least one. What else the text has is passed over, as a file may have the key too.
func parseCertificates(text []byte) (chain []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in it cannot be read: %w", len(chain)+1, err)
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("it has no certificate in PEM form")
	}
	return chain, nil
}

// readCertificates reads a file of PEM certificates. It returns its text as well.
func readCertificates(path string) (found []*x509.Certificate, text []byte, err error) {
	text, err = readFile(path)
	if err == nil {
		found, err = parseCertificates(text)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot use %q: %w", path, err)
	}
	return found, text, nil
}

// readFile returns errors that do not name the file, since all that it is called by do.
func readFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathError.Err
	}
	return text, err
}

// sumOf is a hash of some texts. Their lengths are in it, so that nothing can move from one to the next.
func sumOf(texts ...[]byte) (sum [sha256.Size]byte) {
	hash := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(hash, "%d:", len(text))
		hash.Write(text)
	}
	hash.Sum(sum[:0])
	return sum
}
