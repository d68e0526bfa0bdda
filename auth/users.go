// Package auth answers who a request is from: HTTP Basic authentication (RFC 7617) against plain and hashed passwords.
//
// It takes the value of an Authorization field and a set of logins, and says whose they are, in the same time and with the
// same work whether the login exists or not. An expensive hash (bcrypt, apr1, sha-crypt) is computed once per credentials and
// remembered, so a returning client costs well under a microsecond. A set is immutable: a reload builds a new one, and what the
// Verifier remembers stays true, because the stored hash is part of what it remembers by.
//
// It does not log, open files, write responses or read other schemes; it does not delay or count failed logins (that is the
// rate limit's work), and it compares names and passwords byte by byte, without Unicode normalisation. No error of this
// package contains a password or a hash.
package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Challenge is the value of the WWW-Authenticate field that belongs to a 401 (RFC 7617 section 2).
const Challenge = `Basic realm="l7", charset="UTF-8"`

// Verdict is what is known about credentials.
type Verdict uint8

// The zero Verdict lets nobody in.
const (
	Unknown  Verdict = iota // only Peek says so: telling would take an expensive verification
	Refused                 // answer 401
	Accepted                // the login is who it says
)

func (v Verdict) String() string {
	return [...]string{"unknown", "refused", "accepted"}[v]
}

// Users is an immutable set of logins, shared by all requests that one config serves.
type Users struct {
	v        *Verifier
	accounts map[string]*account
	// standIns are what unknown logins are verified against: one for each account, so that an unknown login costs
	// what some known one costs, also in a set that mixes kinds of hashes.
	standIns []*account
	// seed keys the choice of a stand-in. It is made of the slow hashes, with their salts: nobody outside knows it, and
	// all processes with the same config have the same one, so a restart or a fleet does not tell which login is unknown.
	seed digest
}

// account is one login and how its password is verified. A stand-in is an account without a login.
type account struct {
	login string
	password
	id     digest // stands for the stored hash in digests; unequal for an account and its stand-in
	expect digest // plain text only: the digest of the right credentials
}

func (a *account) known() bool { return a.login != "" }

// New compiles logins and their passwords, which are plain text or htpasswd-style hashes: bcrypt ($2y$ $2a$ $2b$), apr1 ($apr1$),
// {SHA}, {SSHA}, sha256-crypt ($5$), sha512-crypt ($6$). What looks like a hash and is none of these, or is malformed, is an
// error and never taken as plain text. Of a password bcrypt reads 72 bytes, as everywhere.
// Errors name the login and not the value; all of them are joined.
// A set without logins accepts nobody: to turn authentication off, do not ask it.
func New(v *Verifier, users map[string]string) (*Users, error) {
	u := &Users{v: v, accounts: make(map[string]*account, len(users))}
	var errs []error
	// In order of names, which the seed and the stand-ins then do not owe to chance.
	for _, login := range slices.Sorted(maps.Keys(users)) {
		p, err := compile(login, users[login])
		if err != nil {
			errs = append(errs, &LoginError{login, err})
			continue
		}
		u.add(login, p)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return u, nil
}

// LoginError says what is wrong with one login of a set. New joins one for each.
type LoginError struct {
	Login string
	Err   error // does not show the password
}

func (e *LoginError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *LoginError) Unwrap() error { return e.Err }

func (u *Users) add(login string, p password) {
	a := &account{login: login, password: p}
	standIn := &account{password: p}
	if p.kind == plain {
		a.expect = u.v.digest(&a.id, login+":"+p.stored)
		standIn.expect = a.expect // never met, as the login differs; compared all the same
	} else {
		a.id = digestOf("account", p.stored)
		standIn.id = digestOf("stand-in", p.stored)
	}
	if p.kind == costly {
		u.seed = sha256.Sum256(append(u.seed[:], p.stored...))
	}
	u.accounts[login] = a
	u.standIns = append(u.standIns, standIn)
}

// Len returns the number of logins.
func (u *Users) Len() int { return len(u.accounts) }

// Plain returns the logins whose password is kept as plain text, sorted, for the caller to warn about.
func (u *Users) Plain() []string {
	var logins []string
	for login, a := range u.accounts {
		if a.kind == plain {
			logins = append(logins, login)
		}
	}
	slices.Sort(logins)
	return logins
}

// Check verifies the value of an Authorization field, without the white space around it; nil stands for a missing field.
// Where ok is false, the answer is 401 with Challenge. The login is a configured one or empty, also where ok is false: it
// may be logged then, as who was tried, and nothing else. It is never a copy of what an unknown client sent, since
// people type passwords into the wrong box.
//
// Check may take as long as an expensive verification and those queued before it. That queue has no bound of its own.
func (u *Users) Check(authorization []byte) (login string, ok bool) {
	if len(u.accounts) == 0 || len(authorization) == 0 {
		return "", false
	}
	var c credentials // after the shortest way out: it is large enough to take time
	if !c.read(authorization) {
		return "", false
	}
	a := u.find(&c)
	sum := c.digest(&u.v.key, &a.id)
	verdict := u.v.recall(a, &c, &sum)
	if verdict == Unknown {
		verdict = u.v.decide(a, sum, string(c.password()))
	}
	return a.login, verdict == Accepted && a.known()
}

// Peek answers as Check does where that takes no expensive work, and changes nothing. It does not hide from its
// caller whether a login exists, so its answer is not for clients.
func (u *Users) Peek(authorization []byte) (login string, verdict Verdict) {
	var c credentials
	if len(u.accounts) == 0 || !c.read(authorization) {
		return "", Refused
	}
	a := u.find(&c)
	if !a.known() {
		return "", Refused
	}
	sum := c.digest(&u.v.key, &a.id)
	return a.login, u.v.recall(a, &c, &sum)
}

// find returns the account of a login or, for an unknown one, its stand-in: always the same, and not to be foretold from
// outside. Both are looked up each time, so that neither way is shorter.
func (u *Users) find(c *credentials) *account {
	sum := c.loginDigest(&u.seed)
	standIn := u.standIns[binary.LittleEndian.Uint64(sum[:])%uint64(len(u.standIns))]
	if a, ok := u.accounts[string(c.login())]; ok {
		return a
	}
	return standIn
}

// checkLogin refuses names that no Authorization field can carry (RFC 7617 section 2).
func checkLogin(login string) error {
	name, _, colon := strings.Cut(login, ":")
	switch {
	case login == "":
		return errors.New("cannot use an empty login")
	case colon:
		// What follows the colon may well be a password in the wrong place.
		return fmt.Errorf("cannot use a login with a colon (it starts with %q): basic authentication ends the login there", name)
	case hasControl(login):
		return fmt.Errorf("cannot use login %q: it contains a control character", login)
	case len(login) > maxLogin:
		return fmt.Errorf("cannot use a login of %d bytes (it starts with %q): the limit is %d", len(login), login[:16], maxLogin)
	}
	return nil
}
