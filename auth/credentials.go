package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
)

const (
	maxField = 2048 // bytes of an Authorization value; longer ones are refused unread
	maxText  = maxField / 4 * 3
	maxLogin = 255
	maxPlain = (maxField - len("Basic ")) / 4 * 3 // bytes of "login:password" that fit
)

// digest is a SHA-256 sum.
type digest [sha256.Size]byte

// prefix is the room before the text for what a digest starts with: the process key and the account's id.
const prefix = 2 * sha256.Size

// credentials are an Authorization value taken apart. They live on the stack of a check and hold the password only there.
type credentials struct {
	buf   [prefix + maxText]byte // room for the prefix, then the decoded "login:password"
	colon int                    // where in buf the login ends
	end   int                    // where in buf the password ends
}

// read decodes the value of an Authorization field and reports whether it is well-formed: the scheme in any case, one space
// or more, the standard base64 alphabet with its padding and nothing after it, a login, a colon, a password which
// may contain colons too, and no control characters (RFC 7617 section 2, RFC 9110 section 11.4).
func (c *credentials) read(authorization []byte) bool {
	const scheme = "Basic "
	if len(authorization) < len(scheme) || len(authorization) > maxField || !bytes.EqualFold(authorization[:len(scheme)], []byte(scheme)) {
		return false
	}
	encoded := bytes.TrimLeft(authorization[len(scheme):], " ")
	n, err := base64.StdEncoding.Strict().Decode(c.buf[prefix:], encoded)
	// The decoder skips line ends; then the lengths differ.
	if err != nil || base64.StdEncoding.EncodedLen(n) != len(encoded) {
		return false
	}
	c.end = prefix + n
	text := c.buf[prefix:c.end]
	c.colon = prefix + bytes.IndexByte(text, ':')
	return c.colon > prefix && !hasControl(text)
}

func (c *credentials) login() []byte { return c.buf[prefix:c.colon] }

func (c *credentials) password() []byte { return c.buf[c.colon+1 : c.end] }

// digest sums the process key, the id of what the password is verified against, login, colon and password. The first two
// are of fixed length and the login has no colon, so no two different questions have the same input.
func (c *credentials) digest(key, id *digest) digest {
	copy(c.buf[:], key[:])
	copy(c.buf[len(key):], id[:])
	return sha256.Sum256(c.buf[:c.end])
}

// loginDigest sums a key and the login.
func (c *credentials) loginDigest(key *digest) digest {
	from := prefix - len(key)
	copy(c.buf[from:], key[:])
	return sha256.Sum256(c.buf[from:c.colon])
}

// hasControl reports whether s contains a control character in the sense of RFC 5234: both login and password
// must not (RFC 7617 section 2).
func hasControl[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}
