package server

import (
	"errors"
	"net"

	"l7/config"
)

// Inheritance has listening sockets that were opened by a process before this one.
type Inheritance interface {
	// Take returns the socket for an address, once, or nil where there is none.
	Take(address config.ListenAddress) net.Listener
	// Missing tells why there is none for a descriptor.
	Missing(descriptor string) error
}

// Inherit has Open look for a socket there first. It is to be called before the first Open, if at all.
func (s *Server) Inherit(from Inheritance) { s.inherited = from }

// Sockets are the listening sockets by the address that they were asked for, but those that nobody finds any more. They stay the server's; like
// Open, this must not be called while an Opening waits for its Commit.
func (s *Server) Sockets() map[config.ListenAddress]net.Listener {
	sockets := make(map[config.ListenAddress]net.Listener, len(s.listeners))
	for address, l := range s.listeners {
		if !lost(l.Listener) {
			sockets[address] = l.Listener
		}
	}
	return sockets
}

// listen takes the socket of an address over, or opens one.
func (s *Server) listen(w Listen) (net.Listener, error) {
	if s.inherited != nil {
		l := s.inherited.Take(w.Address)
		if l != nil && !lost(l) {
			return l, nil
		}
		if l != nil {
			_ = l.Close() // of no use
		}
	}
	if w.Address.Network == "fd" { // never the descriptor itself: by now it may be anything of ours
		if s.inherited == nil {
			return nil, errors.New("no socket came from another process")
		}
		return nil, s.inherited.Missing(w.Address.Addr)
	}
	return listen(w)
}

// lost is true for a unix socket whose name has gone, or leads to another process.
func lost(l net.Listener) bool {
	named, ok := l.(interface{ Lost() bool })
	return ok && named.Lost()
}
