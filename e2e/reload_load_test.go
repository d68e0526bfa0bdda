package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reloads is how many happen under load.
const reloads = 100

// load is clients that send requests, GET and POST in turn, each on one kept connection, until they are told to stop.
type load struct {
	running sync.WaitGroup
	stop    atomic.Bool
	sent    atomic.Int64 // answered with 200
	posted  atomic.Int64 // likewise, POST only; each has an id of its own
	dials   atomic.Int64

	mu     sync.Mutex // guards lost
	lost   []string
	closed int // clients that were told to close their connection
}

func startLoad(t *testing.T, addr, url string) *load {
	t.Helper()
	d := &load{}
	for i := range clients {
		c := newClient(t, addr)
		d.running.Go(func() {
			d.client(c, i, url)
			d.dials.Add(c.dials.Load())
		})
	}
	return d
}

func (d *load) client(c *client, number int, url string) {
	for n := 0; !d.stop.Load(); n++ {
		r := call{url: url}
		if n%2 == 1 {
			r = call{method: http.MethodPost, url: fmt.Sprintf("%s?id=%d-%d", url, number, n), body: strings.Repeat("x", 100)}
		}
		got, err := c.try(r)
		switch {
		case err != nil:
			d.lose(fmt.Sprintf("%s %s: %v", r.method, r.url, err))
			return
		case got.StatusCode != http.StatusOK:
			d.lose(fmt.Sprintf("%s %s: %s: %s", r.method, r.url, got.Status, got.body))
		default:
			d.sent.Add(1)
			if r.method == http.MethodPost {
				d.posted.Add(1)
			}
		}
		if got.Close {
			d.mu.Lock()
			d.closed++
			d.mu.Unlock()
			return
		}
	}
}

func (d *load) lose(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost = append(d.lost, what)
}

// end waits until every client is done.
func (d *load) end() {
	d.stop.Store(true)
	d.running.Wait()
}

// requireNothingLost compares what the clients saw with what the servers did.
func (d *load) requireNothingLost(t *testing.T, servers []*upstream) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.Empty(t, d.lost, "%d requests lost, %d answered", len(d.lost), d.sent.Load())
	executed := 0
	for _, server := range servers {
		s := server.stats()
		assert.Empty(t, s.Repeated, "executed twice by %s", server.name)
		executed += s.IDs
	}
	assert.EqualValues(t, d.posted.Load(), executed, "POST requests answered, and executed")
}

// TestHundredReloadsUnderLoadLoseNoRequest alternates between two configs that share one of three servers.
func TestHundredReloadsUnderLoadLoseNoRequest(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 3)
	config := func(i int) []string {
		return []string{
			listenAnywhere,
			fmt.Sprintf("timeouts: {server_idle: %ds}", 60+i),
			"backends:",
			fmt.Sprintf("  example.com: {servers: [%s, %s]}", servers[i].address, servers[i+1].address),
			fmt.Sprintf("  other%d.example: {servers: [%s]}", i, servers[0].address),
		}
	}
	l := startFile(t, config(0)...)
	d := startLoad(t, l.addr, "http://example.com/")

	for n := 1; n <= reloads; n++ {
		before := d.sent.Load()
		l.reload(config(n % 2)...)
		eventually(t, "requests are answered between two reloads", func() bool { return d.sent.Load() > before || d.idle() })
	}
	d.end()

	d.requireNothingLost(t, servers)
	require.Len(t, l.log("reloaded"), reloads)
	assert.Less(t, d.dials.Load()*10, d.sent.Load(), "the clients do not keep their connections")
	for _, server := range servers {
		assert.NotZero(t, server.stats().Requests, "server %s", server.name)
	}
	t.Logf("%d requests over %d connections, %d reloads", d.sent.Load(), d.dials.Load(), reloads)
}

// idle says that something was lost, so that there may be nothing to wait for.
func (d *load) idle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.lost) > 0
}

// TestStopUnderLoadLosesNoRequest: who sends on is answered, and told to close the connection.
func TestStopUnderLoadLosesNoRequest(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	l := startArgs(t, "example.com="+servers[0].address, "example.com="+servers[1].address)
	d := startLoad(t, l.addr, "http://example.com/")
	eventually(t, "the load is on", func() bool { return d.sent.Load() > 10*clients })

	l.signal(syscall.SIGTERM)
	require.Zero(t, l.exit())
	d.end()
	d.requireNothingLost(t, servers)
	assert.Equal(t, clients, d.closed, "clients that were told to close their connection")
}
