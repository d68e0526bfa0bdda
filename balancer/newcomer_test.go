package balancer

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
	"l7/health"
)

// candidate is a server that serves at once, but whose checks get no answer before the test has given one.
type candidate struct {
	config.Server
	checks atomic.Int64 // answered
	status atomic.Int64 // of checks; 0: they wait
	told   chan struct{}
}

func newCandidate(t *testing.T) *candidate {
	t.Helper()
	c := &candidate{told: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/check" {
			return
		}
		select {
		case <-c.told:
			w.WriteHeader(int(c.status.Load()))
			c.checks.Add(1)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		c.answer(http.StatusOK) // or a check that nobody has stopped would keep it open
		server.Close()
	})
	c.Server = config.Server{Address: address(t, server.Listener.Addr().String()), Weight: 1}
	return c
}

// answer says what checks get from now on.
func (c *candidate) answer(status int64) {
	if c.status.Swap(status) == 0 {
		close(c.told)
	}
}

// checking is the section of a backend that checks these servers.
func checking(candidates ...*candidate) config.Backend {
	cfg := config.DefaultBackend()
	for _, c := range candidates {
		cfg.Servers = append(cfg.Servers, c.Server)
	}
	cfg.Health.Path, cfg.Health.Interval, cfg.Health.Timeout = "/check", time.Minute, time.Minute
	return cfg
}

// activated is a backend that has taken the place of another one, if there is one.
func activated(t *testing.T, registry *Registry, cfg config.Backend, old *Backend) *Backend {
	t.Helper()
	b := New("b", cfg, registry, options)
	b.Activate()
	if old != nil {
		old.Close()
	}
	return b
}

// states are the members' in their order.
func states(b *Backend) (list []State) {
	for _, m := range b.members {
		list = append(list, m.State(now()))
	}
	return list
}

func awaitState(t *testing.T, m *Member, want State) {
	t.Helper()
	require.Eventually(t, func() bool { return m.State(now()) == want }, patience, time.Millisecond)
}

// served counts the members that n requests were answered by.
func served(t *testing.T, b *Backend, n int) []int {
	t.Helper()
	counts := make([]int, len(b.members))
	for range n {
		_, x := asked(t, b)
		for i, m := range b.members {
			if x.Member() == m {
				counts[i]++
			}
		}
		x.Finish()
	}
	return counts
}

// Where health is required nobody serves before the first verdict, not even at the start of the process.
func TestRequiredHealth(t *testing.T) {
	one, two := newCandidate(t), newCandidate(t)
	cfg := checking(one, two)
	cfg.Health.Required = true
	b := New("b", cfg, newRegistry(), options)
	defer b.Close()
	require.Equal(t, []State{Unchecked, Unchecked}, states(b))
	b.Activate()
	require.Equal(t, []State{Unchecked, Unchecked}, states(b))
	x := asking(t)
	require.Equal(t, cause.Unavailable, causeOf(t, b.Do(x)))
	require.Empty(t, x.Attempts())

	one.answer(http.StatusOK)
	awaitState(t, b.members[0], Available)
	require.Equal(t, []int{10, 0}, served(t, b, 10))
	two.answer(http.StatusServiceUnavailable)
	awaitState(t, b.members[1], Unhealthy)
	require.Equal(t, []int{10, 0}, served(t, b, 10))
	require.Equal(t, "healthy", b.members[0].History()[0].State)
	require.Equal(t, "unhealthy", b.members[1].History()[0].State)
	require.Contains(t, b.members[1].History()[0].Reason, "503")
}

// Who is not known yet is still better than nobody, where the config says so.
func TestRequiredHealthAndAllDownServe(t *testing.T) {
	cfg := checking(newCandidate(t))
	cfg.Health.Required, cfg.AllDown = true, "serve"
	b := activated(t, newRegistry(), cfg, nil)
	defer b.Close()
	require.Equal(t, []State{Unchecked}, states(b))
	require.Equal(t, []int{10}, served(t, b, 10))
}

// Otherwise those that are there at the start serve while nothing is known of them, and the first bad check ends it.
func TestUnknownServersServe(t *testing.T) {
	one, two := newCandidate(t), newCandidate(t)
	b := New("b", checking(one, two), newRegistry(), options)
	defer b.Close()
	require.Equal(t, []State{Available, Available}, states(b))
	b.Activate()
	require.Equal(t, []int{5, 5}, served(t, b, 10))
	one.answer(http.StatusOK)
	two.answer(http.StatusServiceUnavailable)
	awaitState(t, b.members[1], Unhealthy)
	require.Eventually(t, func() bool { return b.members[0].verdict.Load() == well }, patience, time.Millisecond)
	require.Empty(t, b.members[0].History(), "nothing has changed")
	require.Equal(t, []int{10, 0}, served(t, b, 10))
}

// A server that joins a backend which serves waits for its first verdict; those that were there go on meanwhile.
func TestANewcomerWaitsForItsFirstVerdict(t *testing.T) {
	f := func(status int64, want State, serves bool) {
		t.Helper()
		one, newcomer := newCandidate(t), newCandidate(t)
		registry := newRegistry()
		old := activated(t, registry, checking(one), nil)
		b := New("b", checking(one, newcomer), registry, options)
		defer b.Close()
		require.Equal(t, []State{Available, Unchecked}, states(b))
		b.Activate()
		old.Close()
		require.Equal(t, []State{Available, Unchecked}, states(b))
		require.Equal(t, []int{10, 0}, served(t, b, 10))
		newcomer.answer(status)
		awaitState(t, b.members[1], want)
		counts := served(t, b, 100)
		require.Positive(t, counts[0])
		require.Equal(t, serves, counts[1] > 0, counts)
	}
	f(http.StatusOK, Available, true)
	f(http.StatusServiceUnavailable, Unhealthy, false)
}

// Who is a newcomer, and who is not.
func TestNewcomers(t *testing.T) {
	one, two := newCandidate(t), newCandidate(t)
	both := checking(one, two)
	unchecked := checking(one, two)
	unchecked.Health.Path = ""

	t.Run("without checks there is no verdict to wait for", func(t *testing.T) {
		registry := newRegistry()
		b := activated(t, registry, unchecked, activated(t, registry, section(one.Server), nil))
		defer b.Close()
		require.Equal(t, []State{Available, Available}, states(b))
	})
	t.Run("nor do those wait that were there before there were checks", func(t *testing.T) {
		registry := newRegistry()
		b := activated(t, registry, both, activated(t, registry, unchecked, nil))
		defer b.Close()
		require.Equal(t, []State{Available, Available}, states(b))
	})
	t.Run("checks that end wait for nothing any more", func(t *testing.T) {
		registry := newRegistry()
		waiting := activated(t, registry, both, activated(t, registry, checking(one), nil))
		require.Equal(t, []State{Available, Unchecked}, states(waiting))
		b := activated(t, registry, unchecked, waiting)
		defer b.Close()
		require.Equal(t, []State{Available, Available}, states(b))
	})
	t.Run("who was away comes back as a newcomer", func(t *testing.T) {
		registry := newRegistry()
		b := activated(t, registry, checking(one), activated(t, registry, both, nil))
		b = activated(t, registry, both, b)
		defer b.Close()
		require.Equal(t, []State{Available, Unchecked}, states(b))
	})
	t.Run("a backend that was away is new as a whole", func(t *testing.T) {
		registry := newRegistry()
		activated(t, registry, checking(one), nil).Close()
		b := activated(t, registry, both, nil)
		defer b.Close()
		require.Equal(t, []State{Available, Available}, states(b))
	})
	t.Run("what another backend has is new to this one", func(t *testing.T) {
		registry := newRegistry()
		other := New("other", both, registry, options)
		other.Activate()
		defer other.Close()
		b := activated(t, registry, both, activated(t, registry, checking(one), nil))
		defer b.Close()
		require.Equal(t, []State{Available, Unchecked}, states(b))
		require.Equal(t, []State{Available, Available}, states(other))
	})
	t.Run("a config that comes to nothing makes nobody one", func(t *testing.T) {
		registry := newRegistry()
		b := activated(t, registry, both, nil)
		defer b.Close()
		New("b", checking(one, two, newCandidate(t)), registry, options).Close()
		require.Equal(t, []State{Available, Available}, states(b))
	})
	t.Run("a server that waits goes on waiting through a reload", func(t *testing.T) {
		registry := newRegistry()
		waiting := activated(t, registry, both, activated(t, registry, checking(one), nil))
		b := activated(t, registry, both, waiting)
		defer b.Close()
		require.Equal(t, []State{Available, Unchecked}, states(b))
		b.members[1].Report(health.Verdict{Healthy: true})
		require.Equal(t, []State{Available, Available}, states(b))
	})
}

// A reload may replace all servers of a backend. A bug had every request refused until the first check of a newcomer was over.
func TestNewcomersServeWhenNobodyElseIsLeft(t *testing.T) {
	f := func(required bool) {
		t.Helper()
		registry := newRegistry()
		cfg := checking(newCandidate(t), newCandidate(t))
		cfg.Health.Required = required
		b := activated(t, registry, cfg, activated(t, registry, checking(newCandidate(t)), nil))
		defer b.Close()
		require.Equal(t, []State{Unchecked, Unchecked}, states(b))
		x := asking(t)
		err := b.Do(x)
		if required {
			require.Equal(t, cause.Unavailable, causeOf(t, err))
			return
		}
		require.NoError(t, err)
		x.Finish()
		require.False(t, b.IsDown())
	}
	f(false)
	f(true)
}

// A server that was there from the start is no newcomer when its required check is over: it has its full weight at once.
func TestRequiredServersDoNotStartSlowly(t *testing.T) {
	cfg := checking(newCandidate(t))
	cfg.Health.Required, cfg.SlowStart = true, time.Hour
	b := activated(t, newRegistry(), cfg, nil)
	defer b.Close()
	b.members[0].Report(health.Verdict{Healthy: true})
	require.Equal(t, []State{Available}, states(b))
	require.InDelta(t, 1, b.members[0].weight(now()), 0)
}

// With slow_start a newcomer begins with little and grows to its share. Who was there at the start of the process has it at once.
func TestANewcomerStartsSlowly(t *testing.T) {
	f := func(path string) {
		t.Helper()
		registry := newRegistry()
		one, newcomer := newCandidate(t), newCandidate(t)
		one.Weight, newcomer.Weight = 10, 10
		slowly := func(candidates ...*candidate) config.Backend {
			cfg := checking(candidates...)
			cfg.Health.Path, cfg.SlowStart = path, 100*time.Second
			return cfg
		}
		old := activated(t, registry, slowly(one), nil)
		require.InDelta(t, 10, old.members[0].weight(now()), 0)
		b := activated(t, registry, slowly(one, newcomer), old)
		defer b.Close()
		joined := now()
		newcomer.answer(http.StatusOK)
		awaitState(t, b.members[1], Available)

		require.InDelta(t, 10, b.members[0].weight(now()), 0)
		m, began := b.members[1], time.Duration(b.members[1].since.Load())
		if path != "" {
			require.GreaterOrEqual(t, began, joined, "it begins with the first verdict")
		}
		for seconds, want := range map[time.Duration]float64{0: 0.1, 1: 0.1, 10: 1, 50: 5, 99: 9.9, 100: 10, 1000: 10} {
			require.InDelta(t, want, m.weight(began+seconds*time.Second), 1e-9, seconds)
		}
		counts := served(t, b, 100)
		require.Positive(t, counts[1])
		require.Less(t, counts[1], 20, "%v; it has begun just now", counts)
	}
	f("/check")
	f("")
}

// A server that is drained is checked all the same, so that all is known of it when draining is over. A reload changes nothing of that.
func TestADrainedServerIsChecked(t *testing.T) {
	registry := newRegistry()
	one, two := newCandidate(t), newCandidate(t)
	cfg := checking(one, two)
	cfg.Health.Interval, cfg.Health.Rise, cfg.Health.Fall = time.Millisecond, 1, 1
	one.answer(http.StatusOK)
	two.answer(http.StatusOK)
	b := activated(t, registry, cfg, nil)
	m := b.members[0]
	require.Eventually(t, func() bool { return m.verdict.Load() == well }, patience, time.Millisecond)
	m.Drain(true)
	m.Drain(true)

	past := func(want ...string) {
		t.Helper()
		require.Eventually(t, func() bool { return len(m.History()) == len(want) }, patience, time.Millisecond)
		var got []string
		for _, c := range m.History() {
			got = append(got, c.State)
		}
		require.Equal(t, want, got)
	}
	one.answer(http.StatusServiceUnavailable)
	past("draining", "unhealthy")
	require.Equal(t, []State{Draining, Available}, states(b))
	cfg.Health.Interval = 2 * time.Millisecond // another check, of the same server
	b = activated(t, registry, cfg, b)
	defer b.Close()
	m = b.members[0]
	require.Equal(t, []State{Draining, Available}, states(b))
	past("draining", "unhealthy")

	seen := one.checks.Load()
	require.Eventually(t, func() bool { return one.checks.Load() > seen }, patience, time.Millisecond)
	one.answer(http.StatusOK)
	past("draining", "unhealthy", "healthy")
	require.Equal(t, []int{0, 10}, served(t, b, 10))
	m.Drain(false)
	past("draining", "unhealthy", "healthy", "available")
	require.Equal(t, []State{Available, Available}, states(b))
	require.Positive(t, served(t, b, 10)[0])
}
