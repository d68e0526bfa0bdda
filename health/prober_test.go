package health

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"l7/config"
)

// piped is a server at the end of pipes, which a test in a bubble can have. Its status 0 hangs.
type piped struct {
	status atomic.Int64
	half   bool // it hangs in the middle of the body
	began  time.Time

	mu   sync.Mutex // guards came
	came []time.Duration
}

// checks are the times at which they came.
func (p *piped) checks() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.came)
}

func newPiped(status int64) *piped {
	p := &piped{began: time.Now()}
	p.status.Store(status)
	return p
}

func (p *piped) dial(context.Context) (net.Conn, error) {
	p.mu.Lock()
	p.came = append(p.came, time.Since(p.began))
	p.mu.Unlock()
	client, server := net.Pipe()
	go p.serve(server)
	return client, nil
}

func (p *piped) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	if _, err := http.ReadRequest(r); err != nil {
		return
	}
	switch status := p.status.Load(); {
	case p.half:
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\no", status)
	case status != 0:
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status)
		return
	}
	_, _ = r.ReadByte() // until the client goes
}

func usually() config.Health {
	h := config.DefaultBackend().Health
	h.Path = "/healthz"
	return h
}

// after lets the bubble's time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestProberPauses(t *testing.T) {
	f := func(status int64, timeout time.Duration, jitter config.Percent, least, most time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := newPiped(status)
			settings := usually()
			settings.Interval, settings.Timeout, settings.Jitter = 10*time.Second, timeout, jitter
			stop := NewChecks().Start(Key{Address: "a:1", Check: settings}, p.dial, newVerdicts())
			after(1000 * time.Second)
			stop()
			synctest.Wait()
			checks := p.checks()
			require.Zero(t, checks[0], "the first comes at once")
			require.LessOrEqual(t, checks[1], max(10*time.Second, least))
			distinct := map[time.Duration]bool{}
			for i := 2; i < len(checks); i++ {
				pause := checks[i] - checks[i-1]
				require.GreaterOrEqual(t, pause, least)
				require.LessOrEqual(t, pause, most)
				distinct[pause] = true
			}
			require.Equal(t, least < most, len(distinct) > 1)
		})
	}
	second := time.Second
	f(200, 2*second, 10, 9*second, 11*second)
	f(200, 2*second, 0, 10*second, 10*second)
	f(200, 2*second, 100, leastPause, 20*second)
	f(0, 2*second, 0, 10*second, 10*second) // a slow check takes nothing from the frequency
	f(0, 15*second, 0, 15*second, 15*second)
}

// The timeout bounds a check to its end.
func TestProberTimeout(t *testing.T) {
	f := func(p *piped, body string, took time.Duration, want Verdict) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			settings := usually()
			settings.Body = body
			v, began := newVerdicts(), time.Now()
			stop := NewChecks().Start(Key{Address: "a:1", Check: settings}, p.dial, v)
			require.Equal(t, want, <-v.told)
			require.Equal(t, took, time.Since(began))
			stop()
		})
	}
	f(newPiped(0), "", 2*time.Second, Verdict{Reason: "no response within 2s"})
	half := newPiped(200)
	half.half = true
	f(half, "ok", 2*time.Second, Verdict{Reason: "no whole body within 2s"})
	f(half, "", 0, Verdict{Healthy: true}) // the status has said enough
}

// No settings make a prober spin.
func TestProberWithoutInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(200)
		stop := NewChecks().Start(Key{Address: "a:1", Check: config.Health{Path: "/", Timeout: time.Second}}, p.dial, newVerdicts())
		after(100 * leastPause)
		stop()
		synctest.Wait()
		require.LessOrEqual(t, len(p.checks()), 101)
	})
}

// Servers that were added together are not asked together for ever.
func TestProbersSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChecks()
		settings := usually()
		settings.Jitter = 0
		var servers []*piped
		for i := range 20 {
			p := newPiped(200)
			servers = append(servers, p)
			defer c.Start(Key{Address: fmt.Sprintf("a:%d", i+1), Check: settings}, p.dial, newVerdicts())()
		}
		require.Equal(t, 20, c.Len())
		after(settings.Interval)
		distinct := map[time.Duration]bool{}
		for _, p := range servers {
			distinct[p.checks()[1]] = true
		}
		require.Greater(t, len(distinct), 15)
	})
}

// One address with equal settings is asked once, and each who wants to know is told.
func TestChecksAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChecks()
		p := newPiped(200)
		settings := usually()
		a, b := newVerdicts(), newVerdicts()
		stopA := c.Start(Key{Address: "a:1", Check: settings}, p.dial, a)
		synctest.Wait()
		require.Equal(t, Verdict{Healthy: true}, <-a.told)
		stopB := c.Start(Key{Address: "a:1", Check: settings}, p.dial, b)
		require.Equal(t, Verdict{Healthy: true}, <-b.told, "before Start returns")
		require.Equal(t, 1, c.Len())

		other := settings
		other.Path = "/other"
		defer c.Start(Key{Address: "a:1", Check: other}, newPiped(200).dial, newVerdicts())()
		defer c.Start(Key{Address: "a:2", Check: settings}, newPiped(200).dial, newVerdicts())()
		require.Equal(t, 3, c.Len())

		after(100 * time.Second)
		require.Less(t, len(p.checks()), 25, "two would have made 40")
		p.status.Store(503)
		after(20 * time.Second)
		down := Verdict{Reason: "status 503, want 200-399"}
		require.Equal(t, down, <-a.told)
		require.Equal(t, down, <-b.told)

		stopA()
		p.status.Store(200)
		after(20 * time.Second)
		require.Empty(t, a.told)
		require.Equal(t, Verdict{Healthy: true}, <-b.told)
		stopB()
		require.Equal(t, 2, c.Len())
		last := len(p.checks())
		after(100 * time.Second)
		require.Len(t, p.checks(), last)
	})
}

// A reload starts the new before it stops the old: the check goes on, its count of results too, and it connects as the new
// config says.
func TestChecksOutliveAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChecks()
		before, now := newPiped(200), newPiped(503)
		settings := usually()
		settings.Fall = 2
		a, b := newVerdicts(), newVerdicts()
		stop := c.Start(Key{Address: "a:1", Check: settings}, before.dial, a)
		after(0)
		before.status.Store(503)
		for len(before.checks()) < 2 { // the second check comes by chance within one interval
			after(leastPause)
		}
		stopNew := c.Start(Key{Address: "a:1", Check: settings}, now.dial, b)
		stop()
		require.Equal(t, Verdict{Healthy: true}, <-b.told)
		after(settings.Interval * 11 / 10)
		require.Equal(t, Verdict{Reason: "status 503, want 200-399"}, <-b.told, "one bad result from before the reload and one after")
		require.Len(t, before.checks(), 2)
		stopNew()
		require.Zero(t, c.Len())
	})
}

// Stop waits for a Report that is running.
func TestStopWaitsForReport(t *testing.T) {
	address, dial := peer(t, func(http.ResponseWriter, *http.Request) {})
	reporting, goOn := make(chan struct{}), make(chan struct{})
	var reported atomic.Bool
	stop := NewChecks().Start(Key{Address: address, Check: quick()}, dial, reporter(func(Verdict) {
		close(reporting)
		<-goOn
		reported.Store(true)
	}))
	receive(t, reporting)
	go close(goOn)
	stop()
	require.True(t, reported.Load())
}

// Who stops in the middle of a check that has outlasted its pause does not cause another one. It did, by chance.
func TestStopStartsNoCheck(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			p := newPiped(0)
			settings := usually()
			settings.Timeout = 2 * settings.Interval
			stop := NewChecks().Start(Key{Address: "a:1", Check: settings}, p.dial, newVerdicts())
			after(settings.Interval * 3 / 2)
			stop()
			synctest.Wait()
			require.Len(t, p.checks(), 1)
		})
	}
}

// Stop waits for no check, not even for a moment.
func TestStopWaitsForNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		v := newVerdicts()
		stop := NewChecks().Start(Key{Address: "a:1", Check: usually()}, newPiped(0).dial, v)
		synctest.Wait()
		stop()
		synctest.Wait()
		require.Zero(t, time.Since(began))
		require.Empty(t, v.told)
	})
}

// However checks and stops meet, nothing is told to who has stopped.
func TestNoReportAfterStop(t *testing.T) {
	var n atomic.Int64
	address, dial := peer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader([]int{200, 503}[n.Add(1)%2]) // every check flips
	})
	settings := quick()
	settings.Rise, settings.Fall = 1, 1
	c := NewChecks()
	defer c.Start(Key{Address: address, Check: settings}, dial, reporter(func(Verdict) {}))()
	for range 200 {
		var stopped, late atomic.Bool
		told := make(chan struct{}, 1000)
		stop := c.Start(Key{Address: address, Check: settings}, dial, reporter(func(Verdict) {
			late.Store(late.Load() || stopped.Load())
			told <- struct{}{}
		}))
		receive(t, told)
		stop()
		stopped.Store(true)
		require.False(t, late.Load())
		defer func() { require.False(t, late.Load()) }()
	}
}
