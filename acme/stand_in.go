package acme

import (
	"fmt"
	"net"
)

// stand opens a listener on loopback that says nothing. certmagic opens a port of its own for each challenge, unless somebody listens there,
// who is believed to answer it. We do, on the listeners that clients use, whatever their ports and sockets are; so it is told that the port
// is that of the stand-in.
func (m *Manager) stand() (err error) {
	if m.standIn != nil {
		return nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot stand in for the listeners of challenges: %w", err)
	}
	m.standIn = listener
	go hangUp(listener)
	return nil
}

// sitDown ends it.
func (m *Manager) sitDown() {
	if m.standIn != nil {
		_ = m.standIn.Close() // nobody has anything to lose
		m.standIn = nil
	}
}

// hangUp closes every connection that is made, until the listener is closed.
func hangUp(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}
