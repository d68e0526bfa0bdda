package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"l7/admin/api"
	"l7/config"
	"l7/discovery"
	"l7/server"
)

// firstLookup is how long a start or a reload waits for names that are new. One that takes longer comes in when it is known.
const firstLookup = 2 * time.Second

// newNames returns the names of servers, of which none is looked up yet. Known are those of the process before.
func (a *App) newNames(known []discovery.Known) *discovery.Names {
	return discovery.Start(known, a.renamed, a.toldOfName)
}

// lookUp has the names of a config looked up as it says, beside those in use: a config that is refused must change nothing for them.
func (a *App) lookUp(cfg *config.Config) server.Names {
	all := []discovery.Wanted{wanted(cfg)}
	if a.config != nil {
		all = append(all, wanted(a.config))
	}
	a.parts.names.Use(all...)
	ctx, cancel := context.WithTimeout(context.Background(), firstLookup)
	defer cancel()
	a.parts.names.Await(ctx)
	return server.NewNames(a.parts.names.By(all[0].Options), all[0].Names)
}

// keepNames has the names of the config in force looked up as it says, and no others.
func (a *App) keepNames() { a.parts.names.Use(wanted(a.config)) }

// wanted are the names that a config has servers by.
func wanted(cfg *config.Config) discovery.Wanted {
	return discovery.Wanted{Options: lookups(cfg), Names: namesOf(cfg)}
}

func lookups(cfg *config.Config) discovery.Options {
	o := discovery.Options{Interval: cfg.ResolveInterval}
	for _, server := range cfg.Resolver {
		o.Servers = append(o.Servers, server.String())
	}
	return o
}

func namesOf(cfg *config.Config) (names []discovery.Name) {
	for _, backend := range cfg.Backends {
		names = append(names, namesOfServers(backend.Servers)...)
	}
	return names
}

func namesOfServers(servers []config.Server) (names []discovery.Name) {
	for _, s := range servers {
		if name, ok := server.NameOf(s.Address); ok {
			names = append(names, name)
		}
	}
	return names
}

// Names are those that servers of the config in force are known by, each once.
func (c *control) Names() []api.Name {
	c.mu.Lock()
	cfg := c.config
	c.mu.Unlock()
	return nameStatuses(c.parts.names.By(lookups(cfg)), namesOf(cfg))
}

// nameStatuses say of each name once what is known of it.
func nameStatuses(by discovery.View, names []discovery.Name) (list []api.Name) {
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name.Host] {
			continue
		}
		seen[name.Host] = true
		set := by.Get(name)
		status := api.Name{Name: name.Host, Known: set.Resolved, Since: set.Failing}
		switch {
		case set.Err != nil:
			status.Error = set.Err.Error()
		case !set.Resolved:
			status.Error = "its first lookup has not ended yet"
		}
		list = append(list, status)
	}
	return list
}

// unresolvedText is what becomes of the servers behind names that cannot be looked up; empty: there are none such.
func unresolvedText(names []api.Name, now time.Time) string {
	if len(names) == 0 {
		return ""
	}
	n := &names[0]
	text := n.Name + ": " + n.Error
	if !n.Since.IsZero() {
		text += fmt.Sprintf(" for %s", now.Sub(n.Since).Round(time.Second))
	}
	if n.Known {
		text += "; the addresses of before are used"
	} else {
		text += "; there is no server behind it yet"
	}
	if more := len(names) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// renamed is called when names stand for other addresses than before. A start holds the lock until it serves, or has failed.
func (a *App) renamed(names []discovery.Name) {
	a.changing.Lock()
	defer a.changing.Unlock()
	if a.phase.Load() != starting {
		a.renew(names)
	}
}

// renew gives the backends that have servers by some names the addresses that those stand for now. The lock of what changes must be held.
func (a *App) renew(names []discovery.Name) {
	next, changed, done := a.server.Snapshot().Renew(names)
	if next == nil {
		return
	}
	a.server.Swap(next)
	done()
	for _, backend := range changed {
		view, _ := next.View(backend)
		servers := make([]string, 0, len(view.Members()))
		for _, m := range view.Members() {
			servers = append(servers, m.Name())
		}
		a.log.Info().Str("backend", backend).Strs("servers", servers).Msg("addresses changed")
		a.events.add(api.Event{Kind: "backend", Backend: backend, State: "addresses changed", Reason: strings.Join(servers, ", ")})
	}
}

// toldOfName is called when lookups of a name begin to fail, and when they work again.
func (a *App) toldOfName(name discovery.Name, set discovery.Set) {
	if err := set.Err; err != nil {
		message := "cannot resolve a name; the last addresses stay in use"
		if !set.Resolved {
			message = "cannot resolve a name; there is no server behind it yet, and a backend without others answers 503"
		}
		a.log.Warn().Str("name", name.Host).AnErr("error", err).Msg(message)
		a.events.add(api.Event{Kind: "name", Server: name.Host, State: "unresolved", Reason: err.Error()})
		return
	}
	a.log.Info().Str("name", name.Host).Msg("a name resolves again")
	a.events.add(api.Event{Kind: "name", Server: name.Host, State: "resolved"})
}
