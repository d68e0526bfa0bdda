// Package app is one running l7: it loads a config, prepares everything that the config asks for, puts it
// in place, and stops what it replaces. Reload, dump and drain are its methods.
//
// It serves no request itself and reads no flag.
package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"l7/acme"
	"l7/admin"
	"l7/admin/api"
	"l7/auth"
	"l7/balancer"
	"l7/certs"
	"l7/config"
	"l7/discovery"
	"l7/exchange"
	"l7/server"
	"l7/systemd"
	"l7/watch"
)

// App is one running l7. Run is for one goroutine; the rest may be called concurrently.
type App struct {
	source Source
	base   zerolog.Logger // writes all levels
	log    zerolog.Logger
	level  *atomic.Int32 // zerolog.Level of what is written
	out    io.Writer

	identity identity
	parts    Parts
	server   *server.Server
	events   events
	rates    *rates
	access   *access
	room     *admin.Server
	reloads  reloads
	undrains undrains
	ending   chan struct{} // closed when nothing is watched any more
	phase    phase

	reloading chan struct{} // has room while there is no reload, from loading the config on, and no upgrade: one at a time. It may take long
	changing  sync.Mutex    // held while what is in force changes, which is quick; guards the watchers. It is taken after reloading

	watcher *watch.Watcher // of the config; nil: it is not watched

	certWatcher *watch.Watcher // of certificates; nil: there are none
	mu          sync.Mutex     // guards all below, which a reload writes
	loaded      *config.Loaded
	config      *config.Config // see Plan
	reloaded    *api.Reload    // the last one; nil: there was none
}

// identity tells one process from another.
type identity struct {
	version string
	pid     int
	started time.Time
}

// Source is where an App's config comes from, at start and at each reload.
type Source struct {
	Args    config.Args
	Environ []string
	Version string // as stamped by the build, may be empty
	Self    Self
}

// Start loads the config and serves it. log takes the log lines as JSON, out the dumps. On error nothing is left running.
func Start(source Source, log zerolog.Logger, out io.Writer) (*App, error) {
	a := &App{
		source: source,
		base:   log,
		level:  &atomic.Int32{},
		out:    out,

		identity: identity{Version(source.Version), os.Getpid(), time.Now()},
		rates:    newRates(),
		access:   &access{stdout: out},
		ending:   make(chan struct{}),

		reloading: make(chan struct{}, 1),
	}
	a.log = log.Hook(leveled{a.level})
	a.room = a.newRoom()
	a.parts = NewParts(a.logChange)
	a.parts.acme = acme.New(a.log)
	before, err := a.inherit()
	if err != nil {
		return nil, err
	}
	a.parts.names, a.parts.lookUp = a.newNames(before.Names), a.lookUp
	if err := a.start(before); err != nil {
		a.parts.names.Close() // unlocked: it waits for who waits for the lock
		return nil, err
	}
	return a, nil
}

// start serves the config. On error nothing is left running but the names.
func (a *App) start(before *carried) error {
	a.reloading <- struct{}{} // who watches the config or comes in by the admin room waits until all stands
	defer func() { <-a.reloading }()
	a.changing.Lock() // and who is told of names
	defer a.changing.Unlock()
	plan, err := Prepare(a.source, a.parts)
	if err != nil {
		return err
	}
	plan.Snapshot.Generation = 1
	a.server = server.New(a.log, plan.Snapshot, a.parts.Pools)
	a.server.Inherit(sockets{a.source.Self.Inherited})
	a.room.Inherit(sockets{a.source.Self.Inherited})
	opening, err := a.open(plan)
	if err != nil {
		plan.Snapshot.Close()
		return err
	}
	a.level.Store(levelOf(plan))
	a.load(plan)
	a.adopt(plan)
	before.restore(plan.Snapshot, &a.undrains)
	opening.listeners.Commit(plan.Snapshot)
	a.phase.Store(serving) // before a probe can ask
	a.retire(opening, plan)
	if address := a.room.Addr(); address != nil {
		a.log.Info().Stringer("address", address).Msg("admin listening")
	}
	go a.watchRates(a.ending)
	go a.warnOfExpiry(a.ending)
	go a.rotateTickets(a.ending)
	a.events.add(api.Event{Kind: "process", State: "started", Reason: "version " + a.identity.version})
	a.begin()
	return nil
}

// opening is what a plan asks for beside its snapshot. It is open, and not in force before it is committed.
type opening struct {
	access    *opened
	doors     *admin.Opening
	listeners *server.Opening
}

// open opens the access log, the admin room and the listeners. On error nothing is left open that was not before.
func (a *App) open(plan *Plan) (o *opening, err error) {
	o = &opening{}
	if o.access, err = a.access.open(&plan.Config.Log); err != nil {
		return nil, err
	}
	if o.doors, err = a.openRoom(plan); err != nil {
		o.access.abandon()
		return nil, err
	}
	if o.listeners, err = a.server.Open(plan.listening.listens); err != nil {
		o.access.abandon()
		o.doors.Abort()
		return nil, err
	}
	plan.Snapshot.Access = o.access.log
	return o, nil
}

// abort closes what was opened.
func (o *opening) abort() {
	o.access.abandon()
	o.doors.Abort()
	o.listeners.Abort()
}

// load has certificates that a plan asks authorities for loaded beside those in force.
func (a *App) load(plan *Plan) {
	if err := a.parts.acme.Add(plan.listening.authorities); err != nil {
		a.log.Error().Err(err).Msg("no certificate is asked for")
	}
}

// retire closes what a plan that is in force has no use for any more.
func (a *App) retire(o *opening, plan *Plan) {
	o.doors.Commit()
	o.listeners.Retire()
	a.access.adopt(o.access, plan.Config.Drain.Timeout)
	a.parts.acme.Keep(plan.listening.authorities)
}

// Addrs are the addresses that are listened on.
func (a *App) Addrs() []net.Addr { return a.server.Addrs() }

// Reload loads the config anew and puts it in place. On any error the config in force stays, whole, and the error is logged and
// returned. The file of the access log is opened anew in any case.
func (a *App) Reload() error {
	a.reloading <- struct{}{}
	defer func() { <-a.reloading }()
	a.tell(systemd.Reloading())
	defer func() { a.tell(systemd.Ready()) }()
	if err := a.access.reopen(); err != nil {
		a.log.Error().Err(err).Msg("cannot open the access log anew; the old file stays in use")
	}
	done, err := a.reload()
	if err != nil {
		a.refused(err)
		done = &api.Reload{Generation: a.server.Snapshot().Generation, Problems: problemTexts(err)}
		a.reloads.failed.Add(1)
		a.keepNames()
	} else {
		a.reloads.done.Add(1)
	}
	done.Time = time.Now()
	a.mu.Lock()
	a.reloaded = done
	a.mu.Unlock()
	a.events.add(reloadEvent(done))
	return err
}

// refused logs why a reload came to nothing. In a process that comes to its end that is nobody's mistake.
func (a *App) refused(err error) {
	if why := a.Ready(); why != nil {
		a.log.Warn().AnErr("reason", why).Msg("not reloaded")
		return
	}
	logProblems(a.log, err, "cannot reload; the config in force stays")
}

func reloadEvent(done *api.Reload) api.Event {
	if done.Failed() {
		return api.Event{Kind: "reload", State: "refused", Reason: strings.Join(done.Problems, "; ")}
	}
	reason := "nothing changed"
	if len(done.Changes) > 0 {
		reason = strings.Join(done.Changes, "; ")
	}
	return api.Event{Kind: "reload", State: "reloaded", Reason: reason}
}

func orNothing(changes []string) []string {
	if len(changes) == 0 {
		return []string{"nothing"}
	}
	return changes
}

var errNothingToReload = errors.New("there is no config file to reload: all came from arguments and environment")

func (a *App) reload() (*api.Reload, error) {
	if err := a.Ready(); err != nil {
		return nil, err
	}
	if a.loaded.File == "" {
		return nil, errNothingToReload
	}
	plan, changes, err := a.next()
	if err != nil {
		return nil, err
	}
	opening, err := a.open(plan)
	if err != nil {
		plan.Snapshot.Close()
		return nil, err
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	if err := a.Ready(); err != nil { // it was told to stop meanwhile
		opening.abort()
		plan.Snapshot.Close()
		return nil, err
	}
	a.load(plan)
	plan.Snapshot.Generation = a.server.Snapshot().Generation + 1
	old := opening.listeners.Commit(plan.Snapshot)
	level := a.level.Swap(levelOf(plan))
	a.adopt(plan)
	old.Close()
	a.renew(namesOf(plan.Config)) // what was heard of them while the snapshot was built came to the one before
	a.retire(opening, plan)
	if min(level, levelOf(plan)) <= int32(zerolog.InfoLevel) { // a reload is told of under the old level or the new
		a.base.Info().Uint64("generation", plan.Snapshot.Generation).Str("changes", strings.Join(orNothing(changes), "; ")).Msg("reloaded")
	}
	return &api.Reload{Generation: plan.Snapshot.Generation, Changes: changes, Warnings: plan.Warnings}, nil
}

// next prepares a reload and says what it changes. A fault of our own there costs the reload, and not the process with all its requests.
func (a *App) next() (plan *Plan, changes []string, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			a.log.Error().Interface("fault", fault).Bytes("stack", debug.Stack()).Msg("a fault of l7 itself; please report it")
			err = fmt.Errorf("a fault of l7 itself, which the log has more of: %v", fault)
		}
	}()
	plan, err = Prepare(a.source, a.parts)
	if err != nil {
		return nil, nil, err
	}
	return plan, config.Diff(a.config, plan.Config), nil
}

// adopt makes a plan's config the one in force beside the requests and the log, and says what deserves a word.
func (a *App) adopt(plan *Plan) {
	a.mu.Lock()
	a.loaded, a.config = plan.Loaded, plan.Config
	a.mu.Unlock()
	plan.Snapshot.Activate()
	a.parts.certs.set(plan.listening.keepers)
	a.keepNames()
	a.follow(plan)
	for _, warning := range plan.Warnings {
		a.log.Warn().Msg(warning)
	}
}

// logChange logs that the state of a server has changed, or a backend's, and why.
func (a *App) logChange(c balancer.Change) {
	event := eventOf(c)
	a.events.add(event)
	if c.IsBackends() {
		a.levelFor(c.State).Str("backend", c.Backend).Str("state", c.State).Str("reason", c.Reason).Msg("backend changed")
		return
	}
	a.levelFor(c.State).Str("backend", c.Backend).Stringer("server", c.Address).Str("state", c.State).Str("reason", c.Reason).Msg("server changed")
}

func eventOf(c balancer.Change) api.Event {
	kind := "server"
	if c.IsBackends() {
		kind = "backend"
	}
	return api.Event{Time: c.Time, Kind: kind, Backend: c.Backend, Server: c.Address.String(), State: c.State, Reason: c.Reason}
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
func (a *App) Dump() error { return a.current().Dump(a.out, false) }

// current is the config in force as it was loaded.
func (a *App) current() *config.Loaded {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.loaded
}

// Parts are what outlives every config of a process.
type Parts struct {
	server.Parts
	tickets *certs.Tickets
	certs   *keepers
	acme    *acme.Manager
	names   *discovery.Names
	lookUp  func(*config.Config) server.Names // nil: names are not looked up, for nothing is served
}

// NewParts returns parts that nothing has been done with. observe is told when the state of a server changes.
func NewParts(observe func(balancer.Change)) Parts {
	pools := exchange.NewPools()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails: crypto/rand ends the process instead
	return Parts{
		Parts: server.Parts{
			Registry: balancer.NewRegistry(pools, observe), Verifier: auth.NewVerifier(), Pools: pools,
			Limiters: server.NewLimiters(), Cells: server.NewCells(), Secret: secret,
		},
		tickets: certs.NewTickets(nil, time.Time{}), certs: &keepers{}, acme: acme.New(zerolog.Nop()),
	}
}

// Ignore is an observer for who serves nothing.
func Ignore(balancer.Change) {}

// levelOf is the log level of a plan, which was checked when it was loaded.
func levelOf(plan *Plan) int32 {
	level, _ := zerolog.ParseLevel(plan.Loaded.Config.Log.Level)
	return int32(level)
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
	for _, text := range problemTexts(err) {
		log.Error().Str("error", text).Msg(message)
	}
}

// problemTexts are the texts of an error, one for each problem where it holds several.
func problemTexts(err error) (texts []string) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return []string{err.Error()}
	}
	for _, p := range problems {
		texts = append(texts, p.Error())
	}
	return texts
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
