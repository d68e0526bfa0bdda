package acme

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
	proto "github.com/mholt/acmez/v3/acme"
)

// obtain has a certificate for a host in memory when it returns: from storage, or else from the authority, which is asked until it gives
// one. searched is closed when storage has been searched.
func (a *account) obtain(ctx context.Context, name string, searched chan<- struct{}) {
	err := a.load(ctx, name)
	close(searched)
	if err == nil {
		return
	}
	if !errors.Is(err, fs.ErrNotExist) {
		a.log.Error().Str("host", name).Err(err).Msg("cannot read a certificate from storage")
	}
	var refusals, failures int
	// certmagic asks Let's Encrypt's staging authority first after a refusal, because the real one counts them.
	ctx = context.WithValue(ctx, certmagic.AttemptsCtxKey, &refusals)
	for got := false; !got && ctx.Err() == nil; {
		err := a.ask(ctx, name)
		if err == nil || ctx.Err() != nil {
			return
		}
		var length time.Duration
		if errors.As(err, new(proto.Problem)) {
			length = backoff(time.Minute, 6*time.Hour, refusals)
			refusals++
		} else {
			length = backoff(time.Second, 5*time.Minute, failures)
			failures++
		}
		a.blame(name, err)
		a.log.Error().Str("host", name).Err(err).Stringer("again_in", length).Msg("cannot get a certificate")
		got = a.pause(ctx, name, length)
	}
}

// load takes a certificate from storage into memory. The error is fs.ErrNotExist where there is none.
func (a *account) load(ctx context.Context, name string) error {
	cert, err := a.config.CacheManagedCertificate(ctx, name)
	if err == nil {
		a.log.Info().Str("host", name).Time("until", cert.Leaf.NotAfter).Msg("certificate in use")
		a.hurry()
	}
	return err
}

// peek is how often storage is searched for what another instance has got.
const peek = 5 * time.Second

// pause waits before the authority is asked again. It is true when another instance that shares the storage has got the certificate.
func (a *account) pause(ctx context.Context, name string, length time.Duration) bool {
	for ; length > 0 && ctx.Err() == nil; length -= peek {
		wait(ctx, min(length, peek))
		if a.load(ctx, name) == nil {
			return true
		}
	}
	return false
}

// ask asks the authority for a certificate, unless another instance has got one meanwhile.
func (a *account) ask(ctx context.Context, name string) error {
	if err := a.config.ObtainCertSync(ctx, name); err != nil {
		return err
	}
	if err := a.load(ctx, name); err != nil {
		return fmt.Errorf("cannot read what was got: %w", err)
	}
	if ctx.Err() != nil { // nobody wants it any more
		a.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
	}
	return ctx.Err()
}

// backoff doubles a pause for each failure before, up to a longest one.
func backoff(first, longest time.Duration, before int) time.Duration {
	return min(first<<min(before, 20), longest)
}

func wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

const (
	looks     = 20 // how often a certificate is looked at in its life, at least
	oftenLook = time.Second
	rareLook  = certmagic.DefaultRenewCheckInterval
)

// tend renews certificates in time, until close. certmagic looks at them every ten minutes by itself, which is too rare for those that live
// for minutes; and it takes ten minutes as what it may be late by, so that it has to be told.
func (a *account) tend() {
	for {
		interval := a.interval()
		a.cache.SetOptions(certmagic.CacheOptions{
			GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil }, RenewCheckInterval: interval,
		})
		if err := a.cache.RenewManagedCertificates(a.ctx); err != nil {
			a.log.Error().Err(err).Msg("cannot look for certificates to renew")
		}
		timer := time.NewTimer(interval)
		select {
		case <-timer.C:
		case <-a.look:
			timer.Stop()
		case <-a.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// interval is the time from one look to the next.
func (a *account) interval() time.Duration {
	interval := time.Duration(rareLook)
	for _, c := range a.certificates() {
		interval = min(interval, c.Lifetime()/looks)
	}
	return max(interval, oftenLook)
}

// hurry has the certificates looked at now, because one has come.
func (a *account) hurry() {
	select {
	case a.look <- struct{}{}:
	default: // somebody else was here before
	}
}

// event logs what certmagic has done. It asks for certificates in obtain and says there why it could not, so that is not told twice.
func (a *account) event(_ context.Context, event string, data map[string]any) error {
	renewal, _ := data["renewal"].(bool)
	name, _ := data["identifier"].(string)
	switch {
	case event == "cert_obtained" && renewal:
		a.blame(name, nil)
		a.log.Info().Str("host", name).Msg("certificate renewed")
	case event == "cert_obtained":
		a.blame(name, nil)
		a.log.Info().Str("host", name).Msg("certificate obtained")
	case event == "cert_failed" && renewal:
		why, _ := data["error"].(error)
		a.log.Error().Str("host", name).AnErr("error", why).Msg("cannot renew a certificate; the one before stays in use")
	}
	return nil
}
