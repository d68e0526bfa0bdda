package balancer

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
	"l7/health"
	"l7/metrics"
)

// counts are the attempts made at a member, and how many of them failed by its fault.
func counts(m *Member) (attempts, failures uint64) {
	var sum metrics.ServerSum
	m.Cells().Sum(&sum)
	for _, n := range sum.Failed {
		failures += n
	}
	return sum.Attempts(), failures
}

// unanswered makes an attempt at a member fail, as if a server had.
func unanswered(t *testing.T, m *Member, c cause.Cause, at time.Duration) {
	t.Helper()
	claims, ok := m.enter(at)
	require.True(t, ok)
	m.leave()
	m.failed(&cause.Error{Cause: c}, try{claims: claims, ended: at})
}

// responded makes an attempt at a member succeed with a status.
func responded(t *testing.T, m *Member, status int, at time.Duration) {
	t.Helper()
	claims, ok := m.enter(at)
	require.True(t, ok)
	m.leave()
	m.answered(status, try{claims: claims, ended: at})
}

// ejected is how many members are.
func ejected(b *Backend, at time.Duration) (n int) {
	for _, m := range b.members {
		if m.State(at) == Ejected {
			n++
		}
	}
	return n
}

// A server is ejected after so many failures in a row, whatever the kind, and a success between them starts over.
func TestEjectAfter(t *testing.T) {
	f := func(after int, bad cause.Cause) {
		t.Helper()
		b := picking(t, "first", 4, func(cfg *config.Backend) { cfg.Eject.After = after })
		m := b.members[0]
		for range after - 1 {
			unanswered(t, m, bad, now())
		}
		require.Equal(t, Available, m.State(now()))
		responded(t, m, 200, now())
		for range after - 1 {
			unanswered(t, m, bad, now())
		}
		require.Equal(t, Available, m.State(now()))
		unanswered(t, m, bad, now())
		require.Equal(t, Ejected, m.State(now()))
		require.Len(t, m.History(), 1)
		require.EqualValues(t, 1, m.Ejections())
		require.Same(t, b.members[1], b.pick(keyed(0), now()))
		attempts, failures := counts(m)
		require.EqualValues(t, 2*after, attempts)
		require.EqualValues(t, 2*after-1, failures)
	}
	for _, bad := range []cause.Cause{cause.ServerClosed, cause.ServerTimeout, cause.BadResponse, cause.ConnectRefused, cause.ConnectTimeout, cause.NameUnresolved} {
		f(1, bad)
		f(3, bad)
		f(10, bad)
	}
	b := picking(t, "first", 4, func(cfg *config.Backend) { cfg.Eject.After = 0 })
	for range 100 {
		unanswered(t, b.members[0], cause.ServerClosed, now())
		unanswered(t, b.members[0], cause.ConnectRefused, now())
	}
	require.Zero(t, ejected(b, now()))
}

// What a client does, or what a server has no part in, never counts against a server.
func TestOthersFailuresDoNotCount(t *testing.T) {
	b := picking(t, "first", 4, func(cfg *config.Backend) { cfg.Eject.After = 1 })
	for _, c := range []cause.Cause{cause.ClientGone, cause.ClientTimeout, cause.BodyTooLarge, cause.BadRequest, cause.Full, cause.Internal} {
		unanswered(t, b.members[0], c, now())
	}
	require.Zero(t, ejected(b, now()))
	_, failures := counts(b.members[0])
	require.Zero(t, failures)
}

// A client that resets its connection while it waits for an answer, again and again, has no server ejected.
func TestAClientThatGoesEjectsNobody(t *testing.T) {
	slow := script(t, func(c *net.TCPConn, _ string) bool { _, _ = c.Read(make([]byte, 1)); return false })
	b := failing(t, func(cfg *config.Backend) { cfg.Eject.After = 1 }, slow.Server, dead(t))
	for i := range int64(3) {
		x, far := streaming(t, 0)
		x.Out, x.Method, x.Chunked = []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), []byte("GET"), false
		x.Head = len(x.Out)
		go func() {
			for slow.requests.Load() <= i && t.Context().Err() == nil {
				time.Sleep(time.Millisecond) // until the server has the request
			}
			_ = far.SetLinger(0)
			_ = far.Close()
		}()
		require.Equal(t, cause.ClientGone, causeOf(t, b.Do(x)))
		require.Len(t, x.Attempts(), 1)
	}
	require.Zero(t, ejected(b, now()))
}

// Statuses count as failures where the config says so.
func TestEjectStatuses(t *testing.T) {
	b := picking(t, "first", 4, func(cfg *config.Backend) { cfg.Eject.Statuses = []config.StatusRange{{First: 500, Last: 502}} })
	for range 3 {
		responded(t, b.members[0], 503, now())
		responded(t, b.members[1], 502, now())
		responded(t, b.members[2], 499, now())
	}
	require.Equal(t, 1, ejected(b, now()))
	require.Equal(t, Ejected, b.members[1].State(now()))
}

// No more than max_percent of a backend is ejected for what it answers; of two or more it may be one. Who cannot be connected to
// is out in any case.
func TestMaxPercent(t *testing.T) {
	f := func(servers, percent, want int) {
		t.Helper()
		b := picking(t, "first", servers, func(cfg *config.Backend) { cfg.Eject.MaxPercent, cfg.Eject.After = percent, 1 })
		for range 2 {
			for _, m := range b.members {
				if m.State(now()) == Available {
					unanswered(t, m, cause.ServerClosed, now())
				}
			}
		}
		require.Equal(t, want, ejected(b, now()))
		for _, m := range b.members {
			if m.State(now()) == Available {
				unanswered(t, m, cause.ConnectRefused, now())
			}
		}
		if servers > 1 { // one that has no other beside it is not ejected
			require.Equal(t, servers, ejected(b, now()))
		}
	}
	f(4, 50, 2)
	f(4, 100, 4)
	f(4, 0, 0)
	f(4, 74, 2)
	f(2, 10, 1)
	f(1, 50, 0)
}

// Of many requests at a time one finds out whether a server is back. Its failure doubles the time, its success ends it.
func TestOneProbe(t *testing.T) {
	b := picking(t, "first", 4, func(cfg *config.Backend) { cfg.Eject.After = 1; cfg.Eject.Max = 15 * time.Second })
	m := b.members[0]
	f := func(want time.Duration) {
		t.Helper()
		require.InDelta(t, float64(now()+want), float64(m.eject.Until()), float64(time.Second))
	}
	unanswered(t, m, cause.ServerClosed, now())
	f(5 * time.Second)
	for _, want := range []time.Duration{10 * time.Second, 15 * time.Second, 15 * time.Second} {
		due := m.eject.Until()
		require.Equal(t, Ejected, m.State(due-1))
		require.Same(t, m, b.pick(keyed(0), due))
		probe, ok := m.enter(due)
		require.True(t, ok)
		require.Same(t, b.members[1], b.pick(keyed(0), due), "there is a probe under way")
		_, second := m.enter(due)
		require.False(t, second)
		m.leave()
		m.failed(&cause.Error{Cause: cause.ServerClosed}, try{claims: probe, ended: now()})
		f(want)
	}
	due := m.eject.Until()
	probe, ok := m.enter(due)
	require.True(t, ok)
	m.leave()
	m.failed(&cause.Error{Cause: cause.ClientGone}, try{claims: probe, ended: now()}) // it has found out nothing
	require.Same(t, m, b.pick(keyed(0), due))
	responded(t, m, 200, due)
	require.Equal(t, Available, m.State(now()))
	require.Equal(t, "readmitted", m.History()[len(m.History())-1].State)
	require.Zero(t, m.InFlight())
}

// When all are out the answer says so, and when to come back.
func TestAllDown(t *testing.T) {
	b := failing(t, func(cfg *config.Backend) { cfg.Eject.After = 1 }, dead(t), dead(t))
	require.Equal(t, cause.ConnectRefused, causeOf(t, b.Do(asking(t))))
	require.Equal(t, 2, ejected(b, now()))
	x := asking(t)
	err := b.Do(x)
	require.Equal(t, cause.Unavailable, causeOf(t, err))
	failure := err.(*cause.Error) //nolint:errorlint // it always is one
	require.True(t, failure.Unsent)
	require.Positive(t, failure.RetryAfter)
	require.LessOrEqual(t, failure.RetryAfter, b.eject.Time)
	require.Empty(t, x.Attempts())
}

// With all_down: serve each request tries a server all the same, and the first answer ends the outage.
func TestAllDownServe(t *testing.T) {
	up := script(t, answering("200 OK"))
	b := failing(t, func(cfg *config.Backend) { cfg.AllDown, cfg.Eject.MaxPercent = "serve", 100 }, dead(t), up.Server)
	for range 3 {
		unanswered(t, b.members[0], cause.ConnectRefused, now())
		unanswered(t, b.members[1], cause.ServerClosed, now())
	}
	require.Equal(t, 2, ejected(b, now()))
	for range 5 {
		x := asking(t)
		require.NoError(t, b.Do(x))
		x.Finish()
	}
	for _, m := range b.members {
		m.Report(health.Verdict{Reason: "status 500"})
	}
	x := asking(t)
	require.NoError(t, b.Do(x))
	x.Finish()
	b.members[0].Drain(true)
	b.members[1].Drain(true)
	require.Equal(t, cause.Unavailable, causeOf(t, b.Do(asking(t))), "who is drained gets nothing in any case")
}

// An active check keeps a server out and lets it back, also from an ejection.
func TestVerdicts(t *testing.T) {
	b := picking(t, "first", 2)
	m := b.members[0]
	m.Report(health.Verdict{Healthy: true})
	require.Empty(t, m.History(), "it has served before it was known")
	m.Report(health.Verdict{Reason: "status 500"})
	m.Report(health.Verdict{Reason: "status 500"})
	require.Equal(t, Unhealthy, m.State(now()))
	require.Same(t, b.members[1], b.pick(keyed(0), now()))
	b.members[1].Report(health.Verdict{Reason: "status 500"})
	require.Nil(t, b.pick(keyed(0), now()))
	require.Equal(t, cause.Unavailable, b.refusal(keyed(0), now()).Cause)
	m.Report(health.Verdict{Healthy: true, Reason: "status 200"})
	require.Same(t, m, b.pick(keyed(0), now()))
	require.Len(t, m.History(), 2)
	require.Equal(t, "unhealthy", m.History()[0].State)
	require.Equal(t, "healthy", m.History()[1].State)
	for range 3 {
		unanswered(t, m, cause.ConnectRefused, now())
	}
	require.Equal(t, Ejected, m.State(now()))
	m.Report(health.Verdict{Reason: "connection refused"})
	m.Report(health.Verdict{Healthy: true})
	require.Equal(t, Available, m.State(now()))
}

// A server that is back starts with little and grows to its share.
func TestSlowStart(t *testing.T) {
	b := picking(t, "least_loaded", 3, weights(1, 10, 10), func(cfg *config.Backend) { cfg.SlowStart = 10 * time.Second })
	m := b.members[1]
	require.InDelta(t, 10, m.weight(now()), 0, "it was there at the start")
	m.Drain(true)
	m.Drain(false)
	at := time.Duration(m.since.Load())
	last := 0.0
	for i := range 11 {
		weight := m.weight(at + time.Duration(i)*time.Second)
		require.InDelta(t, max(float64(i), 0.1), weight, 1e-9)
		require.Greater(t, weight, last)
		last = weight
	}
	require.InDelta(t, 10, m.weight(at+time.Hour), 0)
	for _, policy := range []string{"least_loaded", "round_robin", "random_two", "least_time"} {
		b := picking(t, policy, 3, func(cfg *config.Backend) { cfg.SlowStart = time.Hour })
		b.members[1].Drain(true)
		b.members[1].Drain(false)
		require.LessOrEqual(t, picks(b, 0, 300)[1], 20, policy)
	}
}
