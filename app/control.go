package app

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"l7/admin"
	"l7/admin/api"
	"l7/balancer"
	"l7/config"
	"l7/server"
)

// control is what the admin room may ask an App and tell it. All methods may be called concurrently.
type control struct{ *App }

var _ admin.Process = (*control)(nil)

// Ready is for probes, which ask about the service and not about a process: one that another has taken the place of is nobody's concern.
func (c *control) Ready() error {
	if err := c.App.Ready(); !errors.Is(err, errReplaced) {
		return err
	}
	return nil
}

// Generation is that of the config in force.
func (c *control) Generation() uint64 { return c.server.Snapshot().Generation }

// WriteConfig writes the config in force as YAML with the origin of each value, passwords masked.
func (c *control) WriteConfig(w io.Writer) error { return c.current().Dump(w, true) }

// Reload loads the config anew, see App.Reload.
func (c *control) Reload() *api.Reload {
	_ = c.App.Reload() // it is in what follows
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reloaded
}

// Diff says what a reload from a file would change.
func (c *control) Diff(file string) *api.Reload {
	source := c.source
	source.Args.File = file
	done := &api.Reload{Time: time.Now(), Generation: c.Generation()}
	plan, err := Prepare(source, NewParts(Ignore))
	if err != nil {
		done.Problems = problemTexts(err)
		return done
	}
	plan.Snapshot.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	done.Changes, done.Warnings = config.Diff(c.config, plan.Config), plan.Warnings
	return done
}

// Drain keeps new work from a server, or lets it have some again.
func (c *control) Drain(r api.DrainRequest, drained bool) (*api.Server, error) {
	found, err := c.find(r.Backend, r.Server)
	if err != nil {
		return nil, err
	}
	if len(found) > 1 {
		return nil, fmt.Errorf("%d backends have the server %s; name one: %s", len(found), r.Server, names(found))
	}
	m := found[0].member
	if err := c.undrains.drain(m.Standing, time.Duration(r.For*float64(time.Second)), drained); err != nil {
		return nil, err
	}
	status := c.serverStatus(m)
	return &status, nil
}

// History is what became of a server in each backend that has it; an empty backend is all of them.
func (c *control) History(backend, address string) ([]api.History, error) {
	found, err := c.find(backend, address)
	if err != nil {
		return nil, err
	}
	list := make([]api.History, len(found))
	for i, f := range found {
		list[i] = api.History{Backend: f.backend, Server: c.serverStatus(f.member), Changes: []api.Event{}}
		for _, change := range f.member.History() {
			list[i].Changes = append(list[i].Changes, eventOf(change))
		}
	}
	return list, nil
}

// placed is a server in a backend.
type placed struct {
	backend string
	member  *balancer.Member
}

func names(found []placed) string {
	list := make([]string, len(found))
	for i, f := range found {
		list[i] = f.backend
	}
	return strings.Join(list, ", ")
}

// find finds a server by its address in any spelling. An empty backend is any. One without a scheme is that of an http:// server, or else of an
// https:// one.
func (c *control) find(backend, address string) ([]placed, error) {
	parsed, err := config.ParseAddress(address)
	if err != nil {
		return nil, err
	}
	snapshot := c.server.Snapshot()
	views := snapshot.Views()
	if backend != "" {
		v, ok := snapshot.View(backend)
		if !ok {
			return nil, unknownBackend(backend, views)
		}
		views = []server.View{v}
	}
	found := placesOf(parsed, views)
	if scheme, rest, ok := strings.Cut(address, "//"); len(found) == 0 && (!ok || scheme == "") {
		if !ok {
			rest = address
		}
		if secure, err := config.ParseAddress("https://" + rest); err == nil {
			found = placesOf(secure, views)
		}
	}
	if len(found) == 0 {
		return nil, unknownServer(backend, parsed, views)
	}
	return found, nil
}

func placesOf(address config.Address, views []server.View) (found []placed) {
	for _, v := range views {
		for _, m := range v.Members() {
			if m.Address() == address {
				found = append(found, placed{v.Name(), m})
			}
		}
	}
	return found
}

// fewKnown is how many servers or backends are worth naming to somebody who has asked for another.
const fewKnown = 10

// unknownBackend says that there is no such backend, and which there are.
func unknownBackend(name string, views []server.View) error {
	var known []string
	for _, v := range views[:min(len(views), fewKnown)] {
		known = append(known, v.Name())
	}
	text := fmt.Sprintf("there is no backend %q; known are %s", name, strings.Join(known, ", "))
	if more := len(views) - len(known); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return unknown(text)
}

// unknownServer says that none of the backends has the server, and which they have, if that is a short list.
func unknownServer(backend string, address config.Address, views []server.View) error {
	text := fmt.Sprintf("no backend has the server %s", address)
	if backend != "" {
		text = fmt.Sprintf("backend %q has no server %s", backend, address)
	}
	var known []string
	for _, v := range views {
		for _, m := range v.Members() {
			if !slices.Contains(known, m.Name()) {
				known = append(known, m.Name())
			}
			if len(known) > fewKnown {
				return unknown(text)
			}
		}
	}
	if len(known) > 0 {
		text += "; known are " + strings.Join(known, ", ")
	}
	return unknown(text)
}

// unknown is an admin.ErrUnknown in words of its own.
type unknown string

// Error implements error.
func (u unknown) Error() string { return string(u) }

// Unwrap makes it an admin.ErrUnknown.
func (unknown) Unwrap() error { return admin.ErrUnknown }

// Explain says what would become of a request, and changes nothing. The errors do not show the URL, for there may be a password in it.
func (c *control) Explain(r api.ExplainRequest) (any, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" {
		return nil, errors.New("want a URL with a host, as in http://example.com/path")
	}
	if slices.ContainsFunc(append([]string{r.Method, u.Host}, r.Fields...), hasLineEnd) {
		return nil, errors.New("a method or field holds the end of a line")
	}
	q := server.NewQuestion(r.Method, u, r.Fields)
	if r.From != "" {
		if q.From, err = netip.ParseAddr(r.From); err != nil {
			return nil, fmt.Errorf("%q is no IP address of a client", r.From)
		}
	}
	return c.server.Snapshot().Explain(q)
}

func hasLineEnd(s string) bool { return strings.ContainsAny(s, "\r\n") }

// Events are the last events, the oldest first.
func (c *control) Events() []api.Event { return c.events.all() }

// Follow delivers each event from now on.
func (c *control) Follow() (followed <-chan api.Event, stop func()) { return c.events.follow() }
