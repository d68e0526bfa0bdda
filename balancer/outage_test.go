package balancer

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
	"l7/exchange"
	"l7/health"
)

// An outage is told of once when it begins and once when it is over, however many requests it meets.
func TestAnOutageIsToldOfOnce(t *testing.T) {
	f := func(name, allDown string, answers bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var told []string
			registry := NewRegistry(exchange.NewPools(), func(c Change) {
				if c.IsBackends() {
					told = append(told, c.Backend+" "+c.State)
				}
			})
			cfg := section(script(t, answering("200 OK")).Server, script(t, answering("200 OK")).Server)
			cfg.AllDown = allDown
			b := New("b", cfg, registry, options)
			t.Cleanup(b.Close)
			_, x := asked(t, b)
			x.Finish()
			for _, m := range b.members {
				m.verdict.Store(unwell)
			}
			for range 3 {
				x := asking(t)
				err := b.Do(x)
				if answers {
					require.NoError(t, err)
					x.Finish()
				} else {
					require.Equal(t, cause.Unavailable, causeOf(t, err))
				}
				require.True(t, b.IsDown())
			}
			require.Equal(t, []string{"b down"}, told)
			b.members[0].verdict.Store(well)
			for range 2 {
				_, x := asked(t, b)
				x.Finish()
			}
			require.Equal(t, []string{"b down", "b up"}, told)
			require.False(t, b.IsDown())
		})
	}
	f("fail", "fail", false)
	f("serve", "serve", true)
}

// Whether a backend is down is seen without a request. A bug showed one as up that served nobody until the first request had failed.
func TestABackendIsDownBeforeAnybodyAsks(t *testing.T) {
	f := func(name string, down bool, edit func(cfg *config.Backend), change func(b *Backend)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			cfg := section(script(t, answering("200 OK")).Server, script(t, answering("200 OK")).Server)
			edit(&cfg)
			b := activated(t, newRegistry(), cfg, nil)
			t.Cleanup(b.Close)
			change(b)
			require.Equal(t, down, b.IsDown())
		})
	}
	as := func(*config.Backend) {}
	serve := func(cfg *config.Backend) { cfg.AllDown = "serve" }
	each := func(change func(m *Member)) func(*Backend) {
		return func(b *Backend) {
			for _, m := range b.members {
				change(m)
			}
		}
	}
	drain := each(func(m *Member) { m.Drain(true) })
	unhealthy := each(func(m *Member) { m.Report(health.Verdict{Reason: "status 500"}) })
	ejected := each(func(m *Member) { m.connect.Failed(now(), health.Thresholds{After: 1, Time: time.Minute}, nil) })
	f("as it starts", false, as, func(*Backend) {})
	f("no servers", true, func(cfg *config.Backend) { cfg.Servers = nil }, func(*Backend) {})
	f("no servers, serve", true, func(cfg *config.Backend) { serve(cfg); cfg.Servers = nil }, func(*Backend) {})
	f("one drained", false, as, func(b *Backend) { b.members[0].Drain(true) })
	f("all drained", true, as, drain)
	f("all drained, serve", true, serve, drain)
	f("undrained", false, as, func(b *Backend) { drain(b); b.members[1].Drain(false) })
	f("unhealthy", true, as, unhealthy)
	f("unhealthy, serve", false, serve, unhealthy)
	f("ejected", true, as, ejected)
	f("ejected, serve", false, serve, ejected)
	f("full", false, func(cfg *config.Backend) { cfg.Servers[0].MaxInFlight, cfg.Servers[1].MaxInFlight = 1, 1 }, each(func(m *Member) { m.inFlight.Add(1) }))
	f("weight 0", true, func(cfg *config.Backend) { cfg.Servers[0].Weight, cfg.Servers[1].Weight = 0, 0 }, func(*Backend) {})
}

// An outage that was told of is not over because the time of an ejection is: nobody has answered yet. A bug had l7_backend_up go up and down with
// each ejection of a dead backend that few ask, so that an alert which waits for a minute of it never came.
func TestAnOutageLastsUntilSomebodyAnswers(t *testing.T) {
	b := activated(t, newRegistry(), section(script(t, answering("200 OK")).Server, script(t, answering("200 OK")).Server), nil)
	defer b.Close()
	eject := func(lasts time.Duration) {
		for _, m := range b.members {
			m.connect.Readmit()
			m.connect.Failed(now(), health.Thresholds{After: 1, Time: lasts}, nil)
		}
	}
	eject(time.Nanosecond)
	require.Equal(t, []State{Available, Available}, states(b))
	require.False(t, b.IsDown(), "nobody has found it down")
	eject(time.Hour)
	require.Equal(t, cause.Unavailable, causeOf(t, b.Do(asking(t))))
	require.True(t, b.IsDown())
	eject(time.Nanosecond)
	require.Equal(t, []State{Available, Available}, states(b))
	require.True(t, b.IsDown())
	_, x := asked(t, b)
	x.Finish()
	require.False(t, b.IsDown())
}

// An outage says what is so: that there is no server is another matter than that none is available. A bug said the latter of both.
func TestWhyABackendIsDown(t *testing.T) {
	f := func(want string, cfg config.Backend, o Options) {
		t.Helper()
		var told []string
		b := New("b", cfg, NewRegistry(exchange.NewPools(), func(c Change) {
			if c.IsBackends() {
				told = append(told, c.Reason)
			}
		}), o)
		defer b.Close()
		for _, m := range b.members {
			m.verdict.Store(unwell)
		}
		require.Equal(t, want, b.WhyDown())
		_ = b.Do(asking(t))
		require.Equal(t, []string{want}, told)
	}
	serve := section(dead(t))
	serve.AllDown = "serve"
	unresolved := options
	unresolved.Unresolved = errors.New("nowhere.test: no such host")
	f("it has no servers; requests are answered 503", section(), options)
	f("cannot resolve nowhere.test: no such host; requests are answered 503", section(), unresolved)
	f("no server is available; requests are answered 503 (all_down: fail)", section(dead(t)), options)
	f("no server is available; all are tried in spite of it (all_down: serve)", serve, options)
}

// The last failure of a server is known until it answers again. A bug had a server that refuses every connection, and is never ejected because it is
// the only one, look like one that is well.
func TestTheLastFailure(t *testing.T) {
	f := func(want string, change func(*config.Backend), s config.Server, mend func()) {
		t.Helper()
		b := failing(t, change, s)
		m := b.members[0]
		require.Nil(t, m.LastFailure())
		before := time.Now()
		x := asking(t)
		if b.Do(x) == nil {
			x.Finish()
		}
		last := m.LastFailure()
		require.NotNil(t, last, want)
		require.Contains(t, last.Reason, want)
		require.WithinRange(t, last.Time, before, time.Now())
		mend()
		_, x = asked(t, b)
		x.Finish()
		require.Nil(t, m.LastFailure())
	}
	second := func(first func(c *net.TCPConn, body string) bool) config.Server {
		var asked atomic.Int64
		return script(t, func(c *net.TCPConn, body string) bool {
			if asked.Add(1) == 1 {
				return first(c, body)
			}
			return answering("200 OK")(c, body)
		}).Server
	}
	f("server_closed", nil, second(resetting), func() {})
	f("status 503", func(cfg *config.Backend) { cfg.Eject.Statuses = []config.StatusRange{{First: 503, Last: 503}} }, second(answering("503 No")), func() {})
	refusing := dead(t)
	f("connect_refused: ", nil, refusing, func() {
		ln, err := net.Listen("tcp", refusing.Address.Dial())
		require.NoError(t, err)
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			if _, err = c.Read(make([]byte, 1024)); err == nil {
				answering("200 OK")(c.(*net.TCPConn), "")
			}
		}()
	})
}

// The counts tell the requests from the further attempts.
func TestCounts(t *testing.T) {
	b := failing(t, func(cfg *config.Backend) {
		cfg.Retry.On, cfg.Retry.Budget, cfg.Policy = []config.StatusRange{{First: 503, Last: 503}}, 0, "first"
	}, script(t, answering("503 One")).Server, script(t, answering("200 OK")).Server)
	for range floorBurst + 5 {
		_, x := asked(t, b)
		x.Finish()
	}
	require.Equal(t, Counts{Requests: floorBurst + 5, Retries: floorBurst, Unaffordable: 5}, b.Counts())
}
