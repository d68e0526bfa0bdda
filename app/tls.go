package app

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
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
	"l7/unixsocket"
)

// keepers are what was read of the files of listeners, and is in force. All methods may be called concurrently.
type keepers struct {
	mu   sync.Mutex // guards all below
	kept kept
	self *selfSigned // nil until one is wanted
}

// kept is what listeners read of files.
type kept struct {
	certs   map[config.ListenAddress]*certs.Keeper
	clients []*certs.Clients
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
	return k.kept.certs[address]
}

func (k *keepers) set(kept kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = kept
}

// all are the certificates in force.
func (k *keepers) all() []*certs.Keeper {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Values(k.kept.certs))
}

// clients are what is in force for certificates of clients.
func (k *keepers) clients() []*certs.Clients {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept.clients
}

// listening is what a config makes of its listeners.
type listening struct {
	listens  []server.Listen
	keepers  kept
	files    []string // of TLS, to be watched
	warnings []string
	findings []config.Finding

	loaded      *config.Loaded
	hosts       []string // that select backends, but wildcards and addresses
	authorities []acme.Settings
}

// listeners reads what the listeners of a config need. Nothing of it is in force yet.
func listeners(loaded *config.Loaded, cfg *config.Config, parts Parts) *listening {
	l := &listening{keepers: kept{certs: map[config.ListenAddress]*certs.Keeper{}}, loaded: loaded, hosts: exactHosts(cfg)}
	for i := range cfg.Listen {
		from := &cfg.Listen[i]
		mode, _ := strconv.ParseUint(from.Mode, 8, 32) // it was checked when it was loaded
		l.listens = append(l.listens, server.Listen{
			Address: from.Address, Permission: unixsocket.Permission{Mode: fs.FileMode(mode), Owner: l.owner(i, from)},
			Rules: server.Rules{Proxies: from.ProxyProtocol.Trusted, Allow: from.Allow, Deny: from.Deny, Redirect: from.RedirectHTTPS},
		})
		if from.TLS.On() {
			l.secure(i, from, beside(loaded), parts)
		}
	}
	return l
}

func (l *listening) find(text string, path ...string) {
	l.findings = append(l.findings, config.Finding{Path: slices.Clone(path), Text: text})
}

func (l *listening) warn(text string, path ...string) {
	l.warnings = append(l.warnings, l.loaded.Problem(path, text).Error())
}

// owner finds whom a unix socket is to belong to.
func (l *listening) owner(i int, from *config.Listener) *unixsocket.Owner {
	if from.Owner == "" {
		return nil
	}
	owner, err := unixsocket.LookUpOwner(from.Owner)
	if err != nil {
		l.find(err.Error(), "listen", strconv.Itoa(i), "owner")
	}
	return owner
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
	}
	var wrong [3]error // all of them are told
	if t.Certificate == "self" {
		options.GetCertificate, wrong[0] = l.self(from, parts)
	} else {
		var keeper *certs.Keeper
		keeper, wrong[0] = l.keep(from, file, parts)
		options.GetCertificate = keeper.GetCertificate
		if t.ACME.On() {
			wanted := l.authority(where, t, file)
			options.GetCertificate = sources{keeper, parts.acme, firstHost(t.ACME.Hosts, wanted.Hosts)}.get
			if wanted.TLSALPN01 {
				options.Protos = []string{acme.Protocol}
			}
		}
	}
	options.Clients, wrong[1] = l.clients(t, file)
	l.listens[len(l.listens)-1].TLS, wrong[2] = certs.NewServerConfig(options)
	for _, m := range certs.Mistakes(errors.Join(wrong[:]...)) {
		l.find(m.Text, slices.Concat(where, m.Path)...)
	}
}

// self has a listener show a certificate of our own making.
func (l *listening) self(from *config.Listener, parts Parts) (get func(*tls.ClientHelloInfo) (*tls.Certificate, error), err error) {
	own, err := parts.certs.selfSigned()
	if err != nil {
		return nil, err
	}
	text := from.Address.String() + " shows a certificate of its own making, for development"
	if parts.lookUp != nil { // or else nothing is served, and nobody sees this one
		text += "; its SHA-256 fingerprint is " + own.print
	}
	l.warnings = append(l.warnings, text)
	return own.get, nil
}

// clients reads whose certificates a listener's clients may show; nil: they are not asked.
func (l *listening) clients(t *config.TLS, file func(string) string) (*certs.Clients, error) {
	if t.ClientAuth == "off" || t.ClientCA == "" {
		return nil, nil // the one without the other has been reported
	}
	clients, warnings, err := certs.NewClients(t.ClientAuth, file(t.ClientCA), file(t.ClientCRL))
	if err != nil {
		return nil, err
	}
	l.keepers.clients = append(l.keepers.clients, clients)
	l.files = append(l.files, clients.Files()...)
	l.warnings = append(l.warnings, warnings...)
	return clients, nil
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
	l.keepers.certs[from.Address] = keeper
	l.files = append(l.files, keeper.Files()...)
	l.warnings = append(l.warnings, warnings...)
	return keeper, nil
}

// renewCertificates reads the files of certificates, authorities and revocations again, because some have changed. A reload that is under way,
// which may have read them before they changed, does so too at its end.
func (a *App) renewCertificates() {
	told := map[string]bool{}
	for _, keeper := range a.parts.certs.all() {
		renewed, warnings, err := keeper.Reload()
		if err != nil {
			a.log.Error().Err(err).Msg("cannot renew a certificate; the one before stays in use")
		}
		for _, w := range warnings {
			a.log.Warn().Msg(w)
		}
		for _, e := range renewed {
			if !told[e.File] { // several listeners may have it
				a.log.Info().Str("file", e.File).Strs("names", e.Names).Time("until", e.NotAfter).Msg("certificate renewed")
			}
			told[e.File] = true
		}
	}
	a.renewClients()
}

// readAgain reads again what may have changed after it was read for the config in force, and before it was watched. Which certificates are
// broken has been said when they were read.
func (a *App) readAgain() {
	for _, keeper := range a.parts.certs.all() {
		_, _, _ = keeper.Reload()
	}
	a.renewClients()
}

// renewClients reads the files about certificates of clients again.
func (a *App) renewClients() {
	for _, clients := range a.parts.certs.clients() {
		changed, err := clients.Reload()
		switch {
		case err != nil:
			a.log.Error().Err(err).Msg("cannot renew client_ca and client_crl; what was read before stays in force")
		case changed:
			a.log.Info().Strs("files", clients.Files()).Msg("client_ca and client_crl renewed")
			a.warnOfLists(clients)
		}
	}
}

// warnOfLists logs the CRLs that are out of date.
func (a *App) warnOfLists(clients *certs.Clients) {
	for _, w := range clients.Warnings(time.Now()) {
		a.log.Warn().Msg(w)
	}
}

// expiring is when a certificate is worth a warning each day.
const expiring = 14 * 24 * time.Hour

// warnOfExpiry logs the certificates that end soon and the CRLs that are out of date, once a day, until stop is closed.
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
			for _, clients := range a.parts.certs.clients() { // at the start they are warned of where they are read
				a.warnOfLists(clients)
			}
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
