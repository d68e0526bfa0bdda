package server

import (
	"net"
	"net/netip"
)

// peer is the other side of a client's connection.
type peer struct {
	ip   netip.Addr // not valid on a unix socket
	text string     // the IP as text, or "unix"
}

func newPeer(addr net.Addr) peer {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return peer{text: "unix"}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("") // a range has no zones: with one the client would be in none, and in no list of who may not
	return peer{ip: ip, text: ip.String()}
}
