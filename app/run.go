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

// run is what Run has to remember.
type run struct {
	*App
	asked <-chan signals.Action
	alive <-chan time.Time // when systemd wants to hear that we are; nil: never

	upgraded chan outcome // the outcome of an upgrade
	cancel   context.CancelFunc
	busy     bool // with an upgrade
	reload   bool // was asked for meanwhile, and is to be done by the process that is left
}

// Run does what the signals ask for until one asks to drain, or an upgrade has put another process in this one's place, and then
// returns when everything is finished. The error is nil after a clean drain.
func (a *App) Run(asked <-chan signals.Action) error {
	r := &run{App: a, asked: asked, upgraded: make(chan outcome, 1)}
	defer r.watchdog()()
	for {
		select {
		case action, open := <-asked:
			switch {
			case !open:
				return nil
			case action == signals.Drain:
				r.abandonUpgrade()
				return r.drain(a.Drain, 1)
			}
			r.do(action)
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

func (r *run) do(action signals.Action) {
	switch {
	case action == signals.Dump:
		if err := r.Dump(); err != nil {
			r.log.Error().Err(err).Msg("cannot dump the config")
		}
	case action == signals.Reload && r.busy:
		r.reload = true
	case action == signals.Reload:
		_ = r.Reload() // it has logged why
	case r.busy:
		r.log.Warn().Msg("an upgrade is under way already")
	default:
		r.upgrade()
	}
}

// upgrade begins one. Meanwhile signals are still listened to.
func (r *run) upgrade() {
	ctx, cancel := context.WithCancel(context.Background())
	r.busy, r.cancel = true, cancel
	go func() { r.upgraded <- r.Upgrade(ctx) }()
}

// settle ends an upgrade. It is true when another process serves in this one's place.
func (r *run) settle(done outcome) bool {
	r.cancel()
	r.busy = false
	again := r.reload
	r.reload = false
	if done.err != nil {
		r.log.Error().Err(done.err).Msg("cannot upgrade; this process goes on")
		r.events.add(api.Event{Kind: "process", State: "upgrade failed", Reason: done.err.Error()})
		if again {
			_ = r.Reload() // it has logged why
		}
		return false
	}
	r.tell(systemd.Replaced(done.child.PID()))
	r.log.Info().Int("pid", done.child.PID()).Msg("upgraded; the new process serves")
	if again {
		r.pass(done, syscall.SIGHUP)
	}
	return true
}

// abandonUpgrade ends the new process of an upgrade, which nobody wants any more.
func (r *run) abandonUpgrade() {
	if !r.busy {
		return
	}
	r.cancel()
	if done := <-r.upgraded; done.err == nil {
		r.pass(done, syscall.SIGTERM)
	}
}

// pass hands a signal on to the new process.
func (r *run) pass(done outcome, sig os.Signal) {
	if err := done.child.Signal(sig); err != nil {
		r.log.Error().Err(err).Stringer("signal", sig).Msg("cannot pass a signal on to the new process")
	}
}

// drain finishes what is in flight. The last of so many further requests to drain ends it at once.
func (r *run) drain(finish func() error, further int) error {
	drained := make(chan error, 1)
	go func() { drained <- finish() }()
	for {
		select {
		case err := <-drained:
			return err
		case <-r.alive:
			r.tell(systemd.Alive())
		case action := <-r.asked:
			if action == signals.Drain {
				further--
			}
			if further == 0 {
				return ErrStopped
			}
			r.log.Warn().Stringer("action", action).Msg("draining; nothing else is done any more")
		}
	}
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
