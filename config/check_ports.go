package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// standing is an address that is listened on, and where it is given.
type standing struct {
	address ListenAddress
	path    []string
}

// port is empty where there is none, or where the system chooses one. all is true for that of every address, of IPv4 and of IPv6.
func (s standing) port() (port string, all bool) {
	host, port, err := net.SplitHostPort(s.address.Addr)
	if err != nil || s.address.Network != "tcp" || port == "0" {
		return "", false
	}
	ip, _ := netip.ParseAddr(host)
	return port, host == "" || ip.IsUnspecified()
}

// isApartFrom is true for all addresses of IPv4 beside all of IPv6. l7 cannot open both, but systemd can.
func (s standing) isApartFrom(other standing) bool {
	pair := []string{s.address.Addr, other.address.Addr}
	return slices.ContainsFunc(pair, func(a string) bool { return strings.HasPrefix(a, "0.0.0.0:") }) &&
		slices.ContainsFunc(pair, func(a string) bool { return strings.HasPrefix(a, "[::]:") })
}

// checkPorts reports listeners that the system does not let stand beside each other: whose port is that of all addresses has it alone. Names
// are not looked up.
func (l *loader) checkPorts() {
	var places []standing
	for i, listener := range l.out.Config.Listen {
		places = append(places, standing{listener.Address, []string{"listen", strconv.Itoa(i)}})
	}
	if address, err := l.out.Config.Admin.Address(); err == nil {
		places = append(places, standing{address, []string{"admin", "listen"}})
	}
	first := map[string]standing{} // by port: the first listener for all addresses, or else the first
	twins := map[ListenAddress]standing{}
	for _, here := range places {
		port, all := here.port()
		if port == "" {
			continue
		}
		other, taken := first[port]
		_, alone := other.port()
		twin, twice := twins[here.address]
		switch {
		case twice && here.path[0] == "listen": // it has been reported
		case twice:
			l.failCollision(here, twin)
		case taken && (all || alone) && !here.isApartFrom(other):
			l.failCollision(here, other)
		}
		if !taken || all && !alone {
			first[port] = here
		}
		twins[here.address] = here
	}
}

func (l *loader) failCollision(here, other standing) {
	place := l.out.Problem(other.path, "").Origin
	text := fmt.Sprintf("%s collides with %s at %s; a listener without an address, or on 0.0.0.0 or [::], takes its port of all addresses", here.address, other.address, place)
	if here.address == other.address {
		text = fmt.Sprintf("%s is listened on already; first at %s", here.address, place)
	}
	l.problems = append(l.problems, l.out.Problem(here.path, text))
}
