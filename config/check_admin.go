package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
)

// checkAdmin refuses to open the admin listener to the network without a password in front of it.
func (c checker) checkAdmin(admin *Admin) {
	refuse := func(key, text string) { c.refuseUnless(false, text, key) }
	if s := admin.Socket; s != "" && s != "off" {
		if !filepath.IsAbs(s) {
			refuse("socket", "want a path that begins with '/', or off")
		} else if len(s) > maxSocketPath {
			refuse("socket", "the path is too long for a socket")
		}
		c.refuseShared(ListenAddress{Network: "unix", Addr: filepath.Clean(s)}, "socket")
	}
	address, err := admin.Address()
	switch {
	case err != nil:
		refuse("listen", err.Error())
	case address.Network == "tcp" && !isLoopback(address.Addr) && len(admin.Users) == 0 && !c.isUnread("users"):
		refuse("listen", "the address is open to the network and there is nobody to ask for a password; give admin.users, or listen on 127.0.0.1")
	case address.Network == "fd":
		refuse("listen", "the admin listener opens its own socket; give 127.0.0.1:9901, say")
	case address.Network == "unix" && filepath.Clean(admin.Socket) == address.Addr:
		refuse("listen", "it is the same as admin.socket")
	case address.Network == "unix":
		c.refuseShared(address, "listen") // the ports are looked at with those of listen
	}
}

// refuseShared refuses an address that clients have as well.
func (c checker) refuseShared(address ListenAddress, key string) {
	for i := range c.out.Config.Listen {
		if c.out.Config.Listen[i].Address == address {
			clients := c.out.Problem([]string{"listen", strconv.Itoa(i)}, "").Origin
			c.refuseUnless(false, fmt.Sprintf("it is the same as listen (%s); want an address of its own", clients), key)
		}
	}
}

// Address is where the admin listener stands; the zero value where there is none.
func (a *Admin) Address() (ListenAddress, error) {
	if a.Listen == "" {
		return ListenAddress{}, nil
	}
	return ParseListenAddress(a.Listen)
}

// isLoopback is true for an address that only the machine itself can reach.
func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
