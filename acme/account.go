package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/rs/zerolog"
	"go.uber.org/zap"
)

// account gets and keeps the certificates of one authority.
type account struct {
	Account
	log    zerolog.Logger
	cache  *certmagic.Cache
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer

	ctx    context.Context // until close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	look   chan struct{} // has a token when a certificate has come, so that the next look at them is not too late

	mu    sync.Mutex // guards hosts and what is in them
	hosts map[string]*host
}

// host is one that a certificate is wanted for.
type host struct {
	cancel context.CancelFunc
	why    error // what keeps the certificate; nil: nothing but time
}

// newAccount begins to look after certificates, of which there are none yet.
func newAccount(key Account, standIn net.Addr, log zerolog.Logger) *account {
	a := &account{Account: key, log: log, hosts: map[string]*host{}, look: make(chan struct{}, 1)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	logger := zap.New(bridge{log: log})
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		Logger:           logger,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: key.Storage}, Logger: logger, OnEvent: a.event,
		ShouldEmitFunc: func(event string) bool { return event == "cert_obtained" || event == "cert_failed" },
	})
	a.issuer = certmagic.NewACMEIssuer(a.config, a.template(standIn, logger))
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	a.tasks.Go(a.tend)
	return a
}

func (a *account) template(standIn net.Addr, logger *zap.Logger) certmagic.ACMEIssuer {
	address, _ := netip.ParseAddrPort(standIn.String()) // as it listens there
	t := certmagic.ACMEIssuer{
		CA: a.CA, Email: a.Email, Agreed: true, Logger: logger,
		DisableHTTPChallenge: !a.HTTP01, DisableTLSALPNChallenge: !a.TLSALPN01,
		ListenHost: address.Addr().String(), AltHTTPPort: int(address.Port()), AltTLSALPNPort: int(address.Port()),
	}
	if a.Root != "" {
		t.TrustedRoots = x509.NewCertPool()
		t.TrustedRoots.AppendCertsFromPEM([]byte(a.Root)) // CheckRoot has seen it
	}
	return t
}

// CheckRoot says what is wrong with an Account's Root.
func CheckRoot(pem string) error {
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		return errors.New("there is no certificate in it")
	}
	return nil
}

// add has certificates for further hosts. Each channel is closed when storage has been searched for a host that is new.
func (a *account) add(hosts []string) (searched []<-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range hosts {
		if a.hosts[name] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(a.ctx)
		a.hosts[name] = &host{cancel: cancel}
		done := make(chan struct{})
		searched = append(searched, done)
		a.tasks.Go(func() { a.obtain(ctx, name, done) })
	}
	return searched
}

// keep has certificates for these hosts alone.
func (a *account) keep(hosts []string) {
	wanted := make(map[string]bool, len(hosts))
	for _, name := range hosts {
		wanted[name] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, h := range a.hosts {
		if !wanted[name] {
			h.cancel()
			delete(a.hosts, name)
			a.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
		}
	}
}

func (a *account) wants(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hosts[name] != nil
}

func (a *account) blame(name string, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.hosts[name]; h != nil {
		h.why = why
	}
}

// whyNot is why a host has no certificate.
func (a *account) whyNot(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.hosts[name]; h != nil && h.why != nil {
		return fmt.Errorf("cannot show a certificate for %q: %w: %w", name, ErrNotYet, h.why)
	}
	return fmt.Errorf("cannot show a certificate for %q: %w", name, ErrNotYet)
}

// certificates are those that there are.
func (a *account) certificates() (all []certmagic.Certificate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.hosts {
		for _, c := range a.cache.AllMatchingCertificates(name) {
			if c.Leaf != nil {
				all = append(all, c)
			}
		}
	}
	return all
}

// answer is the answer to http-01, also where another instance has asked for the certificate.
func (a *account) answer(host, path string) (string, bool) {
	if !a.HTTP01 {
		return "", false
	}
	w := &words{header: http.Header{}}
	r := &http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Path: path}}
	ok := a.issuer.HandleHTTPChallenge(w, r)
	return w.text.String(), ok
}

// words is a response that is kept.
type words struct {
	header http.Header
	text   strings.Builder
}

func (w *words) Header() http.Header         { return w.header }
func (w *words) Write(p []byte) (int, error) { return w.text.Write(p) }
func (w *words) WriteHeader(int)             {}

// closing is how long close waits for what has been told to end.
const closing = 2 * time.Second

// close ends what is under way. Who waits for an answer of the authority or for a lock gives up at once.
func (a *account) close() {
	a.cancel()
	done := make(chan struct{})
	go func() {
		a.tasks.Wait()
		a.cache.Stop()
		close(done)
	}()
	awaitAll([]<-chan struct{}{done}, closing)
}
