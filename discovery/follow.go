package discovery

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// follower looks one name up over and over.
type follower struct {
	names    *Names
	entry    *entry
	resolver resolver
	interval time.Duration
}

// follow starts to look a name up. n.mu is held, and n is not closed.
func (n *Names) follow(e *entry, by resolver, interval time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	f := &follower{names: n, entry: e, resolver: by, interval: interval}
	n.running.Go(func() { f.run(ctx) })
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil { // asked here too, since select may choose a pause that is over
		pause := time.NewTimer(f.look(ctx))
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// look makes one lookup and returns how long to wait for the next. A lookup that was cancelled has no result: its name is forgotten.
func (f *follower) look(ctx context.Context) time.Duration {
	select {
	case f.names.slots <- struct{}{}:
		defer func() { <-f.names.slots }()
	case <-ctx.Done():
		return 0
	}
	a, err := f.resolver.lookup(ctx, f.entry.name, f.last())
	a.targets = tidy(a.targets)
	return f.keep(ctx, a, err)
}

func (f *follower) last() []Target {
	f.names.mu.Lock()
	defer f.names.mu.Unlock()
	return f.entry.set.Targets
}

// keep takes a result over. It returns how long to wait. The log is told with the lock held, so that it hears of failure and recovery in
// their order.
func (f *follower) keep(ctx context.Context, a answer, err error) time.Duration {
	f.names.mu.Lock()
	defer f.names.mu.Unlock()
	if ctx.Err() != nil {
		return 0
	}
	e, now, before := f.entry, time.Now(), f.entry.set
	pause := f.pause(a, err)
	if err == nil {
		e.set = Set{Targets: a.targets, Resolved: true, At: now}
	}
	e.set.Err, e.set.Next = cmp.Or(err, a.kept), now.Add(pause)
	switch {
	case e.set.Err == nil:
		e.set.Failing = time.Time{}
	case before.Err == nil:
		e.set.Failing = now
	default:
		e.set.Failing = before.Failing
	}
	e.looks()
	if !e.set.same(before) {
		f.names.stir()
	}
	if (e.set.Err == nil) != (before.Err == nil) {
		f.names.log(e.name, e.set)
	}
	return pause
}

// pause is when to look the next time: after the TTL, and a little more, so that names that began together spread and the answer is not
// that of a cache shortly before its end. After a failure it is soon, and later each time. Names.mu is held.
func (f *follower) pause(a answer, err error) time.Duration {
	e := f.entry
	again := min(soonest<<min(e.failures, 20), f.interval)
	e.failures++
	pause := again
	switch {
	case err != nil:
	case a.partial:
		pause = min(again, within(a.ttl))
	default:
		e.failures, pause = 0, within(a.ttl)
	}
	return pause + rand.N(pause/10)
}

// stir makes tell have a look.
func (n *Names) stir() {
	select {
	case n.stirred <- struct{}{}:
	default: // it is about to
	}
}
