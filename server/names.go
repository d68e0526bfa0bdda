package server

import (
	"errors"
	"fmt"
	"slices"

	"l7/balancer"
	"l7/config"
	"l7/discovery"
)

// Names know what names of servers stand for now.
type Names interface {
	Get(name discovery.Name) discovery.Set
}

// NameOf is what is looked up for a server's address; false for one that is what it is.
func NameOf(addr config.Address) (discovery.Name, bool) {
	return discovery.Name{Host: addr.Host, Service: addr.IsService()}, addr.IsName()
}

// errNotLookedUp is why a name stands for nothing yet.
var errNotLookedUp = errors.New("it has not been looked up yet")

// resolved are the servers of a backend with those in the place of each name that it stands for now, and the names that led to them. The
// error is that of a name that never stood for anything. An address is there once.
func (b *builder) resolved(servers []config.Server) (found []config.Server, names map[config.Address]string, unresolved error) {
	if b.parts.Names == nil {
		return servers, nil, nil
	}
	names, seen := map[config.Address]string{}, map[config.Address]bool{}
	add := func(s config.Server) {
		if !seen[s.Address] {
			seen[s.Address] = true
			found = append(found, s)
		}
	}
	for _, server := range servers {
		name, ok := NameOf(server.Address)
		if !ok {
			add(server)
			continue
		}
		set := b.parts.Names.Get(name)
		if !set.Resolved {
			unresolved = fmt.Errorf("%s: %w", name.Host, orElse(set.Err, errNotLookedUp))
		}
		for _, target := range set.Targets {
			s := behind(server, target, set.Targets[0].Priority)
			names[s.Address] = target.Host
			add(s)
		}
	}
	return found, names, unresolved
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// mostWeight is the most that a server may have in the config.
const mostWeight = 1000

// behind is one of the servers behind a name. Those of a lesser priority than the best are backups.
func behind(server config.Server, t discovery.Target, best int) config.Server {
	server.Address = server.Address.At(t.IP, t.Port)
	server.Weight = min(server.Weight*t.Weight, mostWeight)
	server.Backup = server.Backup || t.Priority > best
	return server
}

// Renew returns the snapshot with those backends built anew that have servers by one of the names, or nil where none has. After the new one
// has been put in force, done must be called; without that nothing may come of it.
func (s *Snapshot) Renew(names []discovery.Name) (next *Snapshot, changed []string, done func()) {
	renewed := *s
	renewed.backends = slices.Clone(s.backends)
	var old, fresh []*balancer.Backend
	for i := range renewed.backends {
		name := renewed.backends[i].Name()
		if !s.source.uses(name, names) || s.source.isAsBefore(renewed.backends[i].Backend) {
			continue
		}
		old = append(old, renewed.backends[i].Backend)
		renewed.backends[i] = s.source.backend(name)
		fresh = append(fresh, renewed.backends[i].Backend)
		changed = append(changed, name)
	}
	if len(changed) == 0 {
		return nil, nil, nil
	}
	return &renewed, changed, func() {
		for _, b := range fresh {
			b.Activate()
		}
		for _, b := range old {
			b.Close()
		}
	}
}

// isAsBefore is true for a backend whose names stand for the servers that it has.
func (b *builder) isAsBefore(backend *balancer.Backend) bool {
	servers, _, unresolved := b.resolved(b.cfg.Backends[backend.Name()].Servers)
	same := func(m *balancer.Member, s config.Server) bool { return m.Config() == s }
	return slices.EqualFunc(backend.Members(), servers, same) && (unresolved == nil) == (backend.Unresolved() == nil)
}

// uses is true for a backend that has a server by one of the names.
func (b *builder) uses(backend string, names []discovery.Name) bool {
	return slices.ContainsFunc(b.cfg.Backends[backend].Servers, func(s config.Server) bool {
		name, ok := NameOf(s.Address)
		return ok && slices.Contains(names, name)
	})
}
