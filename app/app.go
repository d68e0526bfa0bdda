// Package app is one running l7: it loads a config, prepares everything that the config asks for, puts it
// in place, and stops what it replaces. Reload, dump and drain are its methods.
//
// It serves no request itself and reads no flag.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/rs/zerolog"

	"l7/auth"
	"l7/balancer"
	"l7/config"
	"l7/exchange"
	"l7/server"
	"l7/signals"
)

// App is one running l7. Its methods are for one goroutine, Addrs excepted.
type App struct {
	source Source
	base   zerolog.Logger // writes all levels
	log    zerolog.Logger
	level  *atomic.Int32 // zerolog.Level of what is written
	out    io.Writer

	parts  server.Parts
	loaded *config.Loaded
	config *config.Config // see Plan
	server *server.Server
}

// Source is where an App's config comes from, at start and at each reload.
type Source struct {
	Args    config.Args
	Environ []string
}

// Start loads the config and serves it. log takes the log lines as JSON, out the dumps. On error nothing is left running.
func Start(source Source, log zerolog.Logger, out io.Writer) (*App, error) {
	a := &App{
		source: source,
		base:   log,
		level:  &atomic.Int32{},
		out:    out,
	}
	a.log = log.Hook(leveled{a.level})
	a.parts = NewParts(a.logChange)
	plan, err := Prepare(source, a.parts)
	if err != nil {
		return nil, err
	}
	plan.Snapshot.Generation = 1
	a.server = server.New(a.log, plan.Snapshot, a.parts.Pools)
	opening, err := a.server.Open(addresses(&plan.Loaded.Config))
	if err != nil {
		plan.Snapshot.Close()
		return nil, err
	}
	a.adopt(plan)
	a.level.Store(levelOf(plan))
	opening.Commit()
	return a, nil
}

// Addrs are the addresses that are listened on.
func (a *App) Addrs() []net.Addr { return a.server.Addrs() }

// Run does what the signals ask for until one asks to drain, and then returns when everything is finished.
// The error is nil after a clean drain.
func (a *App) Run(asked <-chan signals.Action) error {
	for action := range asked {
		switch action {
		case signals.Reload:
			_ = a.Reload() // it has logged why
		case signals.Dump:
			if err := a.Dump(); err != nil {
				a.log.Error().Err(err).Msg("cannot dump the config")
			}
		case signals.Drain:
			return a.drainUnlessAsked(asked)
		}
	}
	return nil
}

// ErrStopped says that a second signal ended the process before its requests were finished.
var ErrStopped = errors.New("stopped at once by a second signal")

// drainUnlessAsked drains; a second request to drain ends it at once.
func (a *App) drainUnlessAsked(asked <-chan signals.Action) error {
	drained := make(chan error, 1)
	go func() { drained <- a.Drain() }()
	for {
		select {
		case err := <-drained:
			return err
		case action := <-asked:
			if action == signals.Drain {
				return ErrStopped
			}
			a.log.Warn().Stringer("action", action).Msg("draining; nothing else is done any more")
		}
	}
}

// Reload loads the config anew and puts it in place. On any error the config in force stays, whole, and
// the error is logged and returned.
func (a *App) Reload() error {
	err := a.reload()
	if err != nil {
		logProblems(a.log, err, "cannot reload; the config in force stays")
	}
	return err
}

var errNothingToReload = errors.New("there is no config file to reload: all came from arguments and environment")

func (a *App) reload() error {
	if a.loaded.File == "" {
		return errNothingToReload
	}
	plan, err := Prepare(a.source, a.parts)
	if err != nil {
		return err
	}
	opening, err := a.server.Open(addresses(&plan.Loaded.Config))
	if err != nil {
		plan.Snapshot.Close()
		return err
	}
	changes := config.Diff(a.config, plan.Config)
	plan.Snapshot.Generation = a.server.Snapshot().Generation + 1
	old := a.server.Swap(plan.Snapshot)
	level := a.level.Swap(levelOf(plan))
	a.adopt(plan)
	opening.Commit()
	old.Close()
	if min(level, levelOf(plan)) <= int32(zerolog.InfoLevel) { // a reload is told of under the old level or the new
		a.logChanges(changes, plan.Snapshot.Generation)
	}
	return nil
}

// adopt makes a plan's config the one in force beside the requests and the log, and says what deserves a word.
func (a *App) adopt(plan *Plan) {
	a.loaded, a.config = plan.Loaded, plan.Config
	plan.Snapshot.Activate()
	for _, warning := range plan.Warnings {
		a.log.Warn().Msg(warning)
	}
}

func (a *App) logChanges(changes []string, generation uint64) {
	if len(changes) == 0 {
		changes = []string{"nothing"}
	}
	a.base.Info().Uint64("generation", generation).Str("changes", strings.Join(changes, "; ")).Msg("reloaded")
}

// logChange logs that the state of a server has changed, or a backend's, and why.
func (a *App) logChange(c balancer.Change) {
	if c.IsBackends() {
		a.levelFor(c.State).Str("backend", c.Backend).Str("state", c.State).Str("reason", c.Reason).Msg("backend changed")
		return
	}
	a.levelFor(c.State).Str("backend", c.Backend).Stringer("server", c.Address).Str("state", c.State).Str("reason", c.Reason).Msg("server changed")
}

func (a *App) levelFor(state string) *zerolog.Event {
	switch state {
	case "down":
		return a.log.Error()
	case "ejected", "unhealthy":
		return a.log.Warn()
	}
	return a.log.Info()
}

// Dump writes the config in force as YAML, passwords masked.
func (a *App) Dump() error { return a.loaded.Dump(a.out, false) }

// Drain stops listening, lets requests in flight finish within drain.timeout, closes every connection and ends the active checks.
func (a *App) Drain() error {
	timeout := a.loaded.Config.Drain.Timeout
	a.log.Info().Stringer("timeout", timeout).Msg("draining")
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := a.server.Drain(ctx)
	a.server.Snapshot().Close()
	if err != nil {
		return err
	}
	a.log.Info().Msg("drained")
	return nil
}

// NewParts returns what outlives every config of a process. observe is told when the state of a server changes.
func NewParts(observe func(balancer.Change)) server.Parts {
	pools := exchange.NewPools()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails: crypto/rand ends the process instead
	return server.Parts{
		Registry: balancer.NewRegistry(pools, observe), Verifier: auth.NewVerifier(), Pools: pools,
		Limiters: server.NewLimiters(), Cells: server.NewCells(), Secret: secret,
	}
}

// Ignore is an observer for who serves nothing.
func Ignore(balancer.Change) {}

// levelOf is the log level of a plan, which was checked when it was loaded.
func levelOf(plan *Plan) int32 {
	level, _ := zerolog.ParseLevel(plan.Loaded.Config.Log.Level)
	return int32(level)
}

func addresses(cfg *config.Config) []config.ListenAddress {
	list := make([]config.ListenAddress, len(cfg.Listen))
	for i, l := range cfg.Listen {
		list[i] = l.Address
	}
	return list
}

// leveled drops the events below a level that may change while the process runs.
type leveled struct{ level *atomic.Int32 }

// Run implements zerolog.Hook.
func (l leveled) Run(e *zerolog.Event, level zerolog.Level, _ string) {
	if level < zerolog.Level(l.level.Load()) {
		e.Discard()
	}
}

// logProblems logs an error, one line per problem where it holds several.
func logProblems(log zerolog.Logger, err error, message string) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		log.Error().Err(err).Msg(message)
		return
	}
	for _, p := range problems {
		log.Error().Str("error", p.Error()).Msg(message)
	}
}

// Version is the version that the build stamped, or what the Go tool knows of it.
func Version(stamped string) string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return fmt.Sprintf("%s (not stamped)", info.Main.Version)
	}
	return "unknown"
}
