package discovery

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// together is how long a change waits for others, so that they are told as one.
	together = 50 * time.Millisecond
	// atOnce is how many names are looked up at the same time. One whose DNS servers are silent is under way for seconds: two hundred of those
	// must not hold up the others.
	atOnce = 256
)

// Names looks up the names that somebody uses. A name that is used by several options is looked up by each of them, and stands for what each
// finds. All methods may be called concurrently; changed may call all but Close, log none.
type Names struct {
	changed func([]Name)
	log     func(Name, Set)
	build   func(Options) resolver
	stirred chan struct{} // a set has changed, which may be told already
	ended   chan struct{}
	slots   chan struct{} // holds one for each lookup under way
	running sync.WaitGroup

	mu      sync.Mutex // guards all below, and the entries
	closed  bool
	known   map[Name]Set        // what names of the first Use begin with
	ways    map[string]resolver // by the key of their options
	entries map[asked]*entry
}

// Wanted are names that somebody uses, and how they are looked up.
type Wanted struct {
	Options
	Names []Name
}

// View is what names stand for when they are looked up by some options.
type View struct {
	names *Names
	way   string
}

// asked is a name and the key of the options that it is looked up by.
type asked struct {
	name Name
	way  string
}

// entry is one name in use. Names.mu guards it.
type entry struct {
	asked
	cancel   context.CancelFunc // ends the goroutine that looks it up
	looked   chan struct{}      // closed when there is something to go by: it has been looked up once, or began with a set, or is forgotten
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

// Start returns Names that look up no name yet. Known are those of a process before: what the first Use does not use of it is forgotten. Changed
// is called by one goroutine, once for what changed at about the same time, with the names whose targets are different now; the first ones are
// a change too. Log is told when lookups of a name begin to fail, with the error in its set, and when they work again, without; it is called by one
// goroutine at a time and holds up the others. Close must be called.
func Start(known []Known, changed func([]Name), log func(Name, Set)) *Names {
	return start(known, changed, log, newResolver)
}

func start(known []Known, changed func([]Name), log func(Name, Set), build func(Options) resolver) *Names {
	n := &Names{
		changed: changed, log: log, build: build, known: map[Name]Set{}, entries: map[asked]*entry{},
		stirred: newSignal(1), ended: newSignal(0), slots: newSignal(atOnce),
	}
	for _, k := range known {
		n.known[k.Name] = Set{Targets: tidy(k.Targets), Resolved: true}
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

// Use says which names are looked up from now on, and how; others are forgotten. Those in use before keep their sets. One that is used by
// other options than before begins with what it stood for by those, and is looked up at once. Use returns at once: all is looked up in
// the background.
func (n *Names) Use(all ...Wanted) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	used, ways, last := map[asked]bool{}, map[string]resolver{}, n.last()
	for _, w := range all {
		o := w.complete()
		way := o.key()
		if ways[way] = n.ways[way]; ways[way] == nil {
			ways[way] = n.build(o)
		}
		for _, name := range w.Names {
			used[asked{name, way}] = true
			if n.entries[asked{name, way}] == nil {
				n.begin(asked{name, way}, last[name], ways[way], o.Interval)
			}
		}
	}
	for is, e := range n.entries {
		if !used[is] {
			n.forget(e)
		}
	}
	n.ways, n.known = ways, nil
}

// begin starts to look a name up, of which a set is known already. n.mu is held, and n is not closed.
func (n *Names) begin(is asked, known Set, by resolver, interval time.Duration) {
	e := &entry{asked: is, looked: make(chan struct{}), set: known, told: known}
	if e.set.Resolved {
		e.looks()
	}
	n.entries[is] = e
	n.follow(e, by, interval)
}

// last is what is known of names, however they were looked up. n.mu is held.
func (n *Names) last() map[Name]Set {
	sets := make(map[Name]Set, len(n.known)+len(n.entries))
	maps.Copy(sets, n.known)
	for _, e := range n.entries {
		if !e.set.At.Before(sets[e.name].At) {
			sets[e.name] = e.set
		}
	}
	return sets
}

// Known returns what is known of all names in use.
func (n *Names) Known() (all []Known) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.entries {
		if e.set.Resolved {
			all = append(all, Known{e.name, e.set.Targets})
		}
	}
	return all
}

// By returns what names stand for by some options, as far as they are used by those.
func (n *Names) By(o Options) View { return View{n, o.complete().key()} }

// Await returns when each name now in use has been looked up once, whatever came of it, or stood for something from the start, or when the
// context ends.
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

// Get returns what a name stands for now, as far as it is known. It asks nobody. A name that is not in use has an empty set.
func (v View) Get(name Name) Set {
	v.names.mu.Lock()
	defer v.names.mu.Unlock()
	if e := v.names.entries[asked{name, v.way}]; e != nil {
		return e.set
	}
	return Set{}
}

// forget ends the lookups of a name. n.mu is held.
func (n *Names) forget(e *entry) {
	e.cancel()
	e.looks()
	delete(n.entries, e.asked)
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
	names := map[Name]bool{}
	for _, e := range n.entries {
		if !e.set.same(e.told) {
			e.told = e.set
			names[e.name] = true
		}
	}
	return slices.SortedFunc(maps.Keys(names), func(a, b Name) int { return cmp.Compare(a.Host, b.Host) })
}

// same is true when two sets stand for the same.
func (s Set) same(t Set) bool { return s.Resolved == t.Resolved && slices.Equal(s.Targets, t.Targets) }
