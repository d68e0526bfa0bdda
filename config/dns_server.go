package config

import (
	"fmt"
	"net/netip"
)

// DNSServer is where a DNS server is asked: its IP address and port.
type DNSServer struct{ netip.AddrPort }

// UnmarshalText reads an IP address with or without a port, which is 53.
func (d *DNSServer) UnmarshalText(text []byte) error {
	if addr, err := netip.ParseAddr(string(text)); err == nil {
		d.AddrPort = netip.AddrPortFrom(addr, 53)
		return nil
	}
	server, err := netip.ParseAddrPort(string(text))
	if err != nil || server.Port() == 0 {
		return fmt.Errorf("%s is no address of a DNS server; want an IP address and port, as in 10.0.0.2:53", shown(string(text)))
	}
	d.AddrPort = server
	return nil
}

// MarshalText returns the address and port.
func (d DNSServer) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
