package config

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Secret is text that no log, dump or error may show. Hold it in exported fields only: package fmt
// calls no methods on unexported ones and would print the text.
type Secret string

// Mask stands for a secret wherever one would be shown.
const Mask = "***"

// String returns Mask, so that a secret printed by accident stays one.
func (s Secret) String() string { return Mask }

// Format writes Mask for every verb, wrong ones included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Mask) }

// MarshalText returns Mask, for every encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// Reveal returns the text itself, for the one package that compares it.
func (s Secret) Reveal() string { return string(s) }

// checkSecret refuses what a dump shows in place of a secret, so that a dump is not loaded as it is.
func checkSecret(text string) error {
	if text == Mask {
		return fmt.Errorf("%s stands for a secret that a dump does not show; put the password or hash back in its place", Mask)
	}
	return nil
}

// checkLogin refuses a login that basic authentication cannot carry.
func checkLogin(login string) error {
	switch {
	case login == "":
		return errors.New("the login is empty")
	case strings.Contains(login, ":"):
		return errors.New("a login cannot contain ':'; in the file a space follows the colon between login and password")
	case !utf8.ValidString(login) || strings.ContainsFunc(login, isControl):
		return errors.New("the login contains a control character, or bytes that are not UTF-8")
	}
	return nil
}

// checkPassword refuses an empty password, and what checkSecret does.
func checkPassword(password string) error {
	switch {
	case password == "":
		return errors.New("the password is empty")
	case !utf8.ValidString(password):
		return errors.New("the password contains bytes that are not UTF-8")
	}
	return checkSecret(password)
}

// isControl reports C0, DEL and C1: none of them may stand in credentials (RFC 7617 section 2).
func isControl(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }
