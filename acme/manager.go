// Package acme gets certificates from an authority that speaks ACME (RFC 8555), and renews them in time: certmagic does the work.
//
// It opens no listener that clients use and decides nothing about handshakes: who serves asks it for certificates, and for the answers to
// the authority's challenges. Certificates from files are not its matter.
package acme

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/rs/zerolog"
)

// Protocol is what ALPN offers besides http/1.1 for the challenge tls-alpn-01. A connection that negotiates it has nothing to say.
const Protocol = acmez.ACMETLS1Protocol

// ChallengePath is what the paths of http-01 begin with.
const ChallengePath = "/.well-known/acme-challenge/"

// Settings are an authority, who asks it, and for what.
type Settings struct {
	Account
	Hosts []string // in normal form: lower case, no port, no dot at the end
}

// Account is who asks for certificates, and whom. Settings with the same account share all but their hosts.
type Account struct {
	Email   string
	CA      string // the URL of the directory; empty: Let's Encrypt
	Root    string // PEM: what the CA's own certificate is verified by; empty: the system's roots
	Storage string // a folder, shared by instances that share clients

	HTTP01, TLSALPN01 bool // the challenges that can be answered
}

// ErrNotYet is part of the error of a handshake for a host whose certificate has not come yet.
var ErrNotYet = errors.New("the authority has not given a certificate yet")

// Manager holds the certificates of all accounts. It outlives reloads. All methods may be called concurrently.
type Manager struct {
	log zerolog.Logger

	configuring sync.Mutex   // held while settings are put in force; guards standIn and closed
	standIn     net.Listener // nil until there is an account
	closed      bool

	mu       sync.RWMutex // guards accounts; held shortly, for handshakes wait for it
	accounts map[Account]*account
}

// New returns a manager of nothing. Close it.
func New(log zerolog.Logger) *Manager { return &Manager{log: log, accounts: map[Account]*account{}} }

// loading is how long Add waits for what is in storage.
const loading = 3 * time.Second

// Add puts settings in force beside those that are. Certificates that are in storage can be shown when it returns; the others are asked for
// meanwhile, again and again. It asks no authority itself, so one that is down is no error.
func (m *Manager) Add(settings []Settings) error {
	m.configuring.Lock()
	defer m.configuring.Unlock()
	if m.closed || len(settings) == 0 {
		return nil
	}
	if err := m.stand(); err != nil {
		return err
	}
	var searched []<-chan struct{}
	for key, hosts := range byAccount(settings) {
		searched = append(searched, m.account(key).add(hosts)...)
	}
	awaitAll(searched, loading)
	return nil
}

// Keep ends all that is not among the settings: it is not asked for any more, and stays in storage.
func (m *Manager) Keep(settings []Settings) {
	m.configuring.Lock()
	defer m.configuring.Unlock()
	wanted := byAccount(settings)
	m.drop(func(key Account) bool { return wanted[key] == nil })
	if len(wanted) == 0 {
		m.sitDown()
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for key, a := range m.accounts {
		a.keep(wanted[key])
	}
}

func byAccount(settings []Settings) map[Account][]string {
	hosts := map[Account][]string{}
	for _, s := range settings {
		hosts[s.Account] = append(hosts[s.Account], s.Hosts...)
	}
	return hosts
}

// account finds or makes one.
func (m *Manager) account(key Account) *account {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accounts[key] == nil {
		m.accounts[key] = newAccount(key, m.standIn.Addr(), m.log)
	}
	return m.accounts[key]
}

// drop ends accounts.
func (m *Manager) drop(which func(Account) bool) {
	var dropped []*account
	m.mu.Lock()
	for key, a := range m.accounts {
		if which(key) {
			dropped = append(dropped, a)
			delete(m.accounts, key)
		}
	}
	m.mu.Unlock()
	for _, a := range dropped {
		a.close()
	}
}

// awaitAll waits until all channels are closed, or a time is over.
func awaitAll(all []<-chan struct{}, limit time.Duration) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for _, done := range all {
		select {
		case <-done:
		case <-timeout.C:
			return
		}
	}
}

// Challenge returns the certificate that answers tls-alpn-01 (RFC 8737), and nil for a client that is not an authority who asks.
func (m *Manager) Challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != Protocol {
		return nil, nil
	}
	host := strings.ToLower(hello.ServerName)
	for _, a := range m.of(host) {
		if a.TLSALPN01 {
			return a.config.GetCertificate(hello)
		}
	}
	return nil, fmt.Errorf("no certificate is wanted for %q, which is to be proved ours", host)
}

// GetCertificate returns the certificate for the name that the client asks for. It is nil where none is wanted for that name, and the
// error is ErrNotYet with what keeps it where one is.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	var missing error
	for _, a := range m.of(host) {
		choices := a.cache.AllMatchingCertificates(host)
		if len(choices) == 0 {
			missing = a.whyNot(host)
			continue
		}
		found, err := certmagic.DefaultCertificateSelector(hello, choices)
		return &found.Certificate, err
	}
	return nil, missing
}

// HTTP01 returns the answer to a request for ChallengePath. It is not ok where nobody has been told to ask for it.
func (m *Manager) HTTP01(host, path string) (answer string, ok bool) {
	for _, a := range m.of(host) {
		if answer, ok = a.answer(host, path); ok {
			return answer, true
		}
	}
	return "", false
}

// of are the accounts that want a certificate for a host.
func (m *Manager) of(host string) (found []*account) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, a := range m.accounts {
		if a.wants(host) {
			found = append(found, a)
		}
	}
	return found
}

// Expiry tells until when a certificate is valid.
type Expiry struct {
	Names    []string
	NotAfter time.Time
	Late     bool // it should have been renewed by now
}

// lateBefore is the part of a certificate's life that is left when it is late to renew it; a third is left when certmagic begins to try.
const lateBefore = 6

// Expiries tells until when the certificates are valid, by their first names.
func (m *Manager) Expiries() (all []Expiry) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, a := range m.accounts {
		for _, c := range a.certificates() {
			late := time.Until(c.Leaf.NotAfter) < c.Lifetime()/lateBefore
			all = append(all, Expiry{Names: c.Names, NotAfter: c.Leaf.NotAfter, Late: late})
		}
	}
	slices.SortFunc(all, func(a, b Expiry) int { return strings.Compare(a.Names[0], b.Names[0]) })
	return all
}

// Close ends all that is under way, so that another instance need not wait for the locks that are held.
func (m *Manager) Close() {
	m.configuring.Lock()
	defer m.configuring.Unlock()
	m.closed = true
	m.drop(func(Account) bool { return true })
	m.sitDown()
}
