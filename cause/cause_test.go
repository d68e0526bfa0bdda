package cause

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
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

// The answers of the README are all there are, each with its status. Two causes are told of below the table, for no client sees them.
func TestEveryCauseStandsInTheReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, answers, _ := strings.Cut(string(text), "\n## Answers\n")
	answers, _, _ = strings.Cut(answers, "\n## ")
	rows := 0
	for _, c := range All()[1:] {
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d \| .* \| .%s. \|$`, c.Status(), c))
		if c == ClientGone || c == ResponseCut {
			row = regexp.MustCompile("Two words stand in the log alone: [^.]*`" + c.String() + "`")
		} else {
			rows++
		}
		if !row.MatchString(answers) {
			t.Errorf("no row for %s with status %d", c, c.Status())
		}
	}
	if got := len(regexp.MustCompile(`(?m)^\| [0-9]`).FindAllString(answers, -1)); got != rows {
		t.Errorf("there are %d rows for %d causes", got, rows)
	}
}
