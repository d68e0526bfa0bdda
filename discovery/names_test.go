package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var errDown = errors.New("down")

// book is a resolver for bubbles: it knows each name's answer by heart.
type book struct {
	mu      sync.Mutex // guards all below
	ttl     time.Duration
	targets map[Name][]Target
	errs    map[Name]error
	kept    error
	partial bool
	slow    time.Duration
	silent  map[Name]bool // these take an hour
	lookups map[Name][]time.Time
	under   int // lookups under way, and the most there were
	most    int
	built   []Options
}

func newBook() *book {
	return &book{
		ttl: 100 * time.Second, targets: map[Name][]Target{}, errs: map[Name]error{}, silent: map[Name]bool{}, lookups: map[Name][]time.Time{},
	}
}

func (b *book) build(o Options) resolver {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.built = append(b.built, o)
	return b
}

func (b *book) lookup(ctx context.Context, name Name, _ []Target) (answer, error) {
	slow := b.enter(name)
	defer b.leave()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return answer{targets: slices.Clone(b.targets[name]), ttl: b.ttl, kept: b.kept, partial: b.partial}, b.errs[name]
}

func (b *book) enter(name Name) (slow time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lookups[name] = append(b.lookups[name], time.Now())
	b.under++
	b.most = max(b.most, b.under)
	if b.silent[name] {
		return time.Hour
	}
	return b.slow
}

func (b *book) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.under--
}

// write changes the book.
func (b *book) write(name Name, err error, ips ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets[name], b.errs[name] = at(name.Host, ips...), err
}

// pauses are those between the lookups of a name.
func (b *book) pauses(name Name) (all []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, at := range b.lookups[name][1:] {
		all = append(all, at.Sub(b.lookups[name][i]))
	}
	return all
}

func (b *book) count(name Name) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.lookups[name])
}

// heard is what Names has told.
type heard struct {
	mu      sync.Mutex // guards all below
	changes [][]Name
	logs    []string
}

func (h *heard) changed(names []Name) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, names)
}

func (h *heard) log(name Name, set Set) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logs = append(h.logs, fmt.Sprint(name.Host, ": ", set.Err))
}

// news returns what has been told since the last call.
func (h *heard) news() (changes [][]Name, logs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changes, logs, h.changes, h.logs = h.changes, h.logs, nil, nil
	return changes, logs
}

// used is a Names whose names are all looked up by the same options.
type used struct {
	*Names
	options Options
	names   []Name
}

func (u *used) Use(names []Name) {
	u.names = names
	u.Names.Use(Wanted{u.options, names})
}

func (u *used) Configure(o Options) {
	u.options = o
	u.Use(u.names)
}

func (u *used) Get(name Name) Set { return u.By(u.options).Get(name) }

// bubble runs a test of Names with a book, in time that costs none.
func bubble(t *testing.T, o Options, test func(t *testing.T, n *used, b *book, h *heard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, h := newBook(), &heard{}
		n := start(nil, h.changed, h.log, b.build)
		defer n.Close()
		test(t, &used{n, o, nil}, b, h)
	})
}

// after lets the bubble's time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// requireNews also checks that each name was told of once.
func requireNews(t *testing.T, h *heard, logs []string, changes ...[]Name) {
	t.Helper()
	gotChanges, gotLogs := h.news()
	require.Equal(t, changes, gotChanges)
	require.Equal(t, logs, gotLogs)
}

func TestChange(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		b.write(web, nil, "10.0.0.2", "10.0.0.1")
		require.Equal(t, Set{}, n.Get(web))
		n.Use([]Name{web, web})
		began := time.Now()
		after(together)
		requireNews(t, h, nil, []Name{web})
		s := n.Get(web)
		require.Equal(t, at("web.example", "10.0.0.1", "10.0.0.2"), s.Targets)
		require.True(t, s.Resolved)
		require.NoError(t, s.Err)
		require.Equal(t, began, s.At)
		require.WithinRange(t, s.Next, began.Add(100*time.Second), began.Add(110*time.Second))

		b.write(web, nil, "10.0.0.1", "10.0.0.2", "10.0.0.1") // the same, in another order
		after(110 * time.Second)
		require.Equal(t, 2, b.count(web))
		require.Greater(t, n.Get(web).At, began)
		requireNews(t, h, nil)

		b.write(web, nil, "10.0.0.3")
		after(111 * time.Second)
		requireNews(t, h, nil, []Name{web})
		require.Equal(t, at("web.example", "10.0.0.3"), n.Get(web).Targets)
	})
}

// What changes at about the same time is told as one; what changes later is told later.
func TestChangesTogether(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		var names []Name
		for i := range 20 {
			name := Name{Host: fmt.Sprintf("%02d.example", i)}
			b.write(name, nil, "10.0.0.1")
			names = append(names, name)
		}
		n.Use(names)
		after(together)
		requireNews(t, h, nil, names)
		for _, name := range names[3:5] {
			b.write(name, nil, "10.0.0.2")
		}
		n.Configure(Options{Timeout: time.Minute}) // all are looked up again
		after(together)
		requireNews(t, h, nil, names[3:5])

		n.Use(append(names, web)) // known to nobody
		b.write(web, nil, "10.0.0.1")
		n.Use(names) // and gone before it is told
		after(together)
		requireNews(t, h, nil)
	})
}

// A failure leaves the last good set as it is. The log hears of its beginning and its end.
func TestFailureKeepsTheSet(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		b.write(web, nil, "10.0.0.1")
		n.Use([]Name{web})
		after(together)
		good := n.Get(web)
		requireNews(t, h, nil, []Name{web})
		b.write(web, errDown)
		after(200 * time.Second)
		requireNews(t, h, []string{"web.example: down"})
		s := n.Get(web)
		require.Equal(t, good.Targets, s.Targets)
		require.True(t, s.Resolved)
		require.Equal(t, good.At, s.At)
		require.ErrorIs(t, s.Err, errDown)
		require.True(t, s.Next.After(time.Now()))
		require.True(t, s.Failing.After(good.At.Add(99*time.Second)), "since the first lookup that failed")
		after(20 * time.Second)
		require.Equal(t, s.Failing, n.Get(web).Failing)

		b.write(web, nil, "10.0.0.1")
		after(11 * time.Second)
		requireNews(t, h, []string{"web.example: <nil>"})
		require.NoError(t, n.Get(web).Err)
		require.Zero(t, n.Get(web).Failing)
	})
}

func TestNeverResolved(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		b.write(web, errDown)
		n.Use([]Name{web})
		n.Await(t.Context())
		s := n.Get(web)
		require.False(t, s.Resolved)
		require.Zero(t, s.At)
		require.ErrorIs(t, s.Err, errDown)
		after(time.Minute)
		requireNews(t, h, []string{"web.example: down"})
		b.write(web, nil, "10.0.0.1")
		after(12 * time.Second)
		requireNews(t, h, []string{"web.example: <nil>"}, []Name{web})
	})
}

// A part that fails is told like a failure if something has to stand in, and asked for again soon.
func TestPartialFailure(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		b.write(web, nil, "10.0.0.1")
		b.kept, b.partial = errDown, true
		n.Use([]Name{web})
		after(2 * time.Second)
		require.Equal(t, 2, b.count(web))
		requireNews(t, h, []string{"web.example: down"}, []Name{web})
		require.ErrorIs(t, n.Get(web).Err, errDown)
		require.NotZero(t, n.Get(web).At)
	})
}

// An answer without targets empties the set: only "no such service" comes so far.
func TestEmptied(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		n.Use([]Name{webService})
		after(together)
		requireNews(t, h, nil, []Name{webService})
		require.True(t, n.Get(webService).Resolved)
		require.Empty(t, n.Get(webService).Targets)
	})
}

func TestPauses(t *testing.T) {
	f := func(ttl, interval time.Duration, err error, want ...time.Duration) {
		t.Helper()
		bubble(t, Options{Interval: interval}, func(t *testing.T, n *used, b *book, _ *heard) {
			b.ttl = ttl
			b.write(web, err, "10.0.0.1")
			n.Use([]Name{web})
			after(20 * want[len(want)-1])
			pauses := b.pauses(web)
			distinct := map[time.Duration]bool{}
			for i, pause := range pauses {
				least := want[min(i, len(want)-1)]
				require.GreaterOrEqual(t, pause, least)
				require.Less(t, pause, least+least/10)
				distinct[pause] = true
			}
			require.Greater(t, len(distinct), 3, "names must not stay in step")
		})
	}
	second := time.Second
	f(30*second, 0, nil, 30*second)
	f(0, 0, nil, second)
	f(1000*time.Hour, 0, nil, time.Hour)
	f(30*second, 0, errDown, second, 2*second, 4*second, 8*second, 10*second)
	f(30*second, time.Minute, errDown, second, 2*second, 4*second, 8*second, 16*second, 32*second, time.Minute)
	f(30*second, time.Nanosecond, errDown, second)
	f(30*second, 1000*time.Hour, errDown, second, 2*second, 4*second, 8*second, 16*second, 32*second, 64*second, 128*second,
		256*second, 512*second, 1024*second, 2048*second, time.Hour)
}

// The back-off begins anew after a success.
func TestBackOffEnds(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, _ *heard) {
		b.ttl = 50 * time.Second
		b.write(web, errDown)
		n.Use([]Name{web})
		after(30 * time.Second)
		b.write(web, nil, "10.0.0.1")
		after(12 * time.Second)
		b.write(web, errDown)
		after(120 * time.Second)
		pauses := b.pauses(web)
		i := slices.IndexFunc(pauses, func(p time.Duration) bool { return p >= 50*time.Second })
		require.Less(t, pauses[i+1], 2*time.Second)
	})
}

// A name that is forgotten is looked up no more. When it comes back, it has to be found again.
func TestRemovedAndAdded(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		other := Name{Host: "other.example"}
		b.write(web, nil, "10.0.0.1")
		b.write(other, nil, "10.0.0.2")
		n.Use([]Name{web, other})
		after(time.Second)
		requireNews(t, h, nil, []Name{other, web})
		kept := n.Get(other)
		n.Use([]Name{other})
		require.Equal(t, Set{}, n.Get(web))
		after(time.Hour)
		require.Equal(t, 1, b.count(web))
		require.Equal(t, kept.Targets, n.Get(other).Targets)
		b.slow = time.Second
		n.Use([]Name{other, web})
		require.Equal(t, Set{}, n.Get(web))
		n.Await(t.Context())
		require.Equal(t, at("web.example", "10.0.0.1"), n.Get(web).Targets)
		after(together)
		requireNews(t, h, nil, []Name{web})
	})
}

func TestAwait(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, _ *heard) {
		n.Await(t.Context()) // nothing is in use
		b.slow = 5 * time.Second
		b.write(web, errDown)
		began := time.Now()
		n.Use([]Name{web})
		require.Zero(t, time.Since(began), "Use waits for nobody")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n.Await(ctx)
		require.Equal(t, time.Second, time.Since(began))
		n.Await(t.Context())
		require.Equal(t, 5*time.Second, time.Since(began))
		n.Await(t.Context())
		require.Equal(t, 5*time.Second, time.Since(began))

		n.Use([]Name{webService})
		go func() {
			time.Sleep(time.Second)
			n.Use(nil)
		}()
		n.Await(t.Context())
		require.Equal(t, 6*time.Second, time.Since(began), "who is forgotten is not waited for")
	})
}

func TestConfigure(t *testing.T) {
	bubble(t, Options{Servers: []string{"10.0.0.2"}}, func(t *testing.T, n *used, b *book, h *heard) {
		b.write(web, nil, "10.0.0.1")
		n.Use([]Name{web})
		after(time.Second)
		h.news()
		n.Configure(Options{Servers: []string{"10.0.0.2:53"}, Interval: 10 * time.Second, Timeout: 2 * time.Second})
		after(time.Second)
		require.Equal(t, 1, b.count(web), "these are the same")
		require.Len(t, b.built, 1)

		b.slow = time.Second
		n.Configure(Options{Servers: []string{"10.0.0.3"}})
		require.Equal(t, at("web.example", "10.0.0.1"), n.Get(web).Targets, "until there is another answer")
		b.write(web, nil, "10.0.0.5")
		after(2 * time.Second)
		require.Equal(t, at("web.example", "10.0.0.5"), n.Get(web).Targets)
		require.Equal(t, []string{"10.0.0.3:53"}, b.built[1].Servers)
		requireNews(t, h, nil, []Name{web})
		require.Equal(t, 2, b.count(web))
	})
}

// A lookup by other options than those now in use has no result.
func TestConfigureDuringLookup(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		b.slow = time.Minute
		b.write(web, nil, "10.0.0.1")
		n.Use([]Name{web})
		after(30 * time.Second)
		n.Configure(Options{Interval: time.Minute})
		after(59 * time.Second)
		require.False(t, n.Get(web).Resolved)
		after(2 * time.Second)
		require.True(t, n.Get(web).Resolved)
		requireNews(t, h, nil, []Name{web})
	})
}

// What other options lead to stays apart: those who use a name by the first ones never see it.
func TestTwoWays(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		b.write(web, nil, "10.0.0.1")
		n.Use([]Name{web})
		after(time.Second)
		requireNews(t, h, nil, []Name{web})

		first, second := Wanted{Names: []Name{web}}, Wanted{Options{Timeout: time.Minute}, []Name{web, webService}}
		b.slow = time.Second
		b.write(web, nil, "10.0.0.2")
		n.Names.Use(first, second)
		require.Equal(t, at("web.example", "10.0.0.1"), n.By(second.Options).Get(web).Targets, "until there is another answer")
		n.Await(t.Context())
		require.True(t, n.By(second.Options).Get(webService).Resolved)
		require.False(t, n.Get(webService).Resolved)
		after(together)
		requireNews(t, h, nil, []Name{webService, web})
		require.Equal(t, at("web.example", "10.0.0.1"), n.Get(web).Targets)
		require.Equal(t, at("web.example", "10.0.0.2"), n.By(second.Options).Get(web).Targets)
		require.Len(t, b.built, 2)

		n.Names.Use(first)
		require.Equal(t, Set{}, n.By(second.Options).Get(web))
		require.Equal(t, at("web.example", "10.0.0.1"), n.Get(web).Targets)
		require.Equal(t, 2, b.count(web), "what was in use is not looked up anew")
	})
}

// What a process before has known stands until there is an answer, which is asked for at once; it is passed on in turn.
func TestKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h := newBook(), &heard{}
		other := Name{Host: "other.example"}
		known := []Known{{web, at("web.example", "10.0.0.1")}, {webService, nil}, {other, at("other.example", "10.0.0.2")}}
		n := start(known, h.changed, h.log, b.build)
		defer n.Close()
		b.write(web, errDown)
		b.slow = time.Second
		use := Wanted{Names: []Name{web, webService}}
		n.Use(use)
		began := time.Now()
		n.Await(t.Context())
		require.Zero(t, time.Since(began), "there is something to go by")
		require.Equal(t, Set{Targets: at("web.example", "10.0.0.1"), Resolved: true}, n.By(use.Options).Get(web))
		require.True(t, n.By(use.Options).Get(webService).Resolved)
		require.ElementsMatch(t, known[:2], n.Known())
		after(2 * time.Second)
		requireNews(t, h, []string{"web.example: down"})
		require.Equal(t, at("web.example", "10.0.0.1"), n.By(use.Options).Get(web).Targets)
		b.write(web, nil, "10.0.0.3")
		after(2 * time.Second)
		requireNews(t, h, []string{"web.example: <nil>"}, []Name{web})

		n.Use(Wanted{Names: []Name{other}})
		require.Equal(t, Set{}, n.By(use.Options).Get(other), "who was not used first is forgotten")
		require.Empty(t, n.Known())
	})
}

func TestManyNames(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		b.slow = 10 * time.Millisecond
		var names []Name
		for i := range 1000 {
			name := Name{Host: fmt.Sprintf("%03d.example", i)}
			b.write(name, nil, "10.0.0.1")
			names = append(names, name)
		}
		n.Use(names)
		n.Await(t.Context())
		require.Equal(t, atOnce, b.most)
		after(together)
		told := map[Name]int{}
		changes, _ := h.news()
		for _, names := range changes {
			for _, name := range names {
				told[name]++
			}
		}
		require.Len(t, told, 1000)
		require.Less(t, len(changes), 10)
	})
}

// Names that nobody answers for held up those that are well.
func TestManySilentNames(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, _ *heard) {
		var names []Name
		for i := range 200 {
			name := Name{Host: fmt.Sprintf("%03d.example", i)}
			b.silent[name] = true
			names = append(names, name)
		}
		n.Use(names)
		synctest.Wait() // all have begun
		b.write(web, nil, "10.0.0.1")
		n.Use(append(names, web))
		after(together)
		require.True(t, n.Get(web).Resolved)
	})
}

// Close ends a lookup, and what is called afterwards does nothing.
func TestClose(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, n *used, b *book, h *heard) {
		b.slow = time.Hour
		n.Use([]Name{web})
		after(time.Second)
		began := time.Now()
		n.Close()
		require.Zero(t, time.Since(began))
		n.Use([]Name{web})
		n.Configure(Options{Interval: time.Minute})
		n.Await(t.Context())
		n.Close()
		after(3 * time.Hour)
		require.Equal(t, Set{}, n.Get(web))
		require.Equal(t, 1, b.count(web))
		requireNews(t, h, nil)
	})
}

// Changed may use what it is told of, and Close waits for it.
func TestChangedCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		b.write(web, nil, "10.0.0.1")
		var n *used
		ready, done := make(chan struct{}), false
		all := start(nil, func(names []Name) {
			<-ready
			require.Equal(t, at("web.example", "10.0.0.1"), n.Get(names[0]).Targets)
			n.Use(nil)
			n.Configure(Options{Interval: time.Minute})
			time.Sleep(time.Second)
			done = true
		}, func(Name, Set) {}, b.build)
		n = &used{Names: all}
		close(ready)
		n.Use([]Name{web})
		after(together)
		n.Close()
		require.True(t, done)
	})
}

// However calls meet, nothing is told after Close, and nothing races.
func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	b, h := newBook(), &heard{}
	b.write(web, nil, "10.0.0.1")
	n := start(nil, h.changed, h.log, b.build)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 100 {
				o := Options{Interval: time.Duration(j+2) * time.Second}
				n.Use(Wanted{Names: []Name{web, {Host: fmt.Sprint(i, j)}}}, Wanted{o, []Name{web}})
				n.Await(t.Context())
				n.By(o).Get(web)
				n.Known()
			}
		})
	}
	all.Wait()
	n.Close()
	h.news()
	requireNews(t, h, nil)
}
