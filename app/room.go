package app

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"l7/admin"
	"l7/admin/api"
	"l7/admin/page"
	"l7/auth"
	"l7/config"
	"l7/server"
)

// settings say where a plan wants the admin room to be reached.
func settings(plan *Plan) admin.Settings {
	cfg := plan.Config.Admin
	listen, _ := cfg.Address() // it was checked when it was loaded
	s := admin.Settings{Socket: cfg.Socket, Listen: listen, Users: plan.AdminUsers, Pprof: cfg.Pprof}
	switch s.Socket {
	case "":
		s.Socket = api.DefaultSocket(os.Getuid(), os.Getenv)
	case "off":
		s.Socket = ""
	}
	return s
}

// openRoom opens the doors of the admin room. A default socket that cannot be had is worth a warning: who has not asked for it need not
// miss it.
func (a *App) openRoom(plan *Plan) (*admin.Opening, error) {
	want := settings(plan)
	doors, err := a.room.Open(want)
	var socket *admin.SocketError
	if plan.Config.Admin.Socket != "" || !errors.As(err, &socket) {
		return doors, err
	}
	a.log.Warn().Err(err).Msg("there is no admin socket")
	want.Socket = ""
	return a.room.Open(want)
}

// newRoom makes the admin room, which nobody can enter yet.
func (a *App) newRoom() *admin.Server {
	c := &control{a}
	return admin.New(c, a.log, admin.NewMetrics(c, a.identity.version), page.Handler())
}

// watchRates takes a sample each second until stop is closed.
func (a *App) watchRates(stop <-chan struct{}) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case at := <-tick.C:
			a.rates.sample(at, a.server.Snapshot())
		case <-stop:
			return
		}
	}
}

// reloads count what came of reloads.
type reloads struct{ done, failed atomic.Uint64 }

// Reloads are how many reloads were done and refused.
func (c *control) Reloads() (done, failed uint64) {
	return c.reloads.done.Load(), c.reloads.failed.Load()
}

// LastReload is when a reload was last tried, and whether it was done; the zero time where there was none.
func (c *control) LastReload() (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reloaded == nil {
		return time.Time{}, false
	}
	return c.reloaded.Time, !c.reloaded.Failed()
}

// Connections is the number of open client connections.
func (c *control) Connections() int { return c.App.server.Connections() }

// LogDropped is how many lines of the access log were lost.
func (c *control) LogDropped() uint64 { return c.access.dropped() }

// Certificates are those that clients are shown, each once.
func (a *App) Certificates() []api.Certificate {
	var list []api.Certificate
	seen := map[string]bool{}
	add := func(c api.Certificate) {
		if c.Names == nil {
			c.Names = []string{}
		}
		if key := c.File + "\x00" + strings.Join(c.Names, "\x00"); !seen[key] {
			seen[key] = true
			list = append(list, c)
		}
	}
	for _, keeper := range a.parts.certs.all() {
		for _, e := range keeper.Store().Expiries() {
			add(api.Certificate{Names: e.Names, File: e.File, Until: e.NotAfter})
		}
	}
	for _, e := range a.parts.acme.Expiries() {
		add(api.Certificate{Names: e.Names, Until: e.NotAfter})
	}
	return list
}

// Snapshot is the one in force.
func (c *control) Snapshot() *server.Snapshot { return c.App.server.Snapshot() }

// adminUsers compiles the logins of the admin listener.
func adminUsers(cfg *config.Admin, verifier *auth.Verifier) (*auth.Users, []config.Finding) {
	if len(cfg.Users) == 0 {
		return nil, nil
	}
	return server.CompileUsers(verifier, cfg.Users, "admin", "users")
}
