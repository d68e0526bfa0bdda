package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var updateTLS = flag.Bool("update", false, "write the table of docs/tls.md anew")

// probe is one line of the table in docs/tls.md.
type probe struct {
	with string        // what the client does
	want string        // what comes of it
	try  func() string // what really comes of it
}

// TestTLSTable makes the handshakes of the table in docs/tls.md with openssl. Each has to end as it is written here, and the page has to
// say the same; go test ./e2e -run TestTLSTable -update writes it.
func TestTLSTable(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("openssl")
	require.NoError(t, err, "this test needs openssl; install it with: apt-get install openssl")
	p := &prober{T: t, openssl: path, authority: newAuthority(t)}
	p.main = p.listen("certificates: ["+p.pairs()+"]", "")
	var table strings.Builder
	table.WriteString("| | With | Result |\n|---|---|---|\n")
	for _, part := range []struct {
		name   string
		probes []probe
	}{
		{"Version", p.versions()},
		{"Suite", p.suites()},
		{"Key exchange", p.groups()},
		{"SNI", p.names()},
		{"ALPN", p.protocols()},
		{"Resumption", p.sessions()},
		{"Client certificate", p.clients()},
		{"Certificate of l7", p.ownCertificates()},
		{"Abuse", p.abuses()},
		{"`https://` server", p.servers()},
	} {
		for _, probe := range part.probes {
			got := probe.try()
			assert.Equal(t, probe.want, got, "%s: %s", part.name, probe.with)
			fmt.Fprintf(&table, "| %s | %s | %s |\n", part.name, probe.with, got)
		}
	}
	compareTable(t, filepath.Join("..", "docs", "tls.md"), table.String())
}

const tableBegin, tableEnd = "<!-- e2e/openssl_test.go writes this table -->\n", "<!-- end of the table -->\n"

// compareTable requires that the page has the table, or writes it there.
func compareTable(t *testing.T, page, table string) {
	t.Helper()
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, begins := strings.Cut(string(content), tableBegin)
	old, after, ends := strings.Cut(rest, tableEnd)
	require.True(t, begins && ends, "%s has lost the marks around the table", page)
	if !*updateTLS {
		assert.Equal(t, old, table, "%s is stale; go test ./e2e -run TestTLSTable -update writes it", page)
		return
	}
	if !t.Failed() { // a page must not say what this test calls wrong
		require.NoError(t, os.WriteFile(page, []byte(before+tableBegin+table+tableEnd+after), 0o644))
	}
}

// prober makes handshakes and says in a few words what came of them.
type prober struct {
	*testing.T
	*authority
	openssl string
	main    *l7 // with all certificates, and nothing else said of TLS
	made    int // certificates
}

// listen starts an l7 with one TLS listener. Further settings of a listener's tls may be empty.
func (p *prober) listen(certificates, settings string) *l7 {
	p.Helper()
	return run{config: p.config(certificates, settings)}.start(p.T)
}

func (p *prober) config(certificates, settings string) string {
	return text(
		"listen: [{address: '127.0.0.1:0', tls: {"+certificates+settings+"}}]",
		"backends: {'*': {servers: ['"+mirror(p.T).URL+"']}}")
}

// pairs are the certificates of most listeners: the first is the default, and of the second there is one of each kind of key.
func (p *prober) pairs() string {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(p, err)
	return strings.Join([]string{
		pairOf(p.sign("default", hence(time.Hour), "default.test")),
		pairOf(p.sign("ecdsa", hence(time.Hour), "example.com", "*.example.org")),
		pairOf(p.signRSA("rsa", rsaKey, "example.com")),
	}, ", ")
}

func pairOf(cert, key string) string { return "{cert: '" + cert + "', key: '" + key + "'}" }

func hence(d time.Duration) time.Time { return time.Now().Add(d) }

// signRSA is sign for a key of the other kind.
func (p *prober) signRSA(file string, key *rsa.PrivateKey, name string) (certFile, keyFile string) {
	p.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(p.serial.Add(1) + 1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: hence(-time.Hour), NotAfter: hence(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, crypto.PublicKey(&key.PublicKey), p.authority.key)
	require.NoError(p, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(p, err)
	certFile, keyFile = filepath.Join(p.dir, file+".pem"), filepath.Join(p.dir, file+".key")
	p.write(keyFile, "PRIVATE KEY", pkcs8)
	p.write(certFile, "CERTIFICATE", der)
	return certFile, keyFile
}

// closing is a request after whose answer the connection ends, and openssl with it.
const closing = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"

// ask has openssl make a connection and send a request, and returns all that it says.
func (p *prober) ask(l *l7, args ...string) string {
	p.Helper()
	return p.say(l.addr, strings.NewReader(closing), append([]string{"-ign_eof"}, args...)...)
}

func (p *prober) say(addr string, stdin io.Reader, args ...string) string {
	p.Helper()
	args = append([]string{"s_client", "-connect", addr, "-CAfile", p.file, "-verify_return_error"}, args...)
	if !strings.Contains(strings.Join(args, " "), "servername") {
		args = append(args, "-servername", "example.com")
	}
	// Without a config of its own openssl offers what it is told to, old versions too.
	got := program{path: p.openssl, args: args, env: []string{"OPENSSL_CONF=/dev/null"}, stdin: stdin}.run(p.T)
	return got.stdout + "\n" + got.stderr
}

var (
	statusLine  = regexp.MustCompile(`HTTP/1\.1 (\d{3}) `) // somewhere in what openssl says of the session
	alertNumber = regexp.MustCompile(`SSL alert number (\d+)`)
	verifyError = regexp.MustCompile(`verify error:num=\d+:(.*)`)
	negotiated  = regexp.MustCompile(`(New|Reused), (TLSv1\.\d), Cipher is (\S+)`)
)

// alerts are those that occur here (RFC 8446 section 6, RFC 7507, RFC 7301).
var alerts = map[string]string{
	"10": "unexpected_message", "22": "record_overflow", "40": "handshake_failure", "42": "bad_certificate", "45": "certificate_expired",
	"48": "unknown_ca", "70": "protocol_version", "80": "internal_error", "86": "inappropriate_fallback", "112": "unrecognized_name",
	"116": "certificate_required", "120": "no_application_protocol",
}

// verdict is what became of a connection: the status of the answer, the alert that l7 sent, or the client's own objection.
func verdict(out string) string {
	if refused := alertNumber.FindStringSubmatch(out); refused != nil {
		name := alerts[refused[1]]
		if name == "" {
			name = "alert " + refused[1]
		}
		return "refused: " + name
	}
	if own := verifyError.FindStringSubmatch(out); own != nil {
		return "the client refuses: " + own[1]
	}
	if answered := statusLine.FindStringSubmatch(out); answered != nil {
		return answered[1]
	}
	return "neither an answer nor an alert:\n" + out
}

// found adds to the verdict what else is to be known of a connection.
func found(out, what string) string {
	if got := verdict(out); !statusLine.MatchString(out) || strings.HasPrefix(got, "refused") {
		return got
	}
	return verdict(out) + ", " + what
}

// The fields of what was agreed upon.
const (
	isNew = iota + 1 // New or Reused
	agreedVersion
	agreedSuite
)

func field(out string, n int) string {
	if match := negotiated.FindStringSubmatch(out); match != nil {
		return match[n]
	}
	return "nothing agreed upon"
}

func (p *prober) versions() (probes []probe) {
	f := func(name, want string, l *l7, args ...string) {
		probes = append(probes, probe{name, want, func() string {
			out := p.ask(l, args...)
			return found(out, field(out, agreedVersion))
		}})
	}
	old := []string{"-cipher", "ALL:@SECLEVEL=0"} // or else openssl does not even offer them
	f("TLS 1.0", "refused: protocol_version", p.main, append(old, "-tls1")...)
	f("TLS 1.1", "refused: protocol_version", p.main, append(old, "-tls1_1")...)
	f("TLS 1.2", "200, TLSv1.2", p.main, "-tls1_2")
	f("TLS 1.3", "200, TLSv1.3", p.main, "-tls1_3")
	f("TLS 1.2 or 1.3", "200, TLSv1.3", p.main)
	f("TLS 1.2 after a failed try with 1.3 (`-fallback_scsv`)", "refused: inappropriate_fallback", p.main, "-tls1_2", "-fallback_scsv")
	strict := p.listen("certificates: ["+p.pairs()+"]", ", min_version: '1.3'")
	f("TLS 1.2, `min_version: '1.3'`", "refused: protocol_version", strict, "-tls1_2")
	f("TLS 1.3, `min_version: '1.3'`", "200, TLSv1.3", strict, "-tls1_3")
	return probes
}

func (p *prober) suites() (probes []probe) {
	f := func(l *l7, kind, suite, want string, args ...string) {
		if want == "" {
			want = "200, " + suite
		}
		probes = append(probes, probe{fmt.Sprintf("%s`%s`", kind, suite), want, func() string {
			out := p.ask(l, args...)
			return found(out, field(out, agreedSuite))
		}})
	}
	old := func(l *l7, kind, suite, want string) {
		f(l, kind, suite, want, "-tls1_2", "-cipher", suite+":@SECLEVEL=0")
	}
	for _, suite := range []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"} {
		f(p.main, "TLS 1.3: ", suite, "", "-tls1_3", "-ciphersuites", suite)
	}
	f(p.main, "TLS 1.3: ", "TLS_AES_128_CCM_SHA256", "refused: handshake_failure", "-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256")
	for _, key := range []string{"ECDSA", "RSA"} {
		for _, rest := range []string{"AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"} {
			old(p.main, "TLS 1.2: ", "ECDHE-"+key+"-"+rest, "")
		}
	}
	const refused = "refused: handshake_failure"
	for _, suite := range []string{
		"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA384",
	} {
		old(p.main, "TLS 1.2, CBC: ", suite, refused)
	}
	for _, suite := range []string{"AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA"} {
		old(p.main, "TLS 1.2, no forward secrecy: ", suite, refused)
	}
	old(p.main, "TLS 1.2, finite-field: ", "DHE-RSA-AES128-GCM-SHA256", refused)
	old(p.main, "TLS 1.2, no certificate: ", "AECDH-AES128-SHA", refused)
	old(p.main, "TLS 1.2, no encryption: ", "ECDHE-RSA-NULL-SHA", refused)
	one := p.listen("certificates: ["+p.pairs()+"]", ", cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]")
	old(one, "TLS 1.2, the only one in `cipher_suites`: ", "ECDHE-RSA-AES256-GCM-SHA384", "")
	old(one, "TLS 1.2, not in `cipher_suites`: ", "ECDHE-RSA-AES128-GCM-SHA256", refused)
	return probes
}

func (p *prober) groups() (probes []probe) {
	f := func(group, want string, args ...string) {
		probes = append(probes, probe{"`" + group + "`", want, func() string { return verdict(p.ask(p.main, args...)) }})
	}
	for _, group := range []string{"X25519", "P-256", "P-384", "P-521"} {
		f(group, "200", "-groups", group)
	}
	f("X448", "refused: handshake_failure", "-tls1_3", "-groups", "X448")
	f("ffdhe2048", "refused: handshake_failure", "-tls1_3", "-groups", "ffdhe2048")
	return append(probes, probe{"`X25519MLKEM768`, post-quantum (crypto/tls as the client: openssl has it from 3.5 on)", "200, X25519MLKEM768", p.postQuantum})
}

func (p *prober) postQuantum() string {
	cfg := p.trusting("example.com")
	cfg.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768}
	conn, err := tls.Dial("tcp", p.main.addr, cfg)
	got := over(p.T, conn, err, closing)
	return fmt.Sprintf("%d, %s", got.StatusCode, conn.ConnectionState().CurveID)
}

// shownFor is for whom the certificate is that openssl was shown.
func shownFor(out string) string {
	block, _ := pem.Decode([]byte(out[max(0, strings.Index(out, "-----BEGIN")):]))
	if block == nil {
		return "no certificate"
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err.Error()
	}
	return "certificate of `" + cert.DNSNames[0] + "`"
}

func (p *prober) names() (probes []probe) {
	f := func(with, want string, l *l7, args ...string) {
		probes = append(probes, probe{with, want, func() string {
			out := p.ask(l, args...)
			return found(out, shownFor(out))
		}})
	}
	certificates := "certificates: [" + p.pairs() + "]"
	strict := p.listen(certificates, ", strict_sni: true")
	const ours, other = "200, certificate of `example.com`", "200, certificate of `default.test`"
	f("the name of a certificate", ours, p.main, "-servername", "example.com")
	f("the same in capitals", ours, p.main, "-servername", "EXAMPLE.COM")
	f("one label below `*.example.org`", ours, p.main, "-servername", "www.example.org")
	f("two labels below `*.example.org`", other, p.main, "-servername", "a.b.example.org")
	f("an unknown name", other, p.main, "-servername", "unknown.test")
	f("none", other, p.main, "-noservername")
	f("the name of a certificate, `strict_sni`", ours, strict, "-servername", "example.com")
	f("one label below `*.example.org`, `strict_sni`", ours, strict, "-servername", "www.example.org")
	f("an unknown name, `strict_sni`", "refused: unrecognized_name", strict, "-servername", "unknown.test")
	f("none, `strict_sni`", "refused: unrecognized_name", strict, "-noservername")
	return probes
}

func (p *prober) protocols() (probes []probe) {
	f := func(with, want string, args ...string) {
		probes = append(probes, probe{with, want, func() string {
			out := p.ask(p.main, args...)
			protocol := "none"
			if match := regexp.MustCompile(`(?m)^ALPN protocol: (.*)$`).FindStringSubmatch(out); match != nil {
				protocol = match[1]
			}
			return found(out, protocol)
		}})
	}
	f("`h2` alone", "refused: no_application_protocol", "-alpn", "h2")
	f("`h2` or `http/1.1`", "200, http/1.1", "-alpn", "h2,http/1.1")
	f("`http/1.1`", "200, http/1.1", "-alpn", "http/1.1")
	f("none", "200, none")
	return probes
}

// sessions resume, or do not, what a first connection has left in a file.
func (p *prober) sessions() (probes []probe) {
	config := strings.SplitAfter(p.config("certificates: ["+p.pairs()+"]", ""), "\n")
	l := startDynasty(p.T, run{config: strings.Join(config, ""), env: []string{"L7_ADMIN__SOCKET=off"}})
	again := func(file string, l *l7, args ...string) string {
		out := p.ask(l, append([]string{"-sess_in", file}, args...)...)
		return found(out, map[string]string{"New": "full handshake", "Reused": "resumed"}[field(out, isNew)])
	}
	f := func(with, want, version string, between func(), then func() *l7) {
		probes = append(probes, probe{with, want, func() string {
			file := filepath.Join(p.TempDir(), "session")
			require.Equal(p, "200", verdict(p.ask(l.l7, version, "-sess_out", file)))
			between()
			return again(file, then(), version)
		}})
	}
	nothing, same := func() {}, func() *l7 { return l.l7 }
	f("TLS 1.2, a ticket", "200, resumed", "-tls1_2", nothing, same)
	f("TLS 1.3, a ticket", "200, resumed", "-tls1_3", nothing, same)
	f("TLS 1.2, a ticket of before a reload", "200, resumed", "-tls1_2", func() { l.reload(append(config, "hsts: 1h")...) }, same)
	f("TLS 1.3, a ticket of before a reload", "200, resumed", "-tls1_3", func() { l.reload(append(config, "hsts: 2h")...) }, same)
	f("TLS 1.2, a ticket of before an upgrade", "200, resumed", "-tls1_2", l.upgrade, same)
	f("TLS 1.3, a ticket of before an upgrade", "200, resumed", "-tls1_3", l.upgrade, same)
	f("TLS 1.2, a ticket of another process", "200, full handshake", "-tls1_2", nothing, func() *l7 { return p.main })
	f("TLS 1.3, a ticket of another process", "200, full handshake", "-tls1_3", nothing, func() *l7 { return p.main })
	probes = append(probes, probe{"TLS 1.2, a client without tickets", "200, no session to resume", func() string {
		file := filepath.Join(p.TempDir(), "session")
		out := p.ask(p.main, "-tls1_2", "-no_ticket", "-sess_out", file)
		_, err := os.Stat(file) // openssl writes none where there is neither a ticket nor a session's number
		require.ErrorIs(p, err, os.ErrNotExist)
		return found(out, "no session to resume")
	}})
	return append(probes, probe{"TLS 1.3, early data (0-RTT)", "200, not offered", func() string {
		file := filepath.Join(p.TempDir(), "session")
		out := p.ask(p.main, "-tls1_3", "-sess_out", file)
		session := program{path: p.openssl, args: []string{"sess_id", "-in", file, "-noout", "-text"}}.run(p.T)
		require.Contains(p, session.stdout, "Protocol  : TLSv1.3")
		if strings.Contains(session.stdout, "Max Early Data: 0") || !strings.Contains(session.stdout, "Max Early Data") {
			return found(out, "not offered")
		}
		return session.stdout
	}})
}

// identity are openssl's options for a client certificate of somebody's.
func (p *prober) identity(by *authority, until time.Time) []string {
	p.made++
	cert, key := by.sign(fmt.Sprintf("client-%d", p.made), until, "alice")
	return []string{"-cert", cert, "-key", key}
}

func (p *prober) clients() (probes []probe) {
	own, stranger := pairOf(p.sign("server", hence(time.Hour), "example.com")), newAuthority(p.T)
	good, expired, wrong := p.identity(p.authority, hence(time.Hour)), p.identity(p.authority, hence(-time.Hour)), p.identity(stranger, hence(time.Hour))
	gone := p.identity(p.authority, hence(time.Hour))
	crl := p.revoke(gone[1])
	ask := func(mode, rest string) *l7 {
		return p.listen("certificates: ["+own+"]", ", client_auth: "+mode+", client_ca: '"+p.file+"'"+rest)
	}
	required, requested := ask("require", ", client_crl: '"+crl+"'"), ask("request", "")
	f := func(l *l7, with, want string, version string, args []string) {
		probes = append(probes, probe{with, want, func() string {
			out := p.ask(l, append([]string{version}, args...)...)
			subject := regexp.MustCompile(`X-Forwarded-Client-Cert: (\S+)`).FindStringSubmatch(out)
			if subject == nil {
				return found(out, "no subject for the server")
			}
			return found(out, "server is told `"+subject[1]+"`")
		}})
	}
	const passes = "200, server is told `Subject=\"CN=alice,O=Tests\"`"
	for _, v := range [][2]string{{"TLS 1.2", "-tls1_2"}, {"TLS 1.3", "-tls1_3"}} {
		none := map[string]string{"TLS 1.2": "refused: handshake_failure", "TLS 1.3": "refused: certificate_required"}[v[0]]
		f(required, "`require`, "+v[0]+", none", none, v[1], nil)
		f(required, "`require`, "+v[0]+", of `client_ca`", passes, v[1], good)
		f(required, "`require`, "+v[0]+", of another authority", "refused: unknown_ca", v[1], wrong)
		f(required, "`require`, "+v[0]+", expired", "refused: certificate_expired", v[1], expired)
		f(required, "`require`, "+v[0]+", in `client_crl`", "refused: bad_certificate", v[1], gone)
	}
	probes = append(probes, probe{"`require`, a ticket from a listener with another `client_ca`", "refused: certificate_required", func() string {
		return p.elsewhere(own, stranger, wrong)
	}})
	f(requested, "`request`, none", "200, no subject for the server", "-tls1_3", nil)
	f(requested, "`request`, of `client_ca`", passes, "-tls1_3", good)
	f(requested, "`request`, of another authority", "refused: unknown_ca", "-tls1_3", wrong)
	return probes
}

// elsewhere gets a ticket with a certificate that the first listener takes, and shows it to a second one of the same process, whose tickets
// have the same keys, without a certificate that this one would take.
func (p *prober) elsewhere(own string, others *authority, identity []string) string {
	listener := func(ca string) string {
		return "{address: '127.0.0.1:0', tls: {certificates: [" + own + "], client_auth: require, client_ca: '" + ca + "'}}"
	}
	l := run{config: text("listen: ["+listener(others.file)+", "+strings.Replace(listener(p.file), "127.0.0.1", "127.0.0.2", 1)+"]",
		"backends: {'*': {servers: ['"+mirror(p.T).URL+"']}}")}.start(p.T)
	file := filepath.Join(p.TempDir(), "session")
	addrs := l.listening(2)
	if strings.HasPrefix(addrs[0], "127.0.0.2") {
		addrs[0], addrs[1] = addrs[1], addrs[0]
	}
	ask := func(addr string, args ...string) string {
		return p.say(addr, strings.NewReader(closing), append([]string{"-ign_eof", "-tls1_3"}, args...)...)
	}
	require.Equal(p, "200", verdict(ask(addrs[0], append(identity, "-sess_out", file)...)))
	require.Contains(p, ask(addrs[0], "-sess_in", file), "Reused")
	return verdict(ask(addrs[1], "-sess_in", file))
}

// revoke writes a list with one certificate on it.
func (p *prober) revoke(certFile string) string {
	p.Helper()
	content, err := os.ReadFile(certFile)
	require.NoError(p, err)
	block, _ := pem.Decode(content)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(p, err)
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: hence(-time.Hour), NextUpdate: hence(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: cert.SerialNumber, RevocationTime: hence(-time.Minute)}},
	}, p.cert, p.authority.key)
	require.NoError(p, err)
	file := filepath.Join(p.dir, "revoked.crl")
	p.write(file, "X509 CRL", der)
	return file
}

func (p *prober) ownCertificates() []probe {
	return []probe{
		{"expired", "the client refuses: certificate has expired; l7 warns", func() string {
			l := p.listen("certificates: ["+pairOf(p.sign("old", hence(-time.Minute), "example.com"))+"]", "")
			l.awaitText(`"warn"`, "old.pem")
			return verdict(p.ask(l)) + "; l7 warns"
		}},
		{"for another name than the client's", "the client refuses: hostname mismatch", func() string {
			return strings.ToLower(verdict(p.ask(p.main, "-verify_hostname", "unknown.test")))
		}},
		{"`tls: self`", "the client refuses: self-signed certificate", func() string {
			l := startFile(p.T, "listen: [{address: '127.0.0.1:0', tls: self}]", "backends: {'*': {servers: ['127.0.0.1:1']}}")
			return verdict(p.ask(l))
		}},
	}
}

func (p *prober) abuses() []probe {
	return []probe{
		{"renegotiation in TLS 1.2", "refused: unexpected_message", p.renegotiate},
		{"compression", "200, none", func() string {
			out := p.ask(p.main, "-tls1_2", "-comp")
			if !strings.Contains(out, "Compression: NONE") {
				return out
			}
			return found(out, "none")
		}},
		{"a record of 65,535 bytes in the handshake", "refused: record_overflow", func() string { return p.oversized(false) }},
		{"a record of 65,535 bytes after it", "refused: record_overflow", func() string { return p.oversized(true) }},
		{"plain HTTP on a TLS listener", "400, `plain HTTP on a port that wants TLS: use https`", func() string {
			got := p.main.raw(closing)
			p.main.awaitText("connection not taken", "plain HTTP on a listener that wants TLS")
			return fmt.Sprintf("%d, `%s`", got.StatusCode, strings.TrimSpace(strings.TrimPrefix(got.body, "400 Bad Request: ")))
		}},
		{"TLS on a plain listener", "400 `bad_request`, `control_byte` in the log", func() string {
			return p.onPlain("\x16\x03\x01\x00\xf1\x01\x00\x00\xed\x03\x03" + strings.Repeat("x", 200) + "\r\n" + strings.Repeat("x", 32))
		}},
		{"the same, and by chance no line feed in it", "400 `bad_request`, `control_byte` in the log", func() string {
			return p.onPlain("\x16\x03\x01\x00\xf1\x01\x00\x00\xed\x03\x03" + strings.Repeat("x", 234))
		}},
	}
}

// renegotiate has openssl ask for a new handshake on the same connection, which it does at a line with an R.
func (p *prober) renegotiate() string {
	reader, writer, err := os.Pipe()
	require.NoError(p, err)
	defer reader.Close()
	defer writer.Close() // after openssl has ended, because l7 has ended the connection
	_, err = io.WriteString(writer, "R\n")
	require.NoError(p, err)
	out := p.say(p.main.addr, reader, "-tls1_2")
	if !strings.Contains(out, "RENEGOTIATING") {
		return out
	}
	return verdict(out)
}

// oversized writes the head of a record that is longer than any may be (RFC 8446 section 5.1), which no TLS library can be brought to do.
func (p *prober) oversized(later bool) string {
	conn, err := net.Dial("tcp", p.main.addr)
	require.NoError(p, err)
	defer conn.Close()
	require.NoError(p, conn.SetDeadline(hence(patience)))
	if !later {
		_, err = conn.Write([]byte("\x16\x03\x01\xff\xff"))
		require.NoError(p, err)
		answer, err := io.ReadAll(conn)
		require.NoError(p, err)
		if len(answer) != 7 || answer[0] != 21 {
			return fmt.Sprintf("%q", answer)
		}
		return "refused: " + alerts[fmt.Sprint(answer[6])]
	}
	secure := tls.Client(conn, p.trusting("example.com"))
	require.NoError(p, secure.Handshake())
	_, err = conn.Write([]byte("\x17\x03\x03\xff\xff"))
	require.NoError(p, err)
	_, err = secure.Read(make([]byte, 1))
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: record overflow") {
		return fmt.Sprint(err)
	}
	return "refused: record_overflow"
}

// onPlain begins a handshake with a listener that speaks no TLS. It is not openssl who does, for the bytes of its hello are random, and the
// answer depends on whether there is a line feed among them.
func (p *prober) onPlain(hello string) string {
	l := startFile(p.T, listenAnywhere, "timeouts: {header: 500ms}", "backends: {'*': {servers: ['127.0.0.1:1']}}")
	got := l.raw(hello)
	word := regexp.MustCompile(`details="(\w+)"`).FindStringSubmatch(got.Header.Get("Proxy-Status"))
	require.Len(p, word, 2)
	why := l.awaitLog("request not passed on", 1).field("error")
	return fmt.Sprintf("%d `%s`, `%s` in the log", got.StatusCode, word[1], strings.TrimSpace(why[strings.LastIndex(why, ":")+1:]))
}

// servers are https servers of l7's, who show one certificate or another.
func (p *prober) servers() (probes []probe) {
	stranger := newAuthority(p.T)
	f := func(with, want string, by *authority, until time.Time, name string, edit func(*tls.Config)) {
		probes = append(probes, probe{with, want, func() string {
			p.made++
			pair, err := tls.LoadX509KeyPair(by.sign(fmt.Sprintf("api-%d", p.made), until, name))
			require.NoError(p, err)
			return p.through(func() string {
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				server.Config.ErrorLog = log.New(io.Discard, "", 0) // it is to be refused
				server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10}
				edit(server.TLS)
				server.StartTLS()
				p.Cleanup(server.Close)
				return server.URL
			})
		}})
	}
	as := func(*tls.Config) {}
	soon := hence(time.Hour)
	f("good", "200", p.authority, soon, "127.0.0.1", as)
	f("expired", "502 `bad_certificate`; log: the certificate of 127.0.0.1 expired on DATE", p.authority, hence(-time.Hour), "127.0.0.1", as)
	f("for another name", "502 `bad_certificate`; log: the certificate is not for 127.0.0.1, but for other.internal", p.authority, soon, "other.internal", as)
	f("of another authority", "502 `bad_certificate`; log: the certificate of 127.0.0.1 is from an authority that is not trusted: CN=test authority",
		stranger, soon, "127.0.0.1", as)
	f("TLS 1.1 at most", "502 `tls_failed`; log: remote error: tls: protocol version not supported", p.authority, soon, "127.0.0.1",
		func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 })
	f("another protocol alone (ALPN)", "502 `tls_failed`; log: remote error: tls: no application protocol", p.authority, soon, "127.0.0.1", func(c *tls.Config) {
		own := &tls.Config{Certificates: c.Certificates, MinVersion: tls.VersionTLS12, NextProtos: []string{"imap"}} // net/http adds http/1.1 to its own
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return own, nil }
	})
	return append(probes, probe{"plain HTTP in place of TLS", "502 `tls_failed`; log: the server answers in plain HTTP, not TLS", func() string {
		return p.through(func() string { return strings.Replace(mirror(p.T).URL, "http:", "https:", 1) })
	}})
}

var (
	// reason is the cause of an ejection, and what l7 says of the certificate before it quotes crypto/tls.
	reason = regexp.MustCompile(`for \S+: (\w+): https://\S+: (.+?): (?:tls: failed|tls: first|remote error)`)
	dates  = regexp.MustCompile(`on \d{4}-\d\d-\d\d [0-9:]+ UTC`)
)

// through asks a server through l7, and returns the status and the reason in the log where there is one. There are two servers of a kind,
// for the only one of a backend is not ejected, and then the log has no reason.
func (p *prober) through(start func() string) string {
	l := startFile(p.T, listenAnywhere,
		"backends: {example.com: {servers: ['"+start()+"', '"+start()+"'], eject: {after: 1}, tls: {ca_file: '"+p.file+"'}}}")
	got := l.get("http://example.com/")
	if got.StatusCode == http.StatusOK {
		return "200"
	}
	word := regexp.MustCompile(`details="(\w+)"`).FindStringSubmatch(got.Header.Get("Proxy-Status"))
	require.Len(p, word, 2)
	why := l.awaitLog("server changed", 1)
	require.Equal(p, "ejected", why.field("state"))
	clause := reason.FindStringSubmatch(why.field("reason"))
	require.Len(p, clause, 3, why.field("reason"))
	require.Equal(p, word[1], clause[1])
	return fmt.Sprintf("%d `%s`; log: %s", got.StatusCode, word[1], dates.ReplaceAllString(clause[2], "on DATE"))
}
