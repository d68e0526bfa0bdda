package app

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"l7/admin/api"
	"l7/signals"
	"l7/systemd"
)

// ErrStopped says that a second signal ended the process before its requests were finished.
var ErrStopped = errors.New("stopped at once by a second signal")

// run is what Run has to remember. It waits for signals alone: what takes its time is done by others, one at a time.
type run struct {
	*App
	asked signals.Asked
	alive <-chan time.Time // when systemd wants to hear that we are; nil: never

	worked   chan struct{} // when the work is done
	working  bool          // with a reload or a dump
	upgraded chan outcome  // the outcome of an upgrade
	cancel   context.CancelFunc
	busy     bool // with an upgrade
}

// Run does what the signals ask for until one asks to drain, or an upgrade has put another process in this one's place, and then
// returns when everything is finished. The error is nil after a clean drain.
func (a *App) Run(asked signals.Asked) error {
	r := &run{App: a, asked: asked, worked: make(chan struct{}, 1), upgraded: make(chan outcome, 1)}
	defer r.watchdog()()
	for {
		select {
		case <-asked.Drain: // before all else that is asked for
			return r.stopServing()
		default:
		}
		reload, dump, upgrade := r.welcome()
		select {
		case <-asked.Drain:
			return r.stopServing()
		case <-reload:
			r.work(func() { _ = r.Reload() }) // it has logged why
		case <-dump:
			r.work(r.dump)
		case <-upgrade:
			r.upgrade()
		case <-r.worked:
			r.working = false
		case done := <-r.upgraded:
			if r.settle(done) {
				r.alive = nil // that is for the new process to say
				return r.drain(a.leave, 2)
			}
		case <-r.alive:
			a.tell(systemd.Alive())
		}
	}
}

// welcome are those signals that something can be done about now; the others wait. A reload during an upgrade is for the process that is left.
func (r *run) welcome() (reload, dump, upgrade <-chan os.Signal) {
	switch {
	case r.working:
		return nil, nil, nil
	case r.busy:
		return nil, r.asked.Dump, r.asked.Upgrade
	}
	return r.asked.Reload, r.asked.Dump, r.asked.Upgrade
}

// work has something done while signals are listened to.
func (r *run) work(do func()) {
	r.working = true
	go func() {
		do()
		r.worked <- struct{}{}
	}()
}

func (r *run) dump() {
	if err := r.Dump(); err != nil {
		r.log.Error().Err(err).Msg("cannot dump the config")
	}
}

// upgrade begins one.
func (r *run) upgrade() {
	if r.busy {
		r.log.Warn().Msg("an upgrade is under way already")
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.busy, r.cancel = true, cancel
	go func() { r.upgraded <- r.Upgrade(ctx) }()
}

// settle ends an upgrade. It is true when another process serves in this one's place.
func (r *run) settle(done outcome) bool {
	r.cancel()
	r.busy = false
	if done.err != nil {
		r.log.Error().Err(done.err).Msg("cannot upgrade; this process goes on")
		r.events.add(api.Event{Kind: "process", State: "upgrade failed", Reason: done.err.Error()})
		return false
	}
	r.tell(systemd.Replaced(done.child.PID()))
	r.log.Info().Int("pid", done.child.PID()).Msg("upgraded; the new process serves")
	select {
	case <-r.asked.Reload:
		r.pass(done, syscall.SIGHUP)
	default:
	}
	select {
	case <-r.asked.Drain: // in the same moment
		r.pass(done, syscall.SIGTERM)
	default:
	}
	return true
}

// stopServing drains. The new process of an upgrade, which nobody wants any more, is ended before.
func (r *run) stopServing() error {
	if !r.busy {
		return r.drain(r.Drain, 1)
	}
	r.cancel()
	return r.drain(func() error {
		if done := <-r.upgraded; done.err == nil {
			r.pass(done, syscall.SIGTERM)
		}
		return r.Drain()
	}, 1)
}

// pass hands a signal on to the new process.
func (r *run) pass(done outcome, sig os.Signal) {
	if err := done.child.Signal(sig); err != nil {
		r.log.Error().Err(err).Stringer("signal", sig).Msg("cannot pass a signal on to the new process")
	}
}

// echo is how soon after a signal the same request is no further one: a process group and its leader are both signalled, as by timeout(1), and
// what passes signals on adds its own.
const echo = 100 * time.Millisecond

// drain finishes what is in flight. The last of so many further requests to drain ends it at once.
func (r *run) drain(finish func() error, further int) error {
	last := time.Now()
	drained := make(chan error, 1)
	go func() { drained <- finish() }()
	for {
		select {
		case err := <-drained:
			return err
		case <-r.alive:
			r.tell(systemd.Alive())
		case <-r.asked.Drain:
			if time.Since(last) < echo {
				continue
			}
			last = time.Now()
			if further--; further == 0 {
				r.quit()
				return ErrStopped
			}
			r.ignore("drain")
		case <-r.asked.Reload:
			r.ignore("reload")
		case <-r.asked.Dump:
			r.ignore("dump")
		case <-r.asked.Upgrade:
			r.ignore("upgrade")
		}
	}
}

func (r *run) ignore(action string) {
	r.log.Warn().Str("action", action).Msg("draining; nothing else is done any more")
}

// watchdog sets alive. It is not a goroutine of its own that tells systemd of our well-being: that would be well when Run is stuck.
func (r *run) watchdog() (stop func()) {
	every, err := systemd.Heartbeat()
	r.tell(err)
	if every <= 0 {
		return func() {}
	}
	ticker := time.NewTicker(every)
	r.alive = ticker.C
	return ticker.Stop
}

// tell logs that systemd could not be told something. It is no reason to do anything else.
func (a *App) tell(err error) {
	if err != nil {
		a.log.Warn().Err(err).Msg("systemd does not know how this process is doing")
	}
}
