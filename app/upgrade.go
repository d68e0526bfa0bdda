package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"l7/certs"
	"l7/config"
	"l7/discovery"
	"l7/handover"
	"l7/server"
	"l7/systemd"
)

// Self is how this process was started, for the one that is to replace it.
type Self struct {
	Binary    string // see FindBinary; empty: there is no replacing it
	Args      []string
	Environ   []string
	Inherited *handover.Inherited // what came from the process before; nil: nothing
	Patience  time.Duration       // how long a new process may take to become ready; zero: a minute
}

// patience is how long a new process may take to become ready.
const patience = time.Minute

// FindBinary is the path that a program was started by, absolute. It does not follow links: what stands there after an upgrade is the new one.
func FindBinary(program string) string {
	path, err := exec.LookPath(program)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable() // empty where that fails too
	}
	return path
}

// carried is what a process passes on beside its sockets. It goes through a pipe, since it holds a secret.
type carried struct {
	Secret  []byte          `json:"secret"`  // signs sticky cookies
	Tickets [][32]byte      `json:"tickets"` // keys of TLS session tickets
	Drained []drainedServer `json:"drained"`
	Checked []checkedServer `json:"checked"`

	TicketsSince time.Time `json:"tickets_since,omitzero"` // when the newest key was made; a process that does not say so counts from now

	Names []discovery.Known `json:"names"` // what servers' names stand for
}

// drainedServer is one that was taken out of a backend by hand.
type drainedServer struct {
	Backend string    `json:"backend"`
	Server  string    `json:"server"`
	Until   time.Time `json:"until,omitzero"` // when it gets work again; zero: when it is told to
}

// checkedServer is one that checks have something to say of, or do not keep out.
type checkedServer struct {
	Backend string `json:"backend"`
	Server  string `json:"server"`
	Well    bool   `json:"well"`
}

func (a *App) carry() carried {
	c := carried{Secret: a.parts.Secret, TicketsSince: a.parts.tickets.Since(), Tickets: a.parts.tickets.Keys(), Names: a.parts.names.Known()}
	for _, backend := range a.server.Snapshot().Views() {
		for _, m := range backend.Members() {
			if well, known := m.Health(); known {
				c.Checked = append(c.Checked, checkedServer{backend.Name(), m.Name(), well})
			}
			if m.IsDrained() {
				c.Drained = append(c.Drained, drainedServer{backend.Name(), m.Name(), a.undrains.when(m.Standing)})
			}
		}
	}
	return c
}

// restore has what was known of servers go on, as far as the config still has them: who was taken out by hand, and what checks have said.
func (c *carried) restore(snapshot *server.Snapshot, undrains *undrains) {
	well := make(map[[2]string]bool, len(c.Checked))
	for _, s := range c.Checked {
		well[[2]string{s.Backend, s.Server}] = s.Well
	}
	for _, backend := range snapshot.Views() {
		for _, m := range backend.Members() {
			if well, known := well[[2]string{backend.Name(), m.Name()}]; known {
				m.Believe(well)
			}
			same := func(d drainedServer) bool { return d.Backend == backend.Name() && d.Server == m.Name() }
			i := slices.IndexFunc(c.Drained, same)
			if i < 0 {
				continue
			}
			m.Drain(true)
			if until := c.Drained[i].Until; !until.IsZero() {
				undrains.set(m.Standing, max(time.Until(until), time.Millisecond), true)
			}
		}
	}
}

// inherit reads what the process before has passed on, if there was one.
func (a *App) inherit() (*carried, error) {
	c := &carried{}
	state := a.source.Self.Inherited.State()
	if len(state) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(state, c); err != nil {
		return nil, errors.New("cannot read the state of the process before") // the details may show the secret
	}
	if len(c.Secret) > 0 {
		a.parts.Secret = c.Secret
	}
	a.parts.tickets = certs.NewTickets(c.Tickets, c.TicketsSince)
	return c, nil
}

// begin tells everybody who waits for it that this process serves now.
func (a *App) begin() {
	inherited := a.source.Self.Inherited
	for _, warning := range inherited.CloseRest() {
		a.log.Warn().Msg(warning)
	}
	for _, l := range a.server.Sockets() {
		handover.Own(l)
	}
	if !inherited.IsUpgrade() { // or else the process before tells, which systemd listens to until it is told of this one
		a.tell(systemd.Ready())
	}
	inherited.Ready()
}

// sockets adapts what was inherited to what the server asks for.
type sockets struct{ *handover.Inherited }

// Take implements server.Inheritance.
func (s sockets) Take(address config.ListenAddress) net.Listener {
	return s.Inherited.Take(address.Network, address.Addr)
}

// outcome is what became of an upgrade: a process that serves, or an error.
type outcome struct {
	child *handover.Child
	err   error
}

// Upgrade starts the binary anew, as it is now, with this process's arguments, environment and listening sockets, and waits until
// it serves. Then this process takes no more connections and is to drain. On error nothing has changed.
func (a *App) Upgrade(ctx context.Context) outcome {
	select {
	case a.reloading <- struct{}{}:
	case <-ctx.Done(): // while a reload hangs
		return outcome{err: ctx.Err()}
	}
	defer func() { <-a.reloading }()
	if err := errors.Join(a.Ready(), ctx.Err()); err != nil { // it may have waited
		return outcome{err: err}
	}
	child, offers, err := a.serveNext(ctx)
	if err != nil {
		return outcome{err: err}
	}
	for _, o := range offers {
		handover.Leave(o.Listener)
	}
	a.room.Shut() // before it would tell probes that nobody is ready
	a.phase.Store(replaced)
	a.server.Leave()
	return outcome{child: child}
}

// serveNext starts the next process and waits until it serves. From when it is told what is drained nothing is drained or undrained here, which it
// would not hear of; on error that is over.
func (a *App) serveNext(ctx context.Context) (child *handover.Child, offers []handover.Offer, err error) {
	a.undrains.pass(true)
	defer func() {
		if err != nil {
			a.undrains.pass(false)
		}
	}()
	if child, offers, err = a.startNext(); err != nil {
		return nil, nil, err
	}
	limit := a.source.Self.Patience
	if limit == 0 {
		limit = patience
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return child, offers, child.Wait(ctx)
}

var errNoBinary = errors.New("it is not known what this process was started from")

func (a *App) startNext() (*handover.Child, []handover.Offer, error) {
	self := a.source.Self
	if self.Binary == "" {
		return nil, nil, errNoBinary
	}
	state, err := json.Marshal(a.carry())
	if err != nil {
		return nil, nil, err
	}
	var offers []handover.Offer
	for _, sockets := range []map[config.ListenAddress]net.Listener{a.server.Sockets(), a.room.Sockets()} {
		for address, l := range sockets {
			offers = append(offers, handover.Offer{Network: address.Network, Address: address.Addr, Listener: l})
		}
	}
	environ := slices.DeleteFunc(slices.Clone(self.Environ), func(v string) bool { return strings.HasPrefix(v, systemd.OwnVariable+"=") })
	child, err := handover.Start(handover.Program{Path: self.Binary, Args: self.Args, Env: environ}, offers, state)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot start %q: %w", self.Binary, err)
	}
	return child, offers, nil
}
