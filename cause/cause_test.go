package cause

import (
	"errors"
	"io"
	"regexp"
	"testing"
)

// Every cause must be usable as a label, a status and an RFC 9209 token, and no two may share a word.
func TestEveryCauseIsComplete(t *testing.T) {
	token := regexp.MustCompile(`^[a-z][a-z_]*$`)
	seen := map[string]bool{}
	for _, c := range All() {
		if !token.MatchString(c.String()) || seen[c.String()] {
			t.Errorf("cause %d: bad or repeated word %q", c, c)
		}
		seen[c.String()] = true
		if c == None {
			continue
		}
		if c.Status() < 400 && c != Redirected || c.Status() > 599 || c.Side() == Nobody || !token.MatchString(c.ProxyError()) {
			t.Errorf("cause %s: status %d, side %d, proxy error %q", c, c.Status(), c.Side(), c.ProxyError())
		}
	}
}

func TestErrorKeepsWhatHappened(t *testing.T) {
	err := error(&Error{Cause: ServerClosed, Err: io.EOF})
	if !errors.Is(err, io.EOF) || err.Error() != "server_closed: EOF" {
		t.Errorf("got %q", err)
	}
	if got := (&Error{Cause: NoServer}).Error(); got != "no_server" {
		t.Errorf("got %q", got)
	}
}
