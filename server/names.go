package server

import (
	"maps"
	"slices"

	"l7/balancer"
	"l7/config"
	"l7/discovery"
)

// Lookup knows what names of servers stand for now.
type Lookup interface {
	Get(name discovery.Name) discovery.Set
}

// Names are what names of servers stood for when a snapshot was built by them, and who knows what they stand for by now. The zero value knows
// no names: each is one server then, which is looked up when it is connected to.
type Names struct {
	now  Lookup
	sets map[discovery.Name]discovery.Set
}

// NewNames asks what names stand for.
func NewNames(now Lookup, names []discovery.Name) Names {
	return Names{now: now}.renewed(names)
}

// renewed is the same with some names asked for again.
func (n Names) renewed(names []discovery.Name) Names {
	sets := make(map[discovery.Name]discovery.Set, len(n.sets)+len(names))
	maps.Copy(sets, n.sets)
	for _, name := range names {
		sets[name] = n.now.Get(name)
	}
	return Names{n.now, sets}
}

// NameOf is what is looked up for a server's address; false for one that is what it is.
func NameOf(addr config.Address) (discovery.Name, bool) {
	return discovery.Name{Host: addr.Host, Service: addr.IsService()}, addr.IsName()
}

// unresolved is why a name stands for nothing: what is known of it by the time that somebody wants to read it.
type unresolved struct {
	name discovery.Name
	now  Lookup
}

func (u *unresolved) Error() string {
	if err := u.now.Get(u.name).Err; err != nil {
		return u.name.Host + ": " + err.Error()
	}
	return u.name.Host + ": its first lookup has not ended yet"
}

// resolution is what the names in a list of servers lead to.
type resolution struct {
	servers []config.Server           // with those in the place of each name that it stands for; an address is there once
	names   map[config.Address]string // that led to them
	err     error                     // of a name that never stood for anything
}

func (r *resolution) equal(other *resolution) bool {
	return slices.Equal(r.servers, other.servers) && maps.Equal(r.names, other.names) && (r.err == nil) == (other.err == nil)
}

func (n Names) resolve(servers []config.Server) *resolution {
	if n.now == nil {
		return &resolution{servers: servers}
	}
	r, seen := &resolution{names: map[config.Address]string{}}, map[config.Address]bool{}
	add := func(s config.Server, foundBy string) {
		if seen[s.Address] {
			return
		}
		seen[s.Address] = true
		r.servers = append(r.servers, s)
		if foundBy != "" {
			r.names[s.Address] = foundBy
		}
	}
	for _, server := range servers {
		name, ok := NameOf(server.Address)
		if !ok {
			add(server, "")
			continue
		}
		set := n.sets[name]
		if !set.Resolved {
			r.err = &unresolved{name, n.now}
		}
		for _, target := range set.Targets {
			add(behind(server, target, set.Targets[0].Priority), target.Host)
		}
	}
	level(r.servers)
	return r
}

// resolved is a resolution by the names that the snapshot is built by.
func (b *builder) resolved(servers []config.Server) (found []config.Server, names map[config.Address]string, err error) {
	r := b.parts.Names.resolve(servers)
	return r.servers, r.names, r.err
}

// mostWeight is the most that a server may have in the config.
const mostWeight = 1000

// behind is one of the servers behind a name. Those of a lesser priority than the best are backups. Its weight may be too large, see level.
func behind(server config.Server, t discovery.Target, best int) config.Server {
	server.Address = server.Address.At(t.IP, t.Port)
	server.Weight *= t.Weight
	server.Backup = server.Backup || t.Priority > best
	return server
}

// level makes weights smaller where one is too large, all of a group alike: their shares stay what they are.
func level(servers []config.Server) {
	largest := map[bool]int{} // by whether it is a backup
	for _, s := range servers {
		largest[s.Backup] = max(largest[s.Backup], s.Weight)
	}
	for i := range servers {
		s := &servers[i]
		if most := largest[s.Backup]; most > mostWeight && s.Weight > 0 {
			s.Weight = max(1, (s.Weight*mostWeight+most/2)/most)
		}
	}
}

// Renew returns the snapshot with those backends built anew that have servers by one of the names, as far as it stands for something else
// now, or nil where none does. After the new one has been put in force, done must be called; without that nothing may come of it.
func (s *Snapshot) Renew(names []discovery.Name) (next *Snapshot, changed []string, done func()) {
	source := *s.source
	source.parts.Names = source.parts.Names.renewed(names)
	renewed := *s
	renewed.source, renewed.backends = &source, slices.Clone(s.backends)
	var old, fresh []*balancer.Backend
	for i := range renewed.backends {
		name := renewed.backends[i].Name()
		servers := source.cfg.Backends[name].Servers
		if !uses(servers, names) || source.parts.Names.resolve(servers).equal(s.source.parts.Names.resolve(servers)) {
			continue
		}
		old = append(old, renewed.backends[i].Backend)
		renewed.backends[i] = source.backend(name)
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

// uses is true for servers of which one is known by one of the names.
func uses(servers []config.Server, names []discovery.Name) bool {
	return slices.ContainsFunc(servers, func(s config.Server) bool {
		name, ok := NameOf(s.Address)
		return ok && slices.Contains(names, name)
	})
}
