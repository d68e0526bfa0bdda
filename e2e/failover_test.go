package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// actor is an upstream that does what the test says, and comes back at the same address when it was killed.
type actor struct {
	*upstream
	journal string
	stdin   *os.File // the end to write to
}

// startActors starts servers named a, b, c... that share a journal.
func startActors(t testing.TB, n int) []*actor {
	t.Helper()
	journal := filepath.Join(t.TempDir(), "journal")
	actors := make([]*actor, n)
	for i := range actors {
		actors[i] = startActor(t, string(rune('a'+i)), "127.0.0.1:"+freePort(t), journal)
	}
	return actors
}

func startActor(t testing.TB, name, address, journal string) *actor {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.Close() })
	a := &actor{upstream: &upstream{name: name, address: address}, journal: journal, stdin: w}
	a.process = start(t, program{path: built.upstream, args: []string{name, address}, stdin: r, env: []string{"UPSTREAM_JOURNAL=" + journal}})
	_ = r.Close() // the process has its own
	a.await("the server's address", func() bool { return len(a.stdout.lines()) > 0 })
	a.direct = newClient(t, address)
	return a
}

// tell gives a command and waits until it is done.
func (a *actor) tell(command string) {
	a.t.Helper()
	before := len(a.stdout.lines())
	_, err := io.WriteString(a.stdin, command+"\n")
	require.NoError(a.t, err)
	a.await(command, func() bool { return len(a.stdout.lines()) > before })
}

// restart starts a killed server anew.
func (a *actor) restart() {
	a.t.Helper()
	*a = *startActor(a.t, a.name, a.address, a.journal)
}

// executed is how often each id was executed, by servers that live and by those that were killed.
func executed(t testing.TB, actors []*actor) map[string]int {
	t.Helper()
	file, err := os.Open(actors[0].journal)
	require.NoError(t, err)
	defer file.Close()
	times := map[string]int{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		times[lines.Text()]++
	}
	require.NoError(t, lines.Err())
	return times
}

// traffic is clients that send a POST after every third GET, each client on its kept connection, until they are told to stop.
type traffic struct {
	running sync.WaitGroup
	stop    atomic.Bool
	gets    atomic.Int64 // answered with 200
	posts   atomic.Int64 // likewise

	mu        sync.Mutex // guards all below
	lostGets  []string
	lostPosts []string
	accepted  []string // ids of POSTs that were answered with 200
}

func startTraffic(t testing.TB, addr string) *traffic {
	t.Helper()
	d := &traffic{}
	for i := range clients {
		c := newClient(t, addr)
		d.running.Go(func() {
			for n := 0; !d.stop.Load(); n++ {
				if n%4 == 3 {
					d.post(c, fmt.Sprintf("%d-%d", i, n))
				} else {
					d.get(c)
				}
			}
		})
	}
	t.Cleanup(d.end)
	return d
}

func (d *traffic) get(c *client) {
	if failure := problem(c.try(call{url: "http://example.com/"})); failure != "" {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lostGets = append(d.lostGets, failure)
		return
	}
	d.gets.Add(1)
}

func (d *traffic) post(c *client, id string) {
	failure := problem(c.try(call{method: http.MethodPost, url: "http://example.com/?id=" + id, body: strings.Repeat("x", 100)}))
	d.mu.Lock()
	defer d.mu.Unlock()
	if failure != "" {
		d.lostPosts = append(d.lostPosts, id+": "+failure)
		return
	}
	d.accepted = append(d.accepted, id)
	d.posts.Add(1)
}

// problem says what is wrong with an answer that ought to be a server's 200.
func problem(got reply, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case got.StatusCode != http.StatusOK:
		return got.Status + " " + got.Header.Get("Proxy-Status") + ": " + strings.TrimSpace(got.body)
	}
	return ""
}

// awaitGets waits until there are n more GETs than now, or one that is lost.
func (d *traffic) awaitGets(t testing.TB, n int64) {
	t.Helper()
	n += d.gets.Load()
	eventually(t, fmt.Sprintf("%d GETs are answered", n), func() bool { return d.gets.Load() >= n || d.hasLost() })
}

func (d *traffic) hasLost() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.lostGets) > 0
}

func (d *traffic) end() {
	d.stop.Store(true)
	d.running.Wait()
}

// requireHarmless requires that no GET was lost, and that no POST was executed twice or answered without being executed.
func (d *traffic) requireHarmless(t testing.TB, actors []*actor) {
	t.Helper()
	require.Empty(t, first(d.lostGets), "%d GETs lost, %d answered", len(d.lostGets), d.gets.Load())
	times := executed(t, actors)
	for id, n := range times {
		assert.Equal(t, 1, n, "POST %s was executed more than once", id)
	}
	for _, id := range d.accepted {
		assert.Equal(t, 1, times[id], "POST %s was answered with 200, and executed so often", id)
	}
	t.Logf("%d GETs, none lost; %d POSTs answered, %d not: %q", d.gets.Load(), d.posts.Load(), len(d.lostPosts), first(d.lostPosts))
}

// first are as many as anybody reads.
func first(failures []string) []string { return failures[:min(len(failures), 5)] }

// backendOf is a config with one backend of these servers, and more keys of it.
func backendOf(actors []*actor, more string) []string {
	var addresses []string
	for _, a := range actors {
		addresses = append(addresses, a.address)
	}
	return []string{listenAnywhere, "backends: {example.com: {" + more + ", servers: [" + strings.Join(addresses, ", ") + "]}}"}
}

// quick has a server that was ejected tried soon, however often it was ejected.
const quick = "eject: {time: 200ms, max: 500ms}"

// failure is a way in which a server stops to do its work.
type failure struct {
	gets       int64 // in each of three phases: well, failing, back
	backend    string
	timeouts   string
	fail, mend func(*actor)
	released   bool // without the race detector: there is much to send
	stays      bool // it is not ejected
}

// TestFailingServerLosesNoGet: one of three servers fails under load and comes back; no GET fails, and no POST is executed twice.
// A POST may fail when the server had it already: nobody can know what became of it.
func TestFailingServerLosesNoGet(t *testing.T) {
	told := func(command string) func(*actor) { return func(a *actor) { a.tell(command) } }
	serve := told("serve")
	const impatient = "timeouts: {response_header: 300ms}"
	kill := func(a *actor) { a.kill() }
	// Three phases of many make the 20,000 GETs that none may be lost of.
	const many, few = 7000, 2000
	for name, f := range map[string]failure{
		"killed":         {gets: many, backend: quick, fail: kill, mend: (*actor).restart, released: true},
		"killed race":    {gets: few, backend: quick, fail: kill, mend: (*actor).restart},
		"refusing":       {gets: many, backend: quick, fail: told("refuse"), mend: serve, released: true},
		"resetting":      {gets: many, backend: quick, fail: told("reset"), mend: serve, released: true},
		"resetting race": {gets: few, backend: quick, fail: told("reset"), mend: serve},
		// A quarter of the requests are retries then, for good: more than the default budget allows.
		"500": {gets: few, backend: "retry: {on: [500], budget: 100%}", fail: told("status 500"), mend: serve, released: true, stays: true},
		"500 ejected": {
			gets: many, backend: "eject: {time: 200ms, max: 500ms, statuses: [500]}, retry: {on: [500]}",
			fail: told("status 500"), mend: serve, released: true,
		},
		"silent": {gets: many, backend: quick, timeouts: impatient, fail: told("silent"), mend: serve, released: true},
		"stopped": {
			gets: many, backend: quick, timeouts: impatient, released: true,
			fail: func(a *actor) { a.signal(syscall.SIGSTOP) }, mend: func(a *actor) { a.signal(syscall.SIGCONT) },
		},
	} {
		t.Run(name, func(t *testing.T) { f.run(t) })
	}
}

func (f failure) run(t *testing.T) {
	actors := startActors(t, 3)
	launch := startFile
	if f.released {
		launch = startReleased
	}
	l := launch(t, append(backendOf(actors, f.backend), f.timeouts)...)
	d := startTraffic(t, l.addr)
	started := time.Now()
	d.awaitGets(t, f.gets)

	f.fail(actors[1])
	d.awaitGets(t, f.gets)
	f.mend(actors[1])
	before := actors[1].stats().Requests
	d.awaitGets(t, f.gets)
	eventually(t, "the server has work again", func() bool { return actors[1].stats().Requests > before+100 || d.hasLost() })
	d.end()
	for _, a := range actors {
		a.awaitInFlight(0)
	}

	d.requireHarmless(t, actors)
	flips := l.flips(actors[1])
	t.Logf("%s, %v", time.Since(started).Round(time.Millisecond), flips)
	for i := 1; i < len(flips); i++ {
		assert.NotEqual(t, flips[i-1].state, flips[i].state, "line %d tells no change: %v", i, flips)
	}
	if !f.stays {
		require.NotEmpty(t, flips)
		assert.Equal(t, "ejected", flips[0].state)
		assert.Equal(t, "readmitted", flips[len(flips)-1].state)
	}
	assert.Empty(t, append(l.flips(actors[0]), l.flips(actors[2])...), "servers that did not fail")
}

// flip is a change of a server's state, as the log has it.
type flip struct{ state, reason string }

// flips are the changes of a server's state in their order.
func (l *l7) flips(a *actor) []flip {
	l.t.Helper()
	var found []flip
	for _, line := range l.log("server changed") {
		if strings.Contains(line.field("server"), a.address) {
			found = append(found, flip{line.field("state"), line.field("reason")})
		}
	}
	return found
}
