package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReloadServesTheQueue: a server that a reload adds serves those who wait for a full one at once, in front of those who come later.
func TestReloadServesTheQueue(t *testing.T) {
	t.Parallel()
	full, idle := startUpstream(t, "full"), startUpstream(t, "idle")
	config := func(servers string) []string {
		return []string{listenAnywhere, "backends: {example.com: {servers: [" + servers + "], queue: {length: 100, timeout: 0s}}}"}
	}
	capped := "{address: '" + full.address + "', max_in_flight: 1}"
	l := startFile(t, config(capped)...)
	var waiting []*asyncReply
	for range 5 {
		waiting = append(waiting, l.begin(call{url: "http://example.com/?delay=" + patience.String()}))
	}
	full.awaitInFlight(1)
	l.reload(config(capped + ", {address: '" + idle.address + "', max_in_flight: 10}")...)
	idle.awaitInFlight(4)
	started := time.Now()
	l.get("http://example.com/").from("idle")
	assert.Less(t, time.Since(started), patience/4)
	for _, a := range waiting {
		select {
		case <-a.done:
			require.FailNow(t, "one is over", "%v %v", a.err, a.reply)
		default:
		}
	}
}

// TestQueueBesideADeadServer: beside a dead server the one that is left, full or not, answers all, and the backend is not told to be down
// before that one is dead too.
func TestQueueBesideADeadServer(t *testing.T) {
	t.Parallel()
	actors := startActors(t, 2)
	dead, alive := actors[0], actors[1]
	dead.kill()
	l := startFile(t, listenAnywhere,
		"backends: {example.com: {servers: ["+dead.address+", {address: '"+alive.address+"', max_in_flight: 1}],",
		"  queue: {length: 100, timeout: 20s}, eject: {time: 200ms}}}")
	alive.tell("delay 20ms")
	for range 5 { // the dead one is tried again in between
		var all []*asyncReply
		for i := range 12 {
			all = append(all, l.begin(call{url: fmt.Sprint("http://example.com/", i)}))
		}
		for _, a := range all {
			a.wait(t).from(alive.name)
		}
	}
	assert.Empty(t, l.log("backend changed"))

	alive.kill()
	eventually(t, "the backend is down", func() bool {
		l.get("http://example.com/")
		return len(l.log("backend changed")) == 1
	})
	alive.restart()
	eventually(t, "the backend is up", func() bool { return l.get("http://example.com/").StatusCode == http.StatusOK })
	l.awaitLog("backend changed", 2)
	changes := l.log("backend changed")
	require.Len(t, changes, 2)
	assert.Equal(t, "down", changes[0].field("state"))
	assert.Equal(t, "up", changes[1].field("state"))
}
