package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"runtime"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/sync/singleflight"
)

const (
	// maxMatches is far above the number of clients expected, for sets of a table fill unevenly: two clients
	// that keep evicting each other would cost a verification per request.
	maxMatches    = 16384
	maxMismatches = 1024
)

// Verifier remembers which password matched which stored hash; one per process, outlives reloads, safe for concurrent use.
//
// It remembers digests under a random key of the process and no passwords. That a password does or does not match a stored
// hash stays true for ever, so nothing expires; only the bounds of the tables make it forget.
// Mismatches are kept apart, since anybody can make as many as they like: they never push out a match.
type Verifier struct {
	key        digest // makes digests useless to whoever reads them, and their places in the tables unforeseeable
	matches    table
	mismatches table
	flights    singleflight.Group // equal questions asked at the same time are answered once
	slots      chan struct{}      // a place for each expensive verification that may run at once

	verify func(hash htpasswd.EncodedPasswd, password string) bool // expensive; tests count its calls
}

// NewVerifier returns a Verifier that knows nothing yet. Expensive verifications will use half of the CPUs
// that the process has now, at least one, and leave the rest to requests.
func NewVerifier() *Verifier {
	v := &Verifier{
		matches:    newTable(maxMatches),
		mismatches: newTable(maxMismatches),
		slots:      make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		verify:     htpasswd.EncodedPasswd.MatchesPassword,
	}
	rand.Read(v.key[:]) // never fails (crypto/rand)
	return v
}

// digest sums the same bytes as credentials.digest does for an equal text.
func (v *Verifier) digest(id *digest, text string) digest {
	input := append(v.key[:len(v.key):len(v.key)], id[:]...)
	return sha256.Sum256(append(input, text...))
}

// digestOf returns the id of a stored hash in its role.
func digestOf(role, stored string) digest {
	return sha256.Sum256([]byte(role + ":" + stored))
}

// recall is the fast path: it tells what is cheap to find out or remembered. The verdict on a stand-in's
// password is about that password, not about the login: the caller must refuse it whatever it is.
func (v *Verifier) recall(a *account, c *credentials, sum *digest) Verdict {
	switch a.kind {
	case plain:
		return verdictOf(subtle.ConstantTimeCompare(sum[:], a.expect[:]) == 1)
	case cheap:
		return verdictOf(a.hash.MatchesPassword(string(c.password())))
	default:
		return v.remembered(sum)
	}
}

func (v *Verifier) remembered(sum *digest) Verdict {
	switch {
	case v.matches.has(sum):
		return Accepted
	case v.mismatches.has(sum):
		return Refused
	default:
		return Unknown
	}
}

// decide is the slow path: it verifies the password and remembers the verdict, or waits for whoever is doing just that.
func (v *Verifier) decide(a *account, sum digest, password string) Verdict {
	verdict, _, _ := v.flights.Do(string(sum[:]), func() (any, error) {
		// An equal question may have been answered between our look at the tables and here.
		if verdict := v.remembered(&sum); verdict != Unknown {
			return verdict, nil
		}
		// A stand-in has done its work by being verified: its verdict is kept as a mismatch, as a known login's would be.
		verdict := verdictOf(v.run(a.hash, password) && a.known())
		if verdict == Accepted {
			v.matches.add(sum)
		} else {
			v.mismatches.add(sum)
		}
		return verdict, nil
	})
	return verdict.(Verdict)
}

// run verifies when there is a slot for it. The wait is first come, first served.
func (v *Verifier) run(hash htpasswd.EncodedPasswd, password string) bool {
	v.slots <- struct{}{}
	defer func() { <-v.slots }()
	return v.verify(hash, password)
}

func verdictOf(ok bool) Verdict {
	if ok {
		return Accepted
	}
	return Refused
}
