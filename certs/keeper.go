package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNoCertificate is returned to a handshake when there is not even a default.
var ErrNoCertificate = errors.New("there is no certificate")

// Keeper holds the store that is in force. All methods may be called concurrently.
type Keeper struct {
	pairs []Pair
	store atomic.Pointer[Store]

	mu sync.Mutex // held while files are read, so that an older reading never replaces a newer one
}

// NewKeeper reads the pairs. Those that are broken are taken from the keeper before, which may be nil, and that is a warning; the error
// joins a *PairError for each that is not to be had there. The keeper before is left as it is, so that a config that fails elsewhere
// has changed nothing.
func NewKeeper(pairs []Pair, before *Keeper) (k *Keeper, warnings []string, err error) {
	var old *Store
	if before != nil {
		old = before.store.Load()
	}
	store, broken := load(pairs, old)
	var missing []error
	for _, failed := range broken {
		pairError, _ := errors.AsType[*PairError](failed) // load returns no others
		if old.entry(pairs[pairError.Index]) == nil {
			missing = append(missing, failed)
			continue
		}
		warnings = append(warnings, fmt.Sprintf("%v; the certificate before stays in use", failed))
	}
	if len(missing) > 0 {
		return nil, nil, errors.Join(missing...)
	}
	k = &Keeper{pairs: slices.Clone(pairs)}
	k.store.Store(store)
	return k, append(warnings, store.warnings(time.Now())...), nil
}

// Reload reads the same files again. It returns the certificates that were not in force before, and warnings of these. Of a broken pair the
// certificate before stays in use, and the error joins a *PairError for each of them; all others are renewed. To replace the files of a pair
// one after the other is right: between the two the pair does not match.
func (k *Keeper) Reload() (renewed []Expiry, warnings []string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.store.Load()
	store, broken := load(k.pairs, before)
	k.store.Store(store)
	for _, e := range store.entries {
		if !slices.Contains(before.entries, e) {
			renewed = append(renewed, e.expiry())
			warnings = append(warnings, e.warnings(time.Now())...)
		}
	}
	return renewed, warnings, errors.Join(broken...)
}

// Store returns the certificates in force.
func (k *Keeper) Store() *Store { return k.store.Load() }

// Files are the files to watch.
func (k *Keeper) Files() []string {
	files := make([]string, 0, 2*len(k.pairs))
	for _, pair := range k.pairs {
		files = append(files, pair.Cert, pair.Key)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// Lookup returns the certificate for the name that the client asks for, or nil: then another source may be asked before the default.
func (k *Keeper) Lookup(hello *tls.ClientHelloInfo) *tls.Certificate {
	return k.store.Load().Get(nameWanted(hello), hello)
}

// GetCertificate is for tls.Config: it returns the certificate for the name that the client asks for, or else the default.
// ServerOptions.StrictSNI refuses that.
func (k *Keeper) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	store := k.store.Load()
	if cert := store.Get(nameWanted(hello), hello); cert != nil {
		return cert, nil
	}
	if cert := store.defaultFor(hello); cert != nil {
		return cert, nil
	}
	return nil, ErrNoCertificate
}
