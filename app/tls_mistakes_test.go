package app

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/certs"
	"l7/config"
)

// Every mistake of TLS is told at once and at its own key. Of a section there was one, and it stood at the section.
func TestTLSMistakes(t *testing.T) {
	f := func(yaml string, want ...string) {
		t.Helper()
		folder := t.TempDir()
		writePair(t, folder, "a")
		writePair(t, folder, "b")
		file := filepath.Join(folder, "l7.yml")
		require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
		_, err := Prepare(Source{Args: config.Args{File: file}}, NewParts(Ignore))
		var problems config.Problems
		require.ErrorAs(t, err, &problems)
		got := strings.Split(strings.ReplaceAll(err.Error(), folder+"/", ""), "\n")
		assert.Len(t, got, len(want), err)
		for i := range want {
			assert.Contains(t, got[i], want[i])
		}
	}
	f(`listen:
  - address: ':443'
    tls:
      certificates:
        - {cert: a.pem, key: a.key}
        - {cert: b.pem, key: none.key}
        - {cert: none.pem, key: none.key}
        - {cert: a.pem, key: b.key}
      cipher_suites:
        - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        - NONE
        - TLS_AES_128_GCM_SHA256
      client_auth: require
      client_ca: nope.pem
      client_crl: nope.crl
      acme: {email: a@a.io, storage: acme, ca: 'https://ca.internal/', ca_root: nope.pem}
  - {address: ':444', tls: {certificates: {cert: a.pem, key: a.key}, min_version: '1.3', cipher_suites: NONE}}
  - {address: ':445', tls: {certificates: {cert: a.pem, key: a.key}, client_auth: request, client_ca: a.pem, client_crl: a.key}}
backends:
  a.io: {servers: 'https://127.0.0.1:1', tls: {ca_file: nope.pem, cert: a.pem, key: b.key}}
  b.io: {servers: 'https://127.0.0.1:1', tls: {ca_file: a.key, cert: nope.pem, key: nope.key}}
`,
		`l7.yml:6:30: listen[0].tls.certificates[1].key: cannot use "none.key": no such file`,
		`l7.yml:7:18: listen[0].tls.certificates[2].cert: cannot use "none.pem": no such file`,
		`l7.yml:7:33: listen[0].tls.certificates[2].key: cannot use "none.key": no such file`,
		`l7.yml:8:30: listen[0].tls.certificates[3].key: cannot use "b.key": it is no key for certificate "a.pem"`,
		`l7.yml:11:11: listen[0].tls.cipher_suites[1]: cannot use cipher suite "NONE"`,
		`l7.yml:12:11: listen[0].tls.cipher_suites[2]: cannot use cipher suite "TLS_AES_128_GCM_SHA256"`,
		`l7.yml:14:18: listen[0].tls.client_ca: cannot use "nope.pem": no such file`,
		`l7.yml:15:19: listen[0].tls.client_crl: cannot use "nope.crl": no such file`,
		`l7.yml:16:81: listen[0].tls.acme.ca_root: cannot use the certificate of the authority "nope.pem"`,
		`l7.yml:17:105: listen[1].tls.cipher_suites: cannot use cipher_suites with min_version 1.3`,
		`l7.yml:18:122: listen[2].tls.client_crl: cannot use CRL 1 of "a.key"`,
		`l7.yml:20:57: backends.a.io.tls.ca_file: cannot use "nope.pem": no such file`,
		`l7.yml:20:85: backends.a.io.tls.key: cannot use "b.key": it is no key for certificate "a.pem"`,
		`l7.yml:21:57: backends.b.io.tls.ca_file: cannot use "a.key": it has no certificate in PEM form`,
		`l7.yml:21:70: backends.b.io.tls.cert: cannot use "nope.pem": no such file`,
		`l7.yml:21:85: backends.b.io.tls.key: cannot use "nope.key": no such file`,
	)
	// One mistake is one line: there were two.
	f(`listen:
  - {address: ':1', tls: {certificates: {cert: a.pem}}}
  - {address: ':2', tls: {certificates: {key: a.key}}}
  - {address: ':3', tls: {certificates: {cert: a.pem, key: a.key}, client_auth: on, client_ca: a.pem}}
  - {address: ':4', tls: {certificates: {cert: a.pem, key: a.key}, client_auth: require}}
  - {address: ':5', tls: {certificates: {cert: a.pem, key: a.key}, client_ca: a.pem}}
  - {address: ':6', tls: {certificates: {cert: a.pem, key: a.key}, client_crl: a.pem}}
backends:
  a.io: {servers: 'https://127.0.0.1:1', tls: {cert: a.pem}}
  b.io: {servers: 'https://127.0.0.1:1', tls: {key: a.key}}
  c.io: {servers: 'https://127.0.0.1:1', tls: {cert: a.pem, key: [b]}}
`,
		`l7.yml:2:27: listen[0].tls.certificates[0].key: the key's file is missing`,
		`l7.yml:3:27: listen[1].tls.certificates[0].cert: the certificate's file is missing`,
		`l7.yml:4:81: listen[2].tls.client_auth: cannot use "on"`,
		`l7.yml:5:81: listen[3].tls.client_auth: there is nobody who may sign`,
		`l7.yml:6:79: listen[4].tls.client_ca: no client is asked for a certificate`,
		`l7.yml:7:80: listen[5].tls.client_crl: it says what client_ca has revoked`,
		`l7.yml:9:54: backends.a.io.tls.cert: a certificate and its key go together`,
		`l7.yml:10:42: backends.b.io.tls.cert: a certificate and its key go together`,
		`l7.yml:11:66: backends.c.io.tls.key: want text`,
	)
}

// writePair writes NAME.pem and NAME.key.
func writePair(t *testing.T, folder, name string) {
	t.Helper()
	made, err := certs.SelfSigned([]string{name}, time.Now())
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	require.NoError(t, err)
	write := func(ending, kind string, raw []byte) {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
		require.NoError(t, os.WriteFile(filepath.Join(folder, name+ending), text, 0o600))
	}
	write(".pem", "CERTIFICATE", made.Certificate[0])
	write(".key", "PRIVATE KEY", key)
}
