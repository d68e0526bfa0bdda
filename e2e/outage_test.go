package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOutage: without any server l7 says 503 and when to come again; once the servers are back so is the site, soon, and the log
// tells each change once, with its reason.
func TestOutage(t *testing.T) {
	t.Run("eject", func(t *testing.T) {
		outage(t, "eject: {time: 200ms}", "ejected", "readmitted", "connect_")
	})
	t.Run("health", func(t *testing.T) {
		outage(t, "health: {path: /, interval: 100ms}, eject: {after: 0}", "unhealthy", "healthy", "refused")
	})
	t.Run("both", func(t *testing.T) {
		outage(t, "health: {path: /, interval: 100ms}, eject: {time: 200ms}", "", "healthy", "refused")
	})
}

// outage is one outage of all servers. Down and up are the states that the log tells of each; an empty down stands for any.
func outage(t *testing.T, backend, down, up, reason string) {
	actors := startActors(t, 3)
	l := startFile(t, backendOf(actors, backend)...)
	l.serverNames("http://example.com/", 30)

	for _, a := range actors {
		a.kill()
	}
	bad := 0
	eventually(t, "503", func() bool {
		got := l.get("http://example.com/")
		if got.StatusCode == http.StatusServiceUnavailable {
			got.refusedFor(http.StatusServiceUnavailable, "unavailable")
			assert.Regexp(t, `^[1-9]\d*$`, got.Header.Get("Retry-After"))
			return true
		}
		got.refusedFor(http.StatusBadGateway, "connect_refused")
		bad++
		return false
	})
	for _, a := range actors {
		l.await("every server is down", func() bool { return len(l.flips(a)) > 0 })
	}
	during := map[int]int{}
	for lasts := time.Now().Add(time.Second); time.Now().Before(lasts); {
		during[l.get("http://example.com/").StatusCode]++
	}

	for _, a := range actors {
		a.restart()
	}
	back := time.Now()
	eventually(t, "the site is back", func() bool { return l.get("http://example.com/").StatusCode == http.StatusOK })
	first := time.Since(back)
	eventually(t, "every server has work again", func() bool {
		l.get("http://example.com/")
		for _, a := range actors {
			if flips := l.flips(a); a.stats().Requests == 0 || flips[len(flips)-1].state != up {
				return false
			}
		}
		return true
	})
	all := time.Since(back)
	t.Logf("%d times 502 before 503; in a second of outage %v; back after %s, all servers after %s", bad, during,
		first.Round(time.Millisecond), all.Round(time.Millisecond))
	assert.Less(t, first, 2*time.Second)
	assert.Less(t, all, 2*time.Second, "a server stays out as if each try during the outage had been one too many")

	changes := l.log("backend changed")
	require.Len(t, changes, 2, "one line when nobody is left, one when somebody is back")
	for i, state := range []string{"down", "up"} {
		assert.Equal(t, state, changes[i].field("state"))
		assert.Equal(t, "example.com", changes[i].field("backend"))
	}
	assert.Equal(t, "error", changes[0].field("level"))
	for _, a := range actors {
		flips := l.flips(a)
		for i := 1; i < len(flips); i++ {
			assert.NotEqual(t, flips[i-1].state, flips[i].state, "line %d tells no change", i)
		}
		require.Contains(t, flips[0].reason, reason)
		if down != "" {
			assert.Equal(t, down, flips[0].state)
			assert.Len(t, flips, 2, "%v", flips)
		}
	}
}
