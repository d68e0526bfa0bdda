package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"l7/acme"
	"l7/certs"
	"l7/config"
	"l7/server"
)

// keepers are the certificates in force, by listener. All methods may be called concurrently.
type keepers struct {
	mu   sync.Mutex // guards all below
	of   map[config.ListenAddress]*certs.Keeper
	self *selfSigned // nil until one is wanted
}

// selfSigned is a certificate of our own making. A reload keeps it, or clients would have to trust another one.
type selfSigned struct {
	certificate *tls.Certificate
	print       string
}

func (s *selfSigned) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate, nil }

// selfSigned finds or makes the certificate.
func (k *keepers) selfSigned() (*selfSigned, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.self != nil {
		return k.self, nil
	}
	name, _ := os.Hostname() // or none
	made, err := certs.SelfSigned([]string{name}, time.Now())
	if err != nil {
		return nil, err
	}
	k.self = &selfSigned{made, certs.Fingerprint(made)}
	return k.self, nil
}

func (k *keepers) get(address config.ListenAddress) *certs.Keeper {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.of[address]
}

func (k *keepers) set(of map[config.ListenAddress]*certs.Keeper) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of = of
}

// all are the keepers in force.
func (k *keepers) all() []*certs.Keeper {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Values(k.of))
}

// listening is what a config makes of its listeners.
type listening struct {
	listens  []server.Listen
	keepers  map[config.ListenAddress]*certs.Keeper
	files    []string // of TLS, to be watched
	warnings []string
	findings []config.Finding

	hosts       []string // that select backends, but wildcards and addresses
	authorities []acme.Settings
}

// listeners reads what the listeners of a config need. Nothing of it is in force yet.
func listeners(loaded *config.Loaded, cfg *config.Config, parts Parts) *listening {
	l := &listening{keepers: map[config.ListenAddress]*certs.Keeper{}, hosts: exactHosts(cfg)}
	for i := range cfg.Listen {
		from := &cfg.Listen[i]
		mode, _ := strconv.ParseUint(from.Mode, 8, 32) // it was checked when it was loaded
		l.listens = append(l.listens, server.Listen{
			Address: from.Address, Mode: uint32(mode),
			Rules: server.Rules{Proxies: from.ProxyProtocol.Trusted, Allow: from.Allow, Deny: from.Deny, Redirect: from.RedirectHTTPS},
		})
		if from.TLS.On() {
			l.secure(i, from, beside(loaded), parts)
		}
	}
	return l
}

// beside returns a function that finds a file by a name that is meant from the folder of the config file.
func beside(loaded *config.Loaded) func(name string) string {
	return func(name string) string {
		if name == "" || filepath.IsAbs(name) || loaded.File == "" {
			return name
		}
		return filepath.Join(filepath.Dir(loaded.File), name)
	}
}

// secure has the i-th listener speak TLS.
func (l *listening) secure(i int, from *config.Listener, file func(string) string, parts Parts) {
	where := []string{"listen", strconv.Itoa(i), "tls"}
	t := &from.TLS
	options := certs.ServerOptions{
		MinVersion: t.MinVersion, CipherSuites: t.CipherSuites, StrictSNI: t.StrictSNI, Tickets: parts.tickets,
		ClientAuth: t.ClientAuth, ClientCA: file(t.ClientCA), ClientCRL: file(t.ClientCRL),
	}
	if t.Certificate == "self" {
		own, err := parts.certs.selfSigned()
		if err != nil {
			l.findings = append(l.findings, config.Finding{Path: where, Text: err.Error()})
			return
		}
		options.GetCertificate = own.get
		l.warnings = append(l.warnings, fmt.Sprintf("%s shows a certificate of its own making, for development; its SHA-256 fingerprint is %s", from.Address, own.print))
	} else {
		keeper, err := l.keep(from, file, parts)
		if err != nil {
			l.blame(err, append(slices.Clone(where), "certificates"))
			return
		}
		options.GetCertificate = keeper.GetCertificate
		if t.ACME.On() {
			options.GetCertificate = sources{keeper, parts.acme}.get
			if l.authority(where, &t.ACME, file).TLSALPN01 {
				options.Protos = []string{acme.Protocol}
			}
		}
	}
	cfg, warnings, err := certs.NewServerConfig(options)
	if err != nil {
		l.findings = append(l.findings, config.Finding{Path: where, Text: err.Error()})
		return
	}
	l.files = append(l.files, options.Files()...)
	l.warnings = append(l.warnings, warnings...)
	l.listens[len(l.listens)-1].TLS = cfg
}

// keep reads the certificates of a listener's files.
func (l *listening) keep(from *config.Listener, file func(string) string, parts Parts) (*certs.Keeper, error) {
	var pairs []certs.Pair
	for _, c := range from.TLS.Certificates {
		pairs = append(pairs, certs.Pair{Cert: file(c.Cert), Key: file(c.Key)})
	}
	keeper, warnings, err := certs.NewKeeper(pairs, parts.certs.get(from.Address))
	if err != nil {
		return nil, err
	}
	l.keepers[from.Address] = keeper
	l.files = append(l.files, keeper.Files()...)
	l.warnings = append(l.warnings, warnings...)
	return keeper, nil
}

// blame gives each pair that cannot be used its place.
func (l *listening) blame(err error, where []string) {
	joined, several := err.(interface{ Unwrap() []error })
	if !several {
		l.findings = append(l.findings, config.Finding{Path: where, Text: err.Error()})
		return
	}
	for _, err := range joined.Unwrap() {
		path := where
		if pair, ok := err.(*certs.PairError); ok { //nolint:errorlint // as NewKeeper joins them
			path = append(slices.Clone(where), strconv.Itoa(pair.Index))
		}
		l.findings = append(l.findings, config.Finding{Path: path, Text: err.Error()})
	}
}

// renewCertificates reads the files of the certificates again, because some have changed.
func (a *App) renewCertificates() {
	for _, keeper := range a.parts.certs.all() {
		warnings, err := keeper.Reload()
		if err != nil {
			a.log.Error().Err(err).Msg("cannot renew a certificate; the one before stays in use")
		}
		for _, w := range warnings {
			a.log.Warn().Msg(w)
		}
		for _, e := range keeper.Store().Expiries() {
			a.log.Info().Str("file", e.File).Strs("names", e.Names).Time("until", e.NotAfter).Msg("certificate in use")
		}
	}
}

// expiring is when a certificate is worth a warning each day.
const expiring = 14 * 24 * time.Hour

// warnOfExpiry logs the certificates that end soon, once a day, until stop is closed.
func (a *App) warnOfExpiry(stop <-chan struct{}) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		for _, keeper := range a.parts.certs.all() {
			for _, e := range keeper.Store().Expiries() {
				if left := time.Until(e.NotAfter); left < expiring {
					a.log.Warn().Str("file", e.File).Strs("names", e.Names).Time("until", e.NotAfter).Msg("a certificate ends soon")
				}
			}
		}
		for _, e := range a.parts.acme.Expiries() {
			if e.Late {
				a.log.Warn().Strs("names", e.Names).Time("until", e.NotAfter).Msg("a certificate ends soon")
			}
		}
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// rotateTickets makes new keys for session tickets now and then, until stop is closed.
func (a *App) rotateTickets(stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	go a.parts.tickets.Run(ctx)
	<-stop
	cancel()
}
