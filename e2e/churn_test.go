package e2e

import (
	"fmt"
	"net/http/cookiejar"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// churning is the n-th of many configs, no two of which in a row have the same servers, backends or bounds: of six servers the first one stays,
// so that there is always one that is known to be well, and two others take turns; every other config has a backend more.
func churning(servers []*upstream, n int) []string {
	three := []string{servers[0].address, servers[1+n%5].address, servers[1+(n+1)%5].address}
	lines := []string{
		listenAnywhere,
		"backends:",
		fmt.Sprintf("  example.com: {health: {path: /, interval: 20ms}, slow_start: 1s, servers: [%s]}", strings.Join(three, ", ")),
		"  capped.example:",
		"    sticky: l7",
		fmt.Sprintf("    rate_limit: %d/s", 1_000_000+n),
		fmt.Sprintf("    queue: {length: %d, timeout: 20s}", 100+n%2),
		"    policy: " + []string{"round_robin", "random_two", "least_time", "consistent_hash"}[n%4],
		"    servers:",
	}
	for _, address := range three[1:] {
		lines = append(lines, fmt.Sprintf("    - {address: '%s', max_in_flight: 1, max_connections: 2}", address))
	}
	if n%2 == 1 {
		lines = append(lines, fmt.Sprintf("  more%d.example: {health: /, servers: [%s]}", n, three[1]))
	}
	return lines
}

// resting is a config of the same backends in which nothing happens by itself: checks are made once, and unused connections close soon.
func resting(servers []*upstream) []string {
	return []string{
		listenAnywhere,
		"timeouts: {server_idle: 50ms}",
		"backends:",
		fmt.Sprintf("  example.com: {health: {path: /, interval: 10h}, servers: [%s]}", servers[0].address),
		fmt.Sprintf("  capped.example: {sticky: l7, rate_limit: 1000000/s, queue: {length: 100}, servers: [%s]}", servers[0].address),
	}
}

// sips is a light load: a few clients, each on its kept connection and with the cookies that it gets.
type sips struct {
	running sync.WaitGroup
	stop    atomic.Bool
	sent    atomic.Int64 // answered with 200

	mu   sync.Mutex // guards lost
	lost []string
}

func startSips(t testing.TB, addr string) *sips {
	t.Helper()
	s := &sips{}
	for range 8 {
		c := newClient(t, addr)
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		c.http.Jar = jar
		s.running.Go(func() {
			defer c.http.CloseIdleConnections()
			for n := 0; !s.stop.Load(); n++ {
				host := []string{"example.com", "capped.example"}[n%2]
				if failure := problem(c.try(call{url: "http://" + host + "/?delay=5ms"})); failure != "" {
					s.mu.Lock()
					s.lost = append(s.lost, host+": "+failure)
					s.mu.Unlock()
					continue
				}
				s.sent.Add(1)
			}
		})
	}
	t.Cleanup(s.end)
	return s
}

func (s *sips) end() {
	s.stop.Store(true)
	s.running.Wait()
}

func (s *sips) hasLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lost) > 0
}

// footprint is what a process holds.
type footprint struct {
	files, threads int
	memory         int64
}

func (p *process) footprint() footprint {
	p.t.Helper()
	count := func(name string) int {
		entries, err := os.ReadDir(p.proc(name))
		require.NoError(p.t, err)
		return len(entries)
	}
	return footprint{files: count("fd"), threads: count("task"), memory: p.memory(resident)}
}

// churn makes reloads under load, one for each generation from one to another; the last is to the resting config. It returns what is held
// once all is quiet.
func (l *l7) churn(servers []*upstream, from, to int) footprint {
	l.t.Helper()
	s := startSips(l.t, l.addr)
	for n := from; n < to; n++ {
		before := s.sent.Load()
		l.renew(n, churning(servers, n))
		if n%10 == 0 {
			eventually(l.t, "requests are answered", func() bool { return s.sent.Load() > before || s.hasLost() })
		}
	}
	s.end()
	require.Empty(l.t, first(s.lost), "%d requests lost, %d answered", len(s.lost), s.sent.Load())
	l.renew(to, resting(servers))
	l.awaitQuiet()
	held := l.footprint()
	l.t.Logf("%d reloads, %d requests: %d files, %d threads, %d KiB", to-from+1, s.sent.Load(), held.files, held.threads, held.memory>>10)
	return held
}

// renew puts the config of a generation in force. It looks at the end of the log: to read all lines a thousand times takes too long.
func (l *l7) renew(generation int, lines []string) {
	l.t.Helper()
	l.rewrite(lines...)
	l.signal(syscall.SIGHUP)
	reloaded := fmt.Sprintf(`"generation":%d,"changes":`, generation)
	l.await(reloaded, func() bool { return strings.Contains(l.stderr.end(), reloaded) })
}

// end is the last of the text, far more than what l7 writes at one reload.
func (o *output) end() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := o.text.Bytes()
	return string(text[max(0, len(text)-16<<10):])
}

// awaitQuiet waits until nothing is opened and closed any more: many looks in a row find the same files.
func (l *l7) awaitQuiet() {
	l.t.Helper()
	last, looks := 0, 0
	eventually(l.t, "l7 is quiet", func() bool {
		files := l.footprint().files
		if looks++; files != last {
			looks = 0
		}
		last = files
		return looks >= quietLooks
	})
}

// goroutines ends l7 and returns how many it had, all together, and by the function of l7 that started them.
func (l *l7) goroutines() (all int, ours map[string]int) {
	l.t.Helper()
	l.signal(syscall.SIGQUIT)
	l.exit()
	ours = map[string]int{}
	for _, line := range l.stderr.lines() {
		if strings.HasPrefix(line, "goroutine ") {
			all++
		}
		if creator, found := strings.CutPrefix(line, "created by l7/"); found {
			creator, _, _ = strings.Cut(creator, " in goroutine ")
			ours[creator]++
		}
	}
	return all, ours
}

// TestThousandReloadsLeakNothing: with other servers, backends and bounds each time, a thousand reloads under load lose no request, and
// leave no more files, threads, goroutines and memory behind than a hundred did.
func TestThousandReloadsLeakNothing(t *testing.T) {
	const few, many = 1 + 100, 1 + 1000 // generations: the first one is no reload
	servers := startUpstreams(t, 6)
	l := startReleased(t, churning(servers, 1)...)
	early := l.churn(servers, 2, few)
	late := l.churn(servers, few+1, many)

	assert.LessOrEqual(t, late.files, early.files)
	assert.LessOrEqual(t, late.threads, early.threads+10, "the runtime starts some more as it likes")
	assert.Less(t, late.memory, early.memory+10<<20)
	require.Len(t, l.log("reloaded"), many-1)
	for _, server := range servers {
		assert.NotZero(t, server.stats().Requests, "server %s", server.name)
	}

	fresh := startReleased(t, resting(servers)...)
	fresh.churn(servers, 2, 3)
	freshAll, freshOurs := fresh.goroutines()
	all, ours := l.goroutines()
	t.Logf("%d goroutines, %d after one reload; of l7's own %v", all, freshAll, ours)
	require.NotEmpty(t, ours)
	assert.Equal(t, freshOurs, ours)
	assert.Less(t, all, freshAll+50, "more than what fasthttp and the runtime keep for later")
}
