package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"l7/auth"
	"l7/config"
	"l7/unixsocket"
)

// Settings say where a Server can be reached, and by whom.
type Settings struct {
	Socket string               // the path of the admin socket; empty: none
	Listen config.ListenAddress // of admin.listen; the zero value: none
	Users  *auth.Users          // who may use Listen; nil: whoever can connect may look
	Pprof  bool                 // offers /debug/pprof
}

// SocketError says that the admin socket cannot be had, which need not keep a process from starting.
type SocketError struct {
	Path string
	Err  error
}

// Error implements error.
func (e *SocketError) Error() string {
	return fmt.Sprintf("cannot listen on the admin socket %q (admin.socket): %v", e.Path, e.Err)
}

// Unwrap returns what is in the way.
func (e *SocketError) Unwrap() error { return e.Err }

// Opening is a set of doors that is ready to take the place of the one in force. Either Commit or Abort has to be called.
type Opening struct {
	server *Server
	access access
	next   []*door
	opened []*door // those of next that were not there before
}

// Open opens what the settings want and is not open yet, and serves none of it before Commit. On error nothing has changed; all that
// cannot be had is joined in it, and the socket's part is a *SocketError: who can do without the socket asks again
// without one.
func (s *Server) Open(want Settings) (*Opening, error) {
	o := &Opening{server: s, access: access{want.Users, want.Pprof}}
	if err := errors.Join(o.openSocket(want.Socket), o.openListen(want.Listen)); err != nil {
		o.Abort()
		return nil, err
	}
	return o, nil
}

// Commit serves the new doors under the new settings, and then closes those that are not wanted any more.
func (o *Opening) Commit() {
	for _, d := range o.next {
		d.access.Store(&o.access)
	}
	for _, d := range o.opened {
		d.own()
		o.server.running.Go(d.serve)
	}
	o.opened = nil
	o.server.replace(o.next)
}

// Abort closes what Open opened. After Commit it does nothing.
func (o *Opening) Abort() {
	for _, d := range o.opened {
		d.shut()
	}
}

// openSocket keeps a socket that is still there. One that had to go beside the wanted path is kept while the other process lives.
func (o *Opening) openSocket(path string) error {
	if path == "" {
		return nil
	}
	held := o.server.find(true)
	if held != nil && held.address.Addr == path && !lost(held.listener) && (held.path() == path || unixsocket.CheckFree(path) != nil) {
		o.next = append(o.next, held)
		return nil
	}
	if d := o.server.takeOver(config.ListenAddress{Network: "unix", Addr: path}); d != nil {
		d.trusted = true
		o.add(d)
		return nil
	}
	listener, err := listenSocket(path)
	if err != nil {
		return &SocketError{path, err}
	}
	d := &door{address: config.ListenAddress{Network: "unix", Addr: path}, trusted: true, listener: listener}
	if d.path() != path {
		o.server.log.Warn().Str("wanted", path).Str("socket", d.path()).Msg("the admin socket is held by another process; it is beside it")
	}
	o.add(d)
	return nil
}

func (o *Opening) openListen(address config.ListenAddress) error {
	if address == (config.ListenAddress{}) {
		return nil
	}
	d := o.server.find(false)
	if d == nil || d.address != address || lost(d.listener) {
		var err error
		if d, err = o.server.openDoor(address); err != nil {
			return fmt.Errorf("cannot listen on %q (admin.listen): %w", address, err)
		}
		o.add(d)
	} else {
		o.next = append(o.next, d)
	}
	// The config refuses it as well, but it cannot see where a name leads.
	if o.access.users == nil && exposed(d.listener.Addr()) {
		return fmt.Errorf("cannot listen on %q (admin.listen): it is open to the network and there is nobody to ask for a password; give admin.users", address)
	}
	return nil
}

func (o *Opening) add(d *door) {
	d.init(o.server)
	o.next = append(o.next, d)
	o.opened = append(o.opened, d)
}

// openDoor takes over the door that the process before had, or opens one.
func (s *Server) openDoor(address config.ListenAddress) (*door, error) {
	if d := s.takeOver(address); d != nil {
		return d, nil
	}
	listener, err := listen(address)
	if err != nil {
		return nil, err
	}
	return &door{address: address, listener: listener}, nil
}

func listen(address config.ListenAddress) (net.Listener, error) {
	if address.Network == "unix" {
		return unixsocket.Listen(address.Addr, unixsocket.Permission{})
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), address.Network, address.Addr)
	if failed := (*net.OpError)(nil); errors.As(err, &failed) {
		err = failed.Err // without the address, which whoever tells of it has
	}
	return l, err
}

// exposed is true for an address that others than the machine itself can reach.
func exposed(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && !tcp.IP.IsLoopback()
}

// without are the doors of a list that another list does not have.
func without(list, other []*door) []*door {
	return slices.DeleteFunc(slices.Clone(list), func(d *door) bool { return slices.Contains(other, d) })
}
