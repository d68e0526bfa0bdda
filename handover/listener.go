package handover

import (
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// ownPrefix begins the names of the sockets that l7 has opened itself. The others are those of systemd's units.
const ownPrefix = "l7:"

// nameOf is the name of the socket that was opened for an address. LISTEN_FDNAMES has no room for colons.
func nameOf(network, address string) string {
	return url.QueryEscape(ownPrefix + network + ":" + address)
}

// networkFD is that of the sockets that a config names by the descriptor that they came as.
const networkFD = "fd"

// foreignName is the name of a socket that came from systemd, made of its descriptor and the name in its unit. It keeps it through all
// upgrades: in these the numbers change, and what the config says does not.
func foreignName(fd int, unit string) string {
	return url.QueryEscape(networkFD + ":" + strconv.Itoa(fd) + ":" + unit)
}

// cameAs finds the socket that came from systemd as a descriptor.
func cameAs(descriptor string) func(named) bool {
	prefix := url.QueryEscape(networkFD + ":" + descriptor + ":")
	return func(s named) bool { return strings.HasPrefix(s.Name(), prefix) }
}

// label is a socket's name for people.
func label(name string) string {
	text, err := url.QueryUnescape(name)
	if err != nil {
		return name
	}
	if rest, ok := strings.CutPrefix(text, networkFD+":"); ok {
		fd, unit, _ := strings.Cut(rest, ":")
		return strings.TrimSpace(networkFD + "://" + fd + " " + unit)
	}
	return text
}

func isOwn(name string) bool { return strings.HasPrefix(name, url.QueryEscape(ownPrefix)) }

// named is an inherited listener.
type named interface {
	net.Listener
	Name() string
}

func newNamed(l net.Listener, name string) (named, error) {
	switch l := l.(type) {
	case *net.TCPListener:
		return &tcpListener{l, name}, nil
	case *net.UnixListener:
		return newUnixListener(l, name), nil
	}
	_ = l.Close() // of no use
	return nil, errors.New("it is neither a TCP nor a unix socket")
}

// tcpListener turns off the keep-alive probes, which the library turns on for connections of a listener that it has not opened.
type tcpListener struct {
	*net.TCPListener
	name string
}

// Name is the name that the socket was passed on with.
func (l *tcpListener) Name() string { return l.name }

// Accept implements net.Listener.
func (l *tcpListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	_ = c.SetKeepAlive(false) // with them it works as well
	return c, nil
}

// unixListener leaves the socket's file where it is when it is closed, unless SetUnlinkOnClose says otherwise and the file is the one that it came with.
// It is to this process what a unixsocket.Listener was to the first.
type unixListener struct {
	*net.UnixListener
	name   string
	file   fs.FileInfo // nil: it came without
	unlink atomic.Bool
}

func newUnixListener(l *net.UnixListener, name string) *unixListener {
	file, _ := os.Lstat(l.Addr().String())
	return &unixListener{UnixListener: l, name: name, file: file}
}

// Name is the name that the socket was passed on with.
func (l *unixListener) Name() string { return l.name }

// Foreign is true for a socket whose file is systemd's to keep.
func (l *unixListener) Foreign() bool { return !isOwn(l.name) }

// Lost is true when nobody finds the socket of an l7 any more: its file is gone, or another's. Of systemd's, systemd takes care.
func (l *unixListener) Lost() bool {
	if l.Foreign() {
		return false
	}
	found, err := os.Lstat(l.Addr().String())
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(found, l.file)
}

// SetUnlinkOnClose says whether the file goes with the socket. What systemd has opened stays systemd's.
func (l *unixListener) SetUnlinkOnClose(unlink bool) { l.unlink.Store(unlink && !l.Foreign()) }

// Close implements net.Listener.
func (l *unixListener) Close() error {
	if l.unlink.Swap(false) && !l.Lost() {
		_ = os.Remove(l.Addr().String()) // somebody else's next start finds it stale
	}
	return l.UnixListener.Close()
}

// setUnlink says whether the file of a unix socket goes with it.
func setUnlink(l net.Listener, unlink bool) {
	if u, ok := l.(interface{ SetUnlinkOnClose(bool) }); ok {
		u.SetUnlinkOnClose(unlink)
	}
}

// Own makes the file of a unix socket go with the listener, as it does with one that was opened here. It is for a process that serves: before, the
// file is that of the process before. What systemd has opened stays systemd's.
func Own(l net.Listener) { setUnlink(l, true) }

// Leave lets a listener be closed without harm for the process that it was passed on to.
func Leave(l net.Listener) { setUnlink(l, false) }

// indexOf finds the socket that listening on an address would have made, or -1.
func indexOf(sockets []named, network, address string) int {
	if network == "unix" {
		return find(sockets, func(a net.Addr) bool { return a.Network() == "unix" && a.String() == address })
	}
	want, err := net.ResolveTCPAddr(network, address)
	if err != nil || want.Port == 0 {
		return -1
	}
	ips := []net.IP{want.IP}
	if want.IP == nil || want.IP.IsUnspecified() { // net.Listen takes all of these for IPv6 and IPv4 together
		ips = append(ips, net.IPv6unspecified, net.IPv4zero)
	}
	for _, ip := range ips {
		same := func(a net.Addr) bool {
			tcp, ok := a.(*net.TCPAddr)
			return ok && tcp.Port == want.Port && tcp.IP.Equal(ip) && sameZone(tcp.Zone, want.Zone)
		}
		if i := find(sockets, same); i >= 0 {
			return i
		}
	}
	return -1
}

// sameZone is true when a socket's zone is the one that is wanted, which may be the name of an interface or its number. The system does not tell
// the zone of every socket: none of a multipath one, and none of an address that needs none.
func sameZone(of, want string) bool {
	return of == "" || of == want || zoneIndex(of) == zoneIndex(want)
}

func zoneIndex(zone string) int {
	if device, err := net.InterfaceByName(zone); err == nil {
		return device.Index
	}
	index, _ := strconv.Atoi(zone)
	return index
}

func find(sockets []named, is func(net.Addr) bool) int {
	for i, s := range sockets {
		if is(s.Addr()) {
			return i
		}
	}
	return -1
}
