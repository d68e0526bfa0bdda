package discovery

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// together is how long a change waits for others, so that they are told as one.
	together = 50 * time.Millisecond
	// atOnce is how many names are looked up at the same time.
	atOnce = 32
)

// Names looks up the names that somebody uses. All methods may be called concurrently; changed may call all but Close, log none.
type Names struct {
	changed func([]Name)
	log     func(Name, error)
	build   func(Options) resolver
	stirred chan struct{} // a set has changed, which may be told already
	ended   chan struct{}
	slots   chan struct{} // holds one for each lookup under way
	running sync.WaitGroup

	mu       sync.Mutex // guards all below, and the entries
	closed   bool
	options  Options
	resolver resolver
	entries  map[Name]*entry
}

// entry is one name in use. Names.mu guards it.
type entry struct {
	name     Name
	cancel   context.CancelFunc // ends the goroutine that looks it up
	looked   chan struct{}      // closed when it has been looked up once, or is forgotten
	set      Set
	told     Set // as it was when changed was called last
	failures int // in a row
}

// resolver answers one question. A lookup is given the last good targets, to stand in for a part that fails.
type resolver interface {
	lookup(ctx context.Context, name Name, last []Target) (answer, error)
}

// answer is what a lookup has found out.
type answer struct {
	targets []Target // in no order
	ttl     time.Duration
	kept    error // why some targets are those of last time, or missing; nil if nobody misses them
	partial bool  // a part has failed, whether or not there was something to stand in: ask again soon
}

// Start returns Names that look up no name yet. Changed is called by one goroutine, once for what changed at about the same time, with the
// names whose targets are different now; the first ones are a change too. Log is told when lookups of a name begin to fail, and of a nil
// error when they work again; it is called by one goroutine at a time and holds up the others. Close must be called.
func Start(o Options, changed func([]Name), log func(Name, error)) *Names {
	return start(o, changed, log, newResolver)
}

func start(o Options, changed func([]Name), log func(Name, error), build func(Options) resolver) *Names {
	o = o.complete()
	n := &Names{
		changed: changed, log: log, build: build, options: o, resolver: build(o), entries: map[Name]*entry{},
		stirred: newSignal(1), ended: newSignal(0), slots: newSignal(atOnce),
	}
	n.running.Go(n.tell)
	return n
}

func newSignal(size int) chan struct{} { return make(chan struct{}, size) }

func newResolver(o Options) resolver {
	if len(o.Servers) > 0 {
		return &client{servers: o.Servers, timeout: o.Timeout}
	}
	return newSystem(o)
}

// Close ends the lookups. It waits for a call of changed or log that is under way; after it there are none.
func (n *Names) Close() {
	if n.end() {
		close(n.ended)
	}
	n.running.Wait()
}

// end is true for the first who calls it.
func (n *Names) end() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.closed = true
	for _, e := range n.entries {
		n.forget(e)
	}
	return true
}

// Use says which names are looked up from now on; others are forgotten. Those in use before keep their sets. It returns at once, the new
// ones are looked up in the background.
func (n *Names) Use(names []Name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	used := make(map[Name]bool, len(names))
	for _, name := range names {
		used[name] = true
		if n.entries[name] == nil {
			e := &entry{name: name, looked: make(chan struct{})}
			n.entries[name] = e
			n.follow(e)
		}
	}
	for name, e := range n.entries {
		if !used[name] {
			n.forget(e)
		}
	}
}

// Configure changes the options. If they are others than before, all names are looked up anew, at once; until then their sets stay.
func (n *Names) Configure(o Options) {
	o = o.complete()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || o.equal(n.options) {
		return
	}
	n.options, n.resolver = o, n.build(o)
	for _, e := range n.entries {
		e.cancel()
		n.follow(e)
	}
}

// Await returns when each name now in use has been looked up once, whatever came of it, or when the context ends.
func (n *Names) Await(ctx context.Context) {
	for _, looked := range n.waited() {
		select {
		case <-looked:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Names) waited() []chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]chan struct{}, 0, len(n.entries))
	for _, e := range n.entries {
		all = append(all, e.looked)
	}
	return all
}

// Get returns what a name stands for, as far as it is known. It asks nobody. A name that is not in use has an empty set.
func (n *Names) Get(name Name) Set {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.entries[name]; e != nil {
		return e.set
	}
	return Set{}
}

// forget ends the lookups of a name. n.mu is held.
func (n *Names) forget(e *entry) {
	e.cancel()
	e.looks()
	delete(n.entries, e.name)
}

// looks notes that the first lookup need not be waited for any more. Names.mu is held.
func (e *entry) looks() {
	select {
	case <-e.looked:
	default:
		close(e.looked)
	}
}

// tell calls changed.
func (n *Names) tell() {
	for {
		select {
		case <-n.stirred:
		case <-n.ended:
			return
		}
		select {
		case <-time.After(together):
		case <-n.ended:
			return
		}
		if names := n.news(); len(names) > 0 {
			n.changed(names)
		}
	}
}

// news returns the names whose sets are others than what was told, in order, and takes them as told. What changed and changed back is none.
func (n *Names) news() []Name {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []Name
	for name, e := range n.entries {
		if !e.set.same(e.told) {
			e.told = e.set
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b Name) int { return cmp.Compare(a.Host, b.Host) })
	return names
}

// same is true when two sets stand for the same.
func (s Set) same(t Set) bool { return s.Resolved == t.Resolved && slices.Equal(s.Targets, t.Targets) }
