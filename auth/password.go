package auth

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// kind says what verifying a password costs.
type kind uint8

const (
	plain  kind = iota // compared by digests
	cheap              // a hash that takes less than a microsecond
	costly             // a hash that was made to be slow, or is
)

// password is how one password is stored.
type password struct {
	kind   kind
	stored string
	hash   htpasswd.EncodedPasswd // nil where kind is plain
}

// format is one way of hashing passwords. The patterns are stricter than the parsers of go-htpasswd, which take
// a malformed hash and then fail or panic at each login. Cost and rounds have upper bounds, or one login could
// hold its slot for minutes; bcrypt's is that of Apache's htpasswd.
type format struct {
	prefix  *regexp.Regexp
	pattern *regexp.Regexp
	parse   htpasswd.PasswdParser
	kind    kind
	name    string
}

// formats are tried in this order. A salt has no space, no '$', and no ':', which ends a hash in an htpasswd file.
var formats = []format{
	newFormat(`\$2[aby]\$`, `(0[4-9]|1[0-7])\$[./0-9A-Za-z]{53}`, htpasswd.AcceptBcrypt, costly,
		"bcrypt hash (60 characters, cost 04 to 17)"),
	newFormat(`\$apr1\$`, `[!-#%-9;-~]{1,8}\$[./0-9A-Za-z]{22}`, htpasswd.AcceptMd5, costly,
		"apr1 hash (a salt of 1 to 8 characters, '$' and 22 characters)"),
	newFormat(`\{SHA\}`, `[+/0-9A-Za-z]{27}=`, htpasswd.AcceptSha, cheap,
		"{SHA} hash (28 characters of base64)"),
	newFormat(`\{SSHA\}`, `[+/0-9A-Za-z]{27,200}={0,2}`, htpasswd.AcceptSsha, cheap,
		"{SSHA} hash (base64 of 20 bytes and a salt)"),
	newFormat(`\$5\$`, `(rounds=[1-9][0-9]{3,6}\$)?[!-#%-9;-~]{1,16}\$[./0-9A-Za-z]{43}`, htpasswd.AcceptCryptSha, costly,
		"sha256-crypt hash (a salt of 1 to 16 characters, '$' and 43 characters; 1000 to 9999999 rounds)"),
	newFormat(`\$6\$`, `(rounds=[1-9][0-9]{3,6}\$)?[!-#%-9;-~]{1,16}\$[./0-9A-Za-z]{86}`, htpasswd.AcceptCryptSha, costly,
		"sha512-crypt hash (a salt of 1 to 16 characters, '$' and 86 characters; 1000 to 9999999 rounds)"),
}

func newFormat(prefix, rest string, parse htpasswd.PasswdParser, k kind, name string) format {
	return format{regexp.MustCompile("^" + prefix), regexp.MustCompile("^" + prefix + rest + `\z`), parse, k, name}
}

// looksHashed matches what nobody means as plain text: "$id$..." and "{ID}...", also with each '$' doubled,
// as Docker Compose and Makefiles want it and other files do not.
var looksHashed = regexp.MustCompile(`^(\$\$?[0-9A-Za-z,=_-]+\$|\{[0-9A-Za-z._-]+\})`)

var (
	errNotHashed   = errors.New("it is not hashed")
	errUnknownHash = errors.New("it looks like a hash, but not like bcrypt, apr1, {SHA}, {SSHA}, $5$ or $6$; make a hash with `l7 passwd`")
)

// compile turns a configured password into one to verify against. Errors name the login and never the value.
func compile(login, value string) (password, error) {
	if err := checkLogin(login); err != nil {
		return password{}, err
	}
	p, err := parseHash(value)
	if errors.Is(err, errNotHashed) {
		p, err = password{kind: plain, stored: value}, checkPlain(login, value)
	}
	if err != nil {
		return password{}, fmt.Errorf("cannot use the password of login %q: %w", login, err)
	}
	return p, nil
}

// parseHash returns errNotHashed for what must be plain text. Its errors do not repeat what it was given, as those of
// go-htpasswd do.
func parseHash(value string) (password, error) {
	for _, f := range formats {
		if !f.prefix.MatchString(value) {
			continue
		}
		hash, err := f.parse(value)
		if err != nil || !f.pattern.MatchString(value) {
			return password{}, fmt.Errorf("it starts like, but is not, a well-formed %s; make a hash with `l7 passwd`", f.name)
		}
		return password{kind: f.kind, stored: value, hash: hash}, nil
	}
	if looksHashed.MatchString(value) {
		return password{}, errUnknownHash
	}
	return password{}, errNotHashed
}

// checkPlain refuses plain text with which nobody could log in, and the empty one, with which everybody could.
func checkPlain(login, value string) error {
	switch {
	case value == "":
		return errors.New("it is empty")
	case hasControl(value):
		return errors.New("it contains a control character")
	case len(login)+len(":")+len(value) > maxPlain:
		return fmt.Errorf("with its login it is longer than %d bytes", maxPlain)
	}
	return nil
}

// maxBcrypt is how many bytes of a password bcrypt reads.
const maxBcrypt = 72

// Hash makes a bcrypt hash of cost 10 for the config or an htpasswd file, with a new salt each time. The caller trims the line end.
// Passwords are refused that bcrypt would cut or that no request could carry.
func Hash(plain []byte) (string, error) {
	switch {
	case len(plain) == 0:
		return "", errors.New("cannot hash an empty password")
	case len(plain) > maxBcrypt:
		return "", fmt.Errorf("cannot hash a password of %d bytes: bcrypt reads %d at most", len(plain), maxBcrypt)
	case hasControl(plain):
		return "", errors.New("cannot hash a password with a control character: basic authentication does not allow it")
	}
	hash, err := bcrypt.GenerateFromPassword(plain, bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("cannot hash the password: %w", err)
	}
	// The same algorithm by its unambiguous name: C libraries have read 2a in two ways.
	return "$2y$" + strings.TrimPrefix(string(hash), "$2a$"), nil
}
