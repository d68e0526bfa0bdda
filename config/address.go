package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Address is where a server is reached. It is comparable: two spellings of one address are equal.
type Address struct {
	Scheme string // "http", "https", "srv+http", "srv+https" or "unix"
	Host   string // name or IP address, without brackets; empty for unix
	Port   uint16 // 0 for unix
	Path   string // the socket's path; empty unless unix
}

// maxSocketPath is what the kernel's sockaddr_un holds, less its closing zero.
const maxSocketPath = 107

// UnmarshalText reads the forms that Server.Address lists.
func (a *Address) UnmarshalText(text []byte) error {
	parsed, err := ParseAddress(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// MarshalText returns the canonical form, see String.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// String returns the canonical form: "http://HOST:PORT" or "unix:PATH".
func (a Address) String() string {
	switch {
	case a == (Address{}):
		return ""
	case a.Scheme == "unix":
		return "unix:" + a.Path
	}
	if a.IsService() {
		return a.Scheme + "://" + a.Host
	}
	return a.Scheme + "://" + a.Dial()
}

// Network is "tcp" or "unix", for a dialer.
func (a Address) Network() string {
	if a.Scheme == "unix" {
		return "unix"
	}
	return "tcp"
}

// Dial is what a dialer of Network wants: "HOST:PORT" with brackets around IPv6, or the socket's path.
func (a Address) Dial() string {
	if a.Scheme == "unix" {
		return a.Path
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// DialPort is Dial with another port; 0, and any for a socket's path, changes nothing.
func (a Address) DialPort(port int) string {
	if port > 0 && port < 1<<16 {
		a.Port = uint16(port)
	}
	return a.Dial()
}

// ParseAddress reads a server address in any of the forms that Server.Address lists.
func ParseAddress(text string) (Address, error) {
	address, err := parseAddress(text)
	if err != nil {
		return Address{}, fmt.Errorf("cannot use server address %s: %w", shown(text), err)
	}
	return address, nil
}

func parseAddress(text string) (Address, error) {
	if socket, ok := cutScheme(text, "unix:"); ok {
		clean, err := socketPath(socket)
		return Address{Scheme: "unix", Path: clean}, err
	}
	if strings.Contains(text, "@") {
		return Address{}, errors.New("user information has no meaning here; remove all up to the '@'")
	}
	scheme, rest, found := strings.Cut(text, "//")
	if !found {
		scheme, rest = "", text
	}
	switch strings.ToLower(scheme) {
	case "", "http:":
		return hostAddress("http", rest, 80)
	case "https:":
		return hostAddress("https", rest, 443)
	case "srv+http:", "srv+https:":
		return serviceAddress(strings.TrimSuffix(strings.ToLower(scheme), ":"), rest)
	case "fd:":
		return Address{}, errors.New("a descriptor is for listen; a server has a name, an address or unix:/PATH")
	case "http", "https", "srv+http", "srv+https":
		return Address{}, fmt.Errorf("there is no colon behind %s; write %s://%s", scheme, scheme, rest)
	default:
		return Address{}, fmt.Errorf("unknown scheme %q; use http://HOST:PORT, https://HOST:PORT, srv+http://NAME, srv+https://NAME or unix:/PATH",
			strings.TrimSuffix(scheme, ":"))
	}
}

func hostAddress(scheme, rest string, port uint16) (Address, error) {
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/?#") {
		return Address{}, errors.New("a path, query or fragment has no meaning here; give HOST:PORT only")
	}
	host, portText, err := splitHostPort(rest)
	if err != nil {
		return Address{}, err
	}
	if host == "" {
		return Address{}, errors.New("the host is missing, as in http://10.0.0.4:8081")
	}
	if portText != "" {
		port, err = parsePort(portText[1:], 1)
	}
	return Address{Scheme: scheme, Host: host, Port: port}, err
}

// serviceAddress reads the name of SRV records (RFC 2782), which tell hosts and ports.
func serviceAddress(scheme, rest string) (Address, error) {
	address, err := hostAddress(scheme, rest, 0)
	switch {
	case err != nil:
		return address, err
	case address.Port != 0:
		return address, errors.New("a port has no meaning here; SRV records tell it")
	case !strings.HasPrefix(address.Host, "_"):
		return address, errors.New("want the name of a service, as in srv+http://_web._tcp.example.com")
	}
	return address, nil
}

// IsService is true for the name of SRV records.
func (a Address) IsService() bool { return strings.HasPrefix(a.Scheme, "srv+") }

// IsName is true for a name that stands for whatever addresses it leads to. An IP address, a unix socket and localhost are what they are.
func (a Address) IsName() bool {
	if a.Scheme == "unix" || a.Host == "" || a.Host == "localhost" || strings.HasSuffix(a.Host, ".localhost") {
		return false
	}
	_, err := netip.ParseAddr(a.Host)
	return err != nil
}

// At is the address of one of those that a name leads to. Port 0 is the name's own.
func (a Address) At(ip netip.Addr, port uint16) Address {
	if port == 0 {
		port = a.Port
	}
	return Address{Scheme: strings.TrimPrefix(a.Scheme, "srv+"), Host: ip.String(), Port: port}
}

// shown is an address as an error may show it: what stands before an '@' can be a password.
func shown(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		text = Mask + text[at:]
	}
	return quote(text)
}

// cutScheme is strings.CutPrefix for a scheme, in which upper and lower case are one.
func cutScheme(text, scheme string) (rest string, found bool) {
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return text, false
	}
	return text[len(scheme):], true
}

// socketPath checks the path of a unix socket and returns its one spelling.
func socketPath(text string) (string, error) {
	if !strings.HasPrefix(text, "/") {
		return "", errors.New("a unix socket needs an absolute path, as in unix:/run/app.sock")
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return "", fmt.Errorf("control byte %q in the socket's path", text[i])
		}
	}
	clean := path.Clean(text)
	if clean == "/" || strings.HasSuffix(text, "/") {
		return "", errors.New("the socket's path names a directory")
	}
	if len(clean) > maxSocketPath {
		return "", fmt.Errorf("the socket's path has %d bytes; the system takes %d", len(clean), maxSocketPath)
	}
	return clean, nil
}

// splitHostPort reads HOST, HOST:PORT, [IPv6] and [IPv6]:PORT. The host is canonical or empty;
// the port keeps its colon, so that an empty text means there was none.
func splitHostPort(text string) (host, port string, err error) {
	host = text
	switch colon := strings.LastIndexByte(text, ':'); {
	case strings.HasPrefix(text, "["):
		end := strings.IndexByte(text, ']')
		if end < 0 || (end+1 < len(text) && text[end+1] != ':') {
			return "", "", errors.New("the brackets do not match; an IPv6 address is written [::1]:8080")
		}
		host, port = text[:end+1], text[end+1:]
	case colon >= 0 && strings.IndexByte(text, ':') != colon:
		return "", "", errors.New("an IPv6 address needs brackets, as in [::1]:8080")
	case colon >= 0:
		host, port = text[:colon], text[colon:]
	}
	host, err = canonicalHost(host)
	return host, port, err
}

func parsePort(text string, least uint16) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || uint16(n) < least {
		return 0, fmt.Errorf("bad port %s: want a number from %d to 65535", quote(text), least)
	}
	return uint16(n), nil
}

// canonicalHost checks a name, an IPv4 address or a bracketed IPv6 address and returns its one spelling.
func canonicalHost(host string) (string, error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		return canonicalIPv6(strings.TrimSuffix(inner, "]"))
	}
	for i := range len(host) {
		if !isNameByte(host[i]) {
			return "", fmt.Errorf("bad byte %q in the host: want letters, digits, '.', '-' and '_'", host[i])
		}
	}
	return canonicalName(strings.ToLower(host))
}

func canonicalIPv6(text string) (string, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() {
		return "", errors.New("what stands in the brackets is not an IPv6 address")
	}
	zone := addr.Zone()
	for i := range len(zone) {
		if !isNameByte(zone[i]) {
			return "", fmt.Errorf("bad byte %q in the zone of the IPv6 address", zone[i])
		}
	}
	return addr.Unmap().String(), nil
}

// canonicalName checks a lower-case name or IPv4 address. The empty name passes: it is the caller's matter.
func canonicalName(host string) (string, error) {
	if len(host) > 253 {
		return "", fmt.Errorf("the host has %d bytes: names end at 253", len(host))
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if host != "" && (label == "" || len(label) > 63) {
			return "", errors.New("a part of the host between dots has no bytes, or more than 63")
		}
	}
	// A name never ends in a number, so this is an IPv4 address or a slip of the pen in one.
	last := labels[len(labels)-1]
	if last == "" || strings.Trim(last, "0123456789") != "" {
		return host, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "", errors.New("it ends in a number and is not an IPv4 address, as in 10.0.0.4")
	}
	return addr.String(), nil
}

func isNameByte(c byte) bool {
	return c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
