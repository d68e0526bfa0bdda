package app

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"l7/admin/api"
)

// A reload that changes thousands of servers made a line of hundreds of KiB, which kept followers from reading on.
func TestEventsAreShort(t *testing.T) {
	f := func(reason, want string) {
		t.Helper()
		e := &events{}
		followed, stop := e.follow()
		defer stop()
		e.add(api.Event{Kind: "reload", Reason: reason})
		assert.Equal(t, want, (<-followed).Reason)
		assert.Equal(t, want, e.all()[0].Reason)
	}
	most := strings.Repeat("a", longestReason)
	f("", "")
	f(most, most)
	f(most+"bc", most+"... (and 2 bytes more)")
	f(most[1:]+"\u00e4bc", most[1:]+"... (and 4 bytes more)")
}
