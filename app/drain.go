package app

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"l7/config"
	"l7/systemd"
)

// phase is how far a process is in its life.
type phase struct{ atomic.Int32 }

const (
	starting int32 = iota
	serving
	stopping // told to stop
	replaced // by another process, in an upgrade
)

// Why new work is not welcome.
var (
	errStarting = errors.New("starting")
	errStopping = errors.New("draining: the process is about to end")
	errReplaced = errors.New("another process serves since an upgrade, and has read the config itself: ask again")
)

// Ready is nil while new requests are welcome; the error says why they are not.
func (a *App) Ready() error {
	switch a.phase.Load() {
	case starting:
		return errStarting
	case stopping:
		return errStopping
	case replaced:
		return errReplaced
	}
	return nil
}

const (
	// cutBefore is how long before the end of drain.timeout the rest is cut, so that the process has ended when the time is over that it was given.
	cutBefore = 500 * time.Millisecond
	// cutShare bounds it for short ones: as many times longer a timeout has to be.
	cutShare = 10
)

// Drain ends the process's work in three beats. Ready fails at once, and for drain.delay requests are taken all the same: it takes others a
// while to see. Then the listeners close and what is in flight may finish. What has not shortly before the end of drain.timeout is cut.
func (a *App) Drain() error {
	a.phase.Store(stopping)
	cfg := a.stop()
	a.tell(systemd.Stopping())
	a.log.Info().Stringer("delay", cfg.Delay).Stringer("timeout", cfg.Timeout).Msg("draining")
	time.Sleep(cfg.Delay)
	return a.finish(cfg.Timeout)
}

// stop waits for a reload that opens listeners just now. One that still reads the config comes to nothing, for the phase says so.
func (a *App) stop() config.Drain {
	a.changing.Lock()
	defer a.changing.Unlock()
	return a.current().Config.Drain
}

// leave drains a process that another one serves in the place of: there is nobody who would have to look elsewhere first. Whoever has
// something to ask or tell means the other one.
func (a *App) leave() error {
	timeout := a.stop().Timeout
	a.log.Info().Stringer("timeout", timeout).Msg("draining")
	a.room.Close()
	return a.finish(timeout)
}

// quit takes the names of the sockets away and waits for nothing.
func (a *App) quit() {
	a.room.Shut()
	if a.changing.TryLock() { // or else a reload opens some at this moment, which the next start finds stale
		a.server.Leave()
	}
}

// finish stops listening, lets requests in flight finish, closes every connection and ends the active checks.
func (a *App) finish(timeout time.Duration) error {
	if timeout >= cutShare*cutBefore {
		timeout -= cutBefore
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	a.unfollow()
	a.parts.names.Close()
	err := a.server.Drain(ctx)
	a.parts.acme.Close()
	a.server.Snapshot().Close()
	close(a.ending)
	a.room.Close()
	if lost := a.access.close(); lost != nil {
		a.log.Error().Err(lost).Msg("cannot write the rest of the access log")
	}
	if err != nil {
		return err
	}
	a.log.Info().Msg("drained")
	return nil
}
