package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin"
	"l7/admin/api"
)

// An address without a scheme was http:// alone, so that the server of "https://127.0.0.1:2" was not found by host and port.
func TestFindByAddressWithoutScheme(t *testing.T) {
	a := running(t, Self{}, "backends: {a.com: {servers: ['http://127.0.0.1:1', 'https://127.0.0.1:1', 'https://127.0.0.1:2', 'https://127.0.0.1']}, b.com: {servers: ['https://127.0.0.1:2']}}")
	c := &control{a}
	f := func(backend, address string, want ...string) {
		t.Helper()
		found, err := c.find(backend, address)
		require.NoError(t, err)
		var got []string
		for _, f := range found {
			got = append(got, f.backend+" "+f.member.Name())
		}
		assert.Equal(t, want, got)
	}
	f("", "127.0.0.1:2", "a.com https://127.0.0.1:2", "b.com https://127.0.0.1:2")
	f("b.com", "//127.0.0.1:2", "b.com https://127.0.0.1:2")
	f("", "127.0.0.1", "a.com https://127.0.0.1:443")
	f("", "127.0.0.1:1", "a.com http://127.0.0.1:1")
	f("", "https://127.0.0.1:1", "a.com https://127.0.0.1:1")
	_, err := c.find("", "http://127.0.0.1:2")
	require.ErrorIs(t, err, admin.ErrUnknown)
	require.NoError(t, a.Drain())
}

// The API said neither when a drain ends by itself, nor that an upgrade is under way.
func TestStatusOfWhatIsUnderWay(t *testing.T) {
	a := running(t, Self{}, twoServers)
	c := &control{a}
	s, err := c.Drain(api.DrainRequest{Backend: "a.com", Server: "127.0.0.1:1", For: 3600}, true)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), s.DrainedUntil, time.Minute)
	assert.False(t, a.Status().Upgrading)
	a.undrains.pass(true)
	status := a.Status()
	assert.True(t, status.Upgrading)
	assert.Equal(t, s.DrainedUntil, status.Backends[0].Servers[0].DrainedUntil)
	a.undrains.pass(false)
	s, err = c.Drain(api.DrainRequest{Backend: "a.com", Server: "127.0.0.1:1"}, true)
	require.NoError(t, err)
	assert.Zero(t, s.DrainedUntil)
	require.NoError(t, a.Drain())
}

// Who asks for a backend that is not there was not told of those that are.
func TestFindInUnknownBackend(t *testing.T) {
	f := func(n int, want string) {
		t.Helper()
		var backends []string
		for i := range n {
			backends = append(backends, fmt.Sprintf("%c.com: {servers: ['127.0.0.1:1']}", 'a'+i))
		}
		a := running(t, Self{}, "backends: {"+strings.Join(backends, ", ")+"}")
		_, err := (&control{a}).find("nosuch", "127.0.0.1:1")
		require.ErrorIs(t, err, admin.ErrUnknown)
		assert.EqualError(t, err, want)
		require.NoError(t, a.Drain())
	}
	f(2, `there is no backend "nosuch"; known are a.com, b.com`)
	f(fewKnown+2, `there is no backend "nosuch"; known are a.com, b.com, c.com, d.com, e.com, f.com, g.com, h.com, i.com, j.com and 2 more`)
}
