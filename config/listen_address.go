package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ListenAddress is where a listener stands. It is comparable.
type ListenAddress struct {
	Network string // "tcp" (IPv4 and IPv6 where the host is empty), "unix", or "fd" for a socket that was opened before
	Addr    string // what net.Listen wants: ":80", "127.0.0.1:80", "[::1]:80", or the socket's path; of "fd" the descriptor's number
}

// UnmarshalText reads ':80', '127.0.0.1:80', '[::1]:80', 'unix:/run/l7.sock' and 'fd://3'.
func (l *ListenAddress) UnmarshalText(text []byte) error {
	parsed, err := ParseListenAddress(string(text))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}

// MarshalText returns the canonical form, see String.
func (l ListenAddress) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String returns the form that the config file takes.
func (l ListenAddress) String() string {
	switch l.Network {
	case "unix":
		return "unix:" + l.Addr
	case "fd":
		return "fd://" + l.Addr
	}
	return l.Addr
}

// firstDescriptor is the first behind standard input, output and error.
const firstDescriptor = 3

// ParseListenAddress reads the forms that Listener.Address lists. Port 0 lets the system choose.
func ParseListenAddress(text string) (ListenAddress, error) {
	address, err := parseListenAddress(text)
	if err != nil {
		return ListenAddress{}, fmt.Errorf("cannot listen on %s: %w", shown(text), err)
	}
	return address, nil
}

func parseListenAddress(text string) (ListenAddress, error) {
	if socket, ok := cutScheme(text, "unix:"); ok {
		clean, err := socketPath(socket)
		return ListenAddress{Network: "unix", Addr: clean}, err
	}
	if strings.Contains(text, "@") {
		return ListenAddress{}, errors.New("user information has no meaning here; remove all up to the '@'")
	}
	if number, ok := cutScheme(text, "fd://"); ok {
		fd, err := strconv.ParseUint(number, 10, 16)
		if err != nil || fd < firstDescriptor {
			return ListenAddress{}, fmt.Errorf("want the number of a descriptor from %d on, as in fd://3", firstDescriptor)
		}
		return ListenAddress{Network: "fd", Addr: strconv.FormatUint(fd, 10)}, nil
	}
	if number, ok := cutScheme(text, "fd:"); ok {
		return ListenAddress{}, fmt.Errorf("a descriptor is written fd://%s", number)
	}
	if strings.Contains(text, "//") {
		return ListenAddress{}, errors.New("a listener has no scheme; write ':80' or '127.0.0.1:80', and tls where clients speak it")
	}
	if _, err := strconv.Atoi(text); err == nil {
		return ListenAddress{}, fmt.Errorf("a port stands behind a colon, as in ':%s'", text)
	}
	host, portText, err := splitHostPort(text)
	if err != nil {
		return ListenAddress{}, err
	}
	if portText == "" {
		return ListenAddress{}, errors.New("the port is missing, as in ':80' or '127.0.0.1:80'")
	}
	port, err := parsePort(portText[1:], 0)
	return ListenAddress{Network: "tcp", Addr: net.JoinHostPort(host, strconv.Itoa(int(port)))}, err
}

// takes says that what is sent to the server comes to the listener. Names other than localhost are not looked up, and
// a listener on all addresses is known by those that every machine has.
func (l ListenAddress) takes(server Address) bool {
	if l.Network == "unix" || server.Scheme == "unix" {
		return l.Network == server.Scheme && l.Addr == server.Path
	}
	host, port, err := net.SplitHostPort(l.Addr)
	if err != nil || server.Port == 0 || port != strconv.Itoa(int(server.Port)) {
		return false
	}
	here, _ := netip.ParseAddr(host)
	there, _ := netip.ParseAddr(server.Host)
	local := server.Host == "localhost" || there.IsLoopback() || there.IsUnspecified()
	switch {
	case host == server.Host:
		return true
	case host == "localhost" || host == "" || here.IsUnspecified():
		return local
	}
	return local && here.IsLoopback() && !there.IsLoopback() // 127.0.0.1 is not 127.0.0.2
}

// listenerOn is the listener that the key port stands for.
func listenerOn(port int) Listener {
	l := DefaultListener()
	l.Address = ListenAddress{Network: "tcp", Addr: ":" + strconv.Itoa(port)}
	return l
}
