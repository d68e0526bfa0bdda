package admin

import (
	"net"
	"os"

	"l7/config"
)

// Inheritance has listening sockets that were opened by a process before this one.
type Inheritance interface {
	// Take returns the socket for an address, once, or nil where there is none.
	Take(address config.ListenAddress) net.Listener
}

// Inherit has Open look for a socket there first. It is to be called before the first Open, if at all.
func (s *Server) Inherit(from Inheritance) { s.inherited = from }

// Sockets are the listening sockets by the address that they were asked for.
func (s *Server) Sockets() map[config.ListenAddress]net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	sockets := make(map[config.ListenAddress]net.Listener, len(s.doors))
	for _, d := range s.doors {
		sockets[d.address] = d.listener
	}
	return sockets
}

// Leave says that another process has the sockets now: their files outlast Close.
func (s *Server) Leave() { s.left.Store(true) }

// takeOver opens a door that a process before this one had; nil where there is none.
func (s *Server) takeOver(address config.ListenAddress) *door {
	if s.inherited == nil {
		return nil
	}
	l := s.inherited.Take(address)
	if l == nil {
		return nil
	}
	d := &door{address: address, listener: l, inherited: true}
	if address.Network != "unix" {
		return d
	}
	path := l.Addr().String()
	made, err := os.Lstat(path)
	if err != nil { // somebody has removed the file, and nobody can come in any more
		_ = l.Close()
		return nil
	}
	f, ok := l.(interface{ Foreign() bool })
	d.file = &socketFile{path, made, ok && f.Foreign()}
	return d
}
