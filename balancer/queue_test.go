package balancer

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
	"l7/exchange"
	"l7/health"
	"l7/http1"
)

// capped is a server that answers with its name and may have so many requests at a time.
func capped(t *testing.T, name string, most int) config.Server {
	t.Helper()
	server := serving(t, name)
	server.MaxInFlight = most
	return server
}

// waitingAt is a section with a queue, whose servers are asked in the order given.
func waitingAt(servers ...config.Server) config.Backend {
	cfg := section(servers...)
	cfg.Policy, cfg.Queue = "first", config.Queue{Length: 100, Timeout: patience}
	return cfg
}

// pending is a request that is under way.
type pending struct {
	*Request
	ended chan error
}

func begin(x *Request, b *Backend) pending {
	p := pending{x, make(chan error, 1)}
	go func() { p.ended <- b.Do(x) }()
	return p
}

// twoWaiting are two requests in line.
func twoWaiting(t *testing.T, b *Backend) (one, two pending) {
	t.Helper()
	one = begin(asking(t), b)
	waits(t, b, 1)
	two = begin(asking(t), b)
	waits(t, b, 2)
	return one, two
}

// answer is who answers the request, soon.
func (p pending) answer(t *testing.T) string {
	t.Helper()
	require.NoError(t, p.end(t))
	defer p.Finish()
	return string(p.Response.Reason())
}

// end is how the request ends, soon: long before the time in the queue is over.
func (p pending) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(patience / 2):
		require.FailNow(t, "it still waits")
		return nil
	}
}

// Who waits is served by the config in force, in order. A bug had each look among the servers of its own config: after a reload had added
// an idle one the first in line kept waiting for the full one, and all who came later stood behind it.
func TestAReloadServesThoseWhoWait(t *testing.T) {
	f := func(name string, next func(full config.Server) []config.Server, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			registry, full := newRegistry(), capped(t, "old", 1)
			b := activated(t, registry, waitingAt(full), nil)
			_, held := asked(t, b)
			var line []pending
			for i := range 3 {
				line = append(line, begin(asking(t), b))
				waits(t, b, int64(i+1))
			}
			b = activated(t, registry, waitingAt(next(full)...), b)
			defer b.Close()
			for i, p := range line {
				require.NoError(t, p.end(t))
				require.Equal(t, want, string(p.Response.Reason()))
				if i+1 < len(line) {
					require.Empty(t, line[i+1].ended, "there is one place, and it is not free")
				}
				p.Finish()
			}
			name, x := asked(t, b)
			require.Equal(t, want, name)
			x.Finish()
			held.Finish()
			waits(t, b, 0)
			for _, m := range b.members {
				require.Zero(t, m.InFlight())
			}
		})
	}
	f("a server is added", func(full config.Server) []config.Server { return []config.Server{full, capped(t, "new", 1)} }, "new")
	f("a server is replaced", func(config.Server) []config.Server { return []config.Server{capped(t, "new", 1)} }, "new")
	f("a cap is raised", func(full config.Server) []config.Server {
		full.MaxInFlight = 2
		return []config.Server{full}
	}, "old")
}

// From the server on that it has waited for, a request goes by the config in force: its retry goes to none that is no longer there.
func TestWhoHasWaitedGoesByTheNewConfig(t *testing.T) {
	registry, met, fail := newRegistry(), make(chan struct{}), make(chan struct{})
	bad := script(t, func(c *net.TCPConn, body string) bool {
		close(met)
		<-fail
		return resetting(c, body)
	})
	b := activated(t, registry, waitingAt(capped(t, "old", 1)), nil)
	_, held := asked(t, b)
	p := begin(asking(t), b)
	waits(t, b, 1)
	b = activated(t, registry, waitingAt(bad.Server, serving(t, "new")), b)
	defer b.Close()
	<-met
	held.Finish()
	close(fail)
	require.Equal(t, "new", p.answer(t))
}

// A backend that is no longer in the config still has its servers answer who came before, as for the requests that they have already.
func TestWhoWaitsOutlivesTheBackend(t *testing.T) {
	b := activated(t, newRegistry(), waitingAt(capped(t, "old", 1)), nil)
	_, held := asked(t, b)
	one, two := twoWaiting(t, b)
	b.Close()
	held.Finish()
	require.Equal(t, "old", one.answer(t))
	require.Equal(t, "old", two.answer(t))
}

// Without a full server there is nothing to wait for: who waits is told so as who comes is.
func TestWhoWaitsInVainIsToldSo(t *testing.T) {
	f := func(name string, change func(t *testing.T, registry *Registry, b *Backend) *Backend, want cause.Cause) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			registry := newRegistry()
			b := activated(t, registry, waitingAt(capped(t, "old", 1), dead(t)), nil)
			b.members[1].Drain(true)
			_, held := asked(t, b)
			one, two := twoWaiting(t, b)
			b = change(t, registry, b)
			defer b.Close()
			require.Equal(t, want, causeOf(t, one.end(t)))
			require.Equal(t, want, causeOf(t, two.end(t)))
			require.Equal(t, want, causeOf(t, b.Do(asking(t))))
			held.Finish()
		})
	}
	f("no servers", func(t *testing.T, registry *Registry, b *Backend) *Backend {
		return activated(t, registry, waitingAt(), b)
	}, cause.NoServer)
	f("unhealthy", func(_ *testing.T, _ *Registry, b *Backend) *Backend {
		b.members[0].Report(health.Verdict{Reason: "status 500"})
		return b
	}, cause.Unavailable)
}

// A config that is never put in force serves nobody.
func TestARefusedConfigServesNobody(t *testing.T) {
	registry, full := newRegistry(), capped(t, "old", 1)
	b := activated(t, registry, waitingAt(full), nil)
	defer b.Close()
	_, held := asked(t, b)
	p := begin(asking(t), b)
	waits(t, b, 1)
	New("b", waitingAt(serving(t, "new")), registry, options).Close()
	held.Finish()
	require.Equal(t, "old", p.answer(t))
}

// A server that failed a request is not tried again by it, also when a reload has given it another Member.
func TestAReloadForgetsNoAttempt(t *testing.T) {
	registry, gone, full := newRegistry(), dead(t), capped(t, "alive", 1)
	b := activated(t, registry, waitingAt(gone, full), nil)
	_, held := asked(t, b)
	p := begin(asking(t), b)
	waits(t, b, 1)
	full.Weight = 2
	b = activated(t, registry, waitingAt(gone, full), b)
	defer b.Close()
	held.Finish()
	require.Equal(t, "alive", p.answer(t))
	require.Equal(t, []cause.Cause{cause.ConnectRefused, cause.None}, tried(p.Request))
}

// Beside a full server a dead one costs no request. A bug had those fail that met the dead one, with its failure, instead of waiting for
// the other one.
func TestADeadServerAndAFullOneCostNobodyARequest(t *testing.T) {
	b := activated(t, newRegistry(), waitingAt(dead(t), capped(t, "alive", 1)), nil)
	defer b.Close()
	_, held := asked(t, b)
	requests := []*Request{asking(t), posting(t), asking(t), posting(t), asking(t), asking(t)}
	var all sync.WaitGroup
	for i, x := range requests {
		all.Go(func() {
			if assert.NoError(t, b.Do(x)) {
				x.Finish()
			}
		})
		waits(t, b, int64(i+1))
	}
	held.Finish()
	all.Wait()
	require.Equal(t, []cause.Cause{cause.ConnectRefused, cause.None}, tried(requests[0]), "it has met the dead one before it waited")
}

// What may be sent again waits for a server that may be asked; what may not, or is out of retries, ends at once.
func TestWhoMayWaitAfterAFailure(t *testing.T) {
	f := func(name string, x func(*testing.T) *Request, change func(*config.Backend), waiting bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			first, full := script(t, resetting), capped(t, "alive", 1)
			cfg := waitingAt(first.Server, full)
			change(&cfg)
			b := activated(t, newRegistry(), cfg, nil)
			defer b.Close()
			_, ok := b.members[1].enter(now())
			require.True(t, ok)
			p := begin(x(t), b)
			if waiting {
				waits(t, b, 1)
				b.members[1].leave()
				require.Equal(t, "alive", p.answer(t))
			} else {
				require.Equal(t, cause.ServerClosed, causeOf(t, p.end(t)))
				b.members[1].leave()
			}
			require.EqualValues(t, 1, first.requests.Load())
		})
	}
	none := func(*config.Backend) {}
	f("GET", asking, none, true)
	f("POST", posting, none, false)
	f("no retries", asking, func(cfg *config.Backend) { cfg.Retry.Retries = 0 }, false)
	f("no place in the queue", asking, func(cfg *config.Backend) { cfg.Queue.Length = 0 }, false)
}

// Who has tried all servers waits for none of them.
func TestNobodyWaitsForWhatHasFailed(t *testing.T) {
	b := activated(t, newRegistry(), waitingAt(dead(t), dead(t)), nil)
	defer b.Close()
	x := asking(t)
	require.Equal(t, cause.ConnectRefused, causeOf(t, begin(x, b).end(t)))
	require.Len(t, x.Attempts(), 2)
}

// Nobody waits for a newcomer that cannot be connected to. It is no place to wait for, and not one to be picked again and again.
func TestNobodyWaitsForADeadNewcomer(t *testing.T) {
	cfg := waitingAt(dead(t), dead(t))
	cfg.Eject.After, cfg.Eject.Time = 1, time.Minute
	b := activated(t, newRegistry(), cfg, nil)
	defer b.Close()
	for _, m := range b.members {
		m.verdict.Store(awaited)
	}
	require.Equal(t, cause.ConnectRefused, causeOf(t, b.Do(asking(t))))
	x := asking(t)
	require.Equal(t, cause.Unavailable, causeOf(t, begin(x, b).end(t)))
	require.Zero(t, x.Queued())
}

// A server that is full is up: beside it none that is out is tried before its time, and a newcomer waits for its first check.
func TestAFullServerIsUp(t *testing.T) {
	b := picking(t, "first", 2, func(cfg *config.Backend) { cfg.Servers[1].MaxInFlight = 1 })
	out, full := b.members[0], b.members[1]
	at := now()
	usual := health.Thresholds{After: 1, Time: b.eject.Time, Max: b.eject.Max}
	out.connect.Failed(at, usual, nil)
	at += b.eject.Time
	require.True(t, out.connect.Claim(at))
	out.connect.Failed(at, usual, nil) // it is out for twice as long
	at += b.eject.Time
	_, ok := full.enter(at)
	require.True(t, ok)
	require.Nil(t, b.pick(keyed(0), at))
	require.Equal(t, Full, full.State(at))
	full.leave()
	full.Drain(true)
	require.Same(t, out, b.pick(keyed(0), at), "now nobody is up")
	full.Drain(false)
	out.connect.Readmit()
	out.verdict.Store(awaited)
	_, ok = full.enter(at)
	require.True(t, ok)
	require.Nil(t, b.pick(keyed(0), at))
	full.leave()
}

// Who is asked although it is out has a cap too, and who waits for that place gets it.
func TestTheQueueForTheLastResort(t *testing.T) {
	cfg := waitingAt(capped(t, "out", 1))
	cfg.AllDown = "serve"
	b := activated(t, newRegistry(), cfg, nil)
	defer b.Close()
	b.members[0].verdict.Store(unwell)
	_, held := asked(t, b)
	one, two := twoWaiting(t, b)
	require.Nil(t, b.pick(keyed(0), now()), "or who waits would try it again and again")
	held.Finish()
	require.Equal(t, "out", one.answer(t))
	require.Equal(t, "out", two.answer(t))
}

// A backend is up while one of its servers is full. A bug had an outage begin when the only server alive was full, and never end when that
// may have one request at a time; so that a real one later was not told of.
func TestAFullServerIsNoOutage(t *testing.T) {
	var told []string
	registry := NewRegistry(exchange.NewPools(), func(c Change) {
		if c.IsBackends() {
			told = append(told, c.State)
		}
	})
	cfg := waitingAt(dead(t), capped(t, "alive", 1))
	cfg.Queue.Length = 0
	b := activated(t, registry, cfg, nil)
	defer b.Close()
	for range 5 {
		_, held := asked(t, b)
		_ = b.Do(asking(t)) // refused: connect_refused at first, full when the dead one is out
		require.False(t, b.IsDown())
		held.Finish()
	}
	require.Equal(t, cause.Full, func() cause.Cause {
		_, held := asked(t, b)
		defer held.Finish()
		return causeOf(t, b.Do(asking(t)))
	}())
	require.Empty(t, told)

	b.members[1].verdict.Store(unwell)
	require.Equal(t, cause.Unavailable, causeOf(t, b.Do(asking(t))))
	require.True(t, b.IsDown())
	b.members[1].verdict.Store(well)
	_, x := asked(t, b)
	x.Finish()
	require.False(t, b.IsDown())
	require.Equal(t, []string{"down", "up"}, told)
}

// An answer that calls for a retry is passed on while others wait: a place elsewhere is theirs. A bug had it thrown away for a place in the
// queue.
func TestARefusedAnswerIsPassedOnWhileOthersWait(t *testing.T) {
	var answers atomic.Int64
	asked, answer := make(chan struct{}), make(chan struct{})
	bad := script(t, func(c *net.TCPConn, body string) bool {
		if answers.Add(1) == 1 {
			close(asked)
			<-answer
		}
		return answering("503 Bad")(c, body)
	})
	bad.MaxInFlight = 1
	other := capped(t, "other", 1)
	cfg := waitingAt(bad.Server, other)
	cfg.Retry.On, cfg.Eject.After = []config.StatusRange{{First: 503, Last: 503}}, 0
	b := activated(t, newRegistry(), cfg, nil)
	defer b.Close()
	one := begin(asking(t), b)
	<-asked
	_, ok := b.members[1].enter(now())
	require.True(t, ok)
	w := b.shared.queue.join(&Request{at: now()}) // it does not look for itself
	b.members[1].leave()
	close(answer)
	require.Equal(t, "Bad", one.answer(t))
	require.Len(t, one.Attempts(), 1)
	b.shared.queue.leave(w, false)
}

// panicking is a client that cannot be told of an interim response.
type panicking struct{ client }

func (panicking) Interim(*http1.Response) error { panic("lost") }

// A fault of ours while a server is tried out says nothing of it: somebody else may try it. A bug had it stay out for ever.
func TestAFaultEndsAProbe(t *testing.T) {
	early := script(t, answering("103 Early Hints\r\n\r\nHTTP/1.1 200 OK"))
	b := activated(t, newRegistry(), section(early.Server, dead(t)), nil)
	defer b.Close()
	b.members[1].Drain(true)
	m := b.members[0]
	for _, e := range []*health.Ejection{&m.eject, &m.connect} {
		e.Failed(1, health.Thresholds{After: 1, Time: 1}, nil) // long ago
		require.Equal(t, health.Due, e.State(now()))
	}
	x := asking(t)
	x.Client = panicking{x.Client.(client)}
	func() {
		defer x.Abort()
		require.Panics(t, func() { _ = b.Do(x) })
	}()
	require.Zero(t, m.InFlight())
	require.Equal(t, health.Due, m.eject.State(now()))
	require.Equal(t, health.Due, m.connect.State(now()))
	_, next := asked(t, b)
	next.Finish()
	require.Equal(t, health.In, m.eject.State(now()))
	require.Equal(t, health.In, m.connect.State(now()))
}

// Who has met a reset at a server with room for any number, and waits for the other, holds up nobody who may have the first.
func TestWhoHasTriedAServerHoldsUpNobody(t *testing.T) {
	var asked atomic.Int64
	free := script(t, func(c *net.TCPConn, body string) bool {
		if asked.Add(1) == 1 {
			return resetting(c, body)
		}
		return answering("200 free")(c, body)
	})
	b := activated(t, newRegistry(), waitingAt(free.Server, capped(t, "full", 1)), nil)
	defer b.Close()
	_, held := b.members[1].enter(now())
	require.True(t, held)
	picky := begin(asking(t), b)
	waits(t, b, 1)
	for range 3 {
		x := begin(asking(t), b)
		require.NoError(t, <-x.ended)
		x.Finish()
	}
	require.Equal(t, 1, b.Waiting())
	b.members[1].leave()
	require.NoError(t, <-picky.ended)
	picky.Finish()
}

// Who has tried a server and waits for another keeps nobody from the first, also when the queue is full of such. A bug refused all who came, beside an
// idle server.
func TestAQueueFullOfWhoHasTriedRefusesNobody(t *testing.T) {
	full, idle := capped(t, "full", 1), serving(t, "idle")
	cfg := waitingAt(full, idle)
	cfg.Queue.Length = 1
	b := activated(t, newRegistry(), cfg, nil)
	defer b.Close()
	_, held := asked(t, b)
	x := asking(t)
	x.tried = append(x.tried, b.members[1])
	picky := begin(x, b)
	waits(t, b, 1)
	name, next := asked(t, b)
	require.Equal(t, "idle", name)
	next.Finish()
	b.members[1].Drain(true)
	require.Equal(t, cause.Full, causeOf(t, b.Do(asking(t))), "it would have to wait too")
	held.Finish()
	require.Equal(t, "full", picky.answer(t))
}
