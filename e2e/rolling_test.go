package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// weighted is a config in which one of the servers has no weight; -1: none of them.
func weighted(actors []*actor, resting int) []string {
	lines := []string{listenAnywhere, "backends:", "  example.com:", "    servers:"}
	for i, a := range actors {
		weight := 1
		if i == resting {
			weight = 0
		}
		lines = append(lines, fmt.Sprintf("    - {address: '%s', weight: %d}", a.address, weight))
	}
	return lines
}

// quietLooks is how many looks in a row have to show a server without work until it counts as idle: a request that began before
// a reload may still be on its way through l7.
const quietLooks = 50

// awaitQuiet waits until a server has nothing in flight and gets nothing.
func (a *actor) awaitQuiet() {
	a.t.Helper()
	last, looks := -1, 0
	eventually(a.t, "server "+a.name+" is quiet", func() bool {
		s := a.stats()
		if looks++; s.InFlight > 0 || s.Requests != last {
			looks = 0
		}
		last = s.Requests
		return looks >= quietLooks
	})
}

// TestRollingRestartLosesNoRequest restarts one server after the other under load, each with weight 0 meanwhile: neither a GET nor a
// POST fails.
func TestRollingRestartLosesNoRequest(t *testing.T) {
	actors := startActors(t, 3)
	l := startFile(t, weighted(actors, -1)...)
	d := startTraffic(t, l.addr)
	d.awaitGets(t, 500)
	for i, a := range actors {
		l.reload(weighted(actors, i)...)
		a.awaitQuiet()
		a.kill()
		d.awaitGets(t, 200)
		a.restart()
		l.reload(weighted(actors, -1)...)
		eventually(t, "the server has work again", func() bool { return a.stats().Requests > 100 || d.hasLost() })
	}
	d.end()
	d.requireHarmless(t, actors)
	assert.Empty(t, d.lostPosts)
	assert.Empty(t, l.log("server changed"))
}

// TestReloadsKeepWhatIsKnownOfServers: while requests flow, fifty reloads touch neither a server that is out, nor a request that takes
// long, nor a tunnel.
func TestReloadsKeepWhatIsKnownOfServers(t *testing.T) {
	actors := startActors(t, 3)
	dead, busy := actors[0], actors[1]
	c := serveChat(t, nil)
	config := func(i int) []string {
		return []string{
			listenAnywhere,
			fmt.Sprintf("timeouts: {server_idle: %ds}", 60+i),
			"backends:",
			fmt.Sprintf("  example.com: {eject: {time: 1h, max: 1h}, servers: [%s, %s, %s]}", dead.address, busy.address, actors[2].address),
			fmt.Sprintf("  example.com/chat: {servers: ['%s']}", c.address),
			fmt.Sprintf("  example.com/long: {servers: ['%s']}", busy.address),
		}
	}
	c.l7 = startFile(t, config(0)...)
	dead.kill()
	for len(c.flips(dead)) == 0 {
		c.get("http://example.com/").is(http.StatusOK)
	}
	dead.restart() // it is well again, but who is out is not asked for an hour
	open := c.open(t, nil)
	require.NoError(t, open.use(limited(t), "before"))
	long := c.begin(call{url: "http://example.com/long?hold=1"})
	busy.awaitInFlight(1)

	d := startTraffic(t, c.addr)
	for n := 1; n <= 50; n++ {
		c.reload(config(n)...)
		d.awaitGets(t, 1)
		if n%10 == 0 {
			require.NoError(t, open.use(limited(t), fmt.Sprint("reload ", n)))
		}
	}
	d.end()
	d.requireHarmless(t, actors)
	assert.Empty(t, d.lostPosts)
	assert.Zero(t, dead.stats().Requests, "the server that is out was asked")
	assert.Len(t, c.flips(dead), 1)

	select {
	case <-long.done:
		require.FailNow(t, "the long request has ended", "%v %v", long.reply.Response, long.err)
	default:
	}
	busy.tell("release")
	long.wait(t).from("b")
	require.NoError(t, open.use(limited(t), "after"))
	assert.Contains(t, c.flips(dead)[0].reason, "for 1h")
}
