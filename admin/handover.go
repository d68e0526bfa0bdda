package admin

import (
	"net"

	"l7/config"
)

// Inheritance has listening sockets that were opened by a process before this one.
type Inheritance interface {
	// Take returns the socket for an address, once, or nil where there is none.
	Take(address config.ListenAddress) net.Listener
}

// Inherit has Open look for a socket there first. It is to be called before the first Open, if at all.
func (s *Server) Inherit(from Inheritance) { s.inherited = from }

// Sockets are the listening sockets by the address that they were asked for, but those that nobody finds any more.
func (s *Server) Sockets() map[config.ListenAddress]net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	sockets := make(map[config.ListenAddress]net.Listener, len(s.doors))
	for _, d := range s.doors {
		if !lost(d.listener) {
			sockets[d.address] = d.listener
		}
	}
	return sockets
}

// takeOver opens a door that a process before this one had; nil where there is none.
func (s *Server) takeOver(address config.ListenAddress) *door {
	if s.inherited == nil {
		return nil
	}
	l := s.inherited.Take(address)
	if l == nil {
		return nil
	}
	if lost(l) {
		_ = l.Close() // of no use
		return nil
	}
	return &door{address: address, listener: l}
}

// own has the name of a unix socket go with it, which may have been that of the process before.
func (d *door) own() {
	if u, ok := d.listener.(interface{ SetUnlinkOnClose(bool) }); ok {
		u.SetUnlinkOnClose(true)
	}
}

// lost is true for a unix socket whose name has gone, or leads to another process.
func lost(l net.Listener) bool {
	named, ok := l.(interface{ Lost() bool })
	return ok && named.Lost()
}
