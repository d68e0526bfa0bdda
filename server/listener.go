package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"l7/cause"
	"l7/config"
	"l7/unixsocket"
)

// listener is one address that clients connect to.
type listener struct {
	net.Listener
	server  *Server
	address config.ListenAddress
	rules   atomic.Pointer[Rules] // those of the last snapshot that had it; see Snapshot.gate
	port    string                // of a TCP listener
	closing atomic.Bool           // its connections are to end
	ended   chan struct{}         // made by serve; closed when the last connection has been accepted
}

// newListener returns a listener of no socket, with no rules.
func newListener() *listener {
	l := &listener{}
	l.rules.Store(&Rules{})
	return l
}

// maxBackoff is the longest wait after a failed Accept.
const maxBackoff = time.Second

// Accept returns the next connection. A passing failure, such as too many open files, is waited out: the
// library's accept loop would end at the first.
func (l *listener) Accept() (net.Conn, error) {
	backoff := 5 * time.Millisecond
	for {
		nc, err := l.Listener.Accept()
		if err == nil {
			c := newConn(nc, l)
			if !l.server.admit(c) {
				continue
			}
			return c, nil
		}
		if errors.Is(err, net.ErrClosed) || l.closing.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, net.ErrClosed
		}
		l.server.log.Warn().Err(err).Stringer("listen", l.address).Stringer("wait", backoff).Msg("cannot accept a connection")
		time.Sleep(backoff)
		backoff = min(2*backoff, maxBackoff)
	}
}

// admit takes a new connection on, unless that would be one too many.
func (s *Server) admit(c *conn) bool {
	limits := s.Snapshot().connections
	if why := s.conns.add(c, limits); why != cause.None {
		c.turnAway(why)
		return false
	}
	if c.listener.closing.Load() {
		c.end()
	}
	return true
}

// refusal is the answer to a connection that is one too many.
func refusal(why cause.Cause) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nProxy-Status: %s\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		why.Status(), http.StatusText(why.Status()), proxyStatus(why))
}

// lastCall is how long connections are still taken that a socket has when it is to be closed: the system would reset them.
const lastCall = 10 * time.Millisecond

// stop takes the connections that have come already, closes the socket and ends all that came through it.
func (l *listener) stop() {
	l.closing.Store(true)
	if socket, ok := l.Listener.(interface{ SetDeadline(t time.Time) error }); ok && socket.SetDeadline(time.Now().Add(lastCall)) == nil {
		<-l.ended
	}
	l.leave()
	l.server.conns.each(func(c *conn) bool { return c.listener == l }, (*conn).end)
}

// leave closes the socket, and returns when the last connection that was accepted is among those of the server. That takes maxBackoff at most.
func (l *listener) leave() {
	l.closing.Store(true)
	_ = l.Close() // a socket that cannot be closed was closed
	<-l.ended
}

// Opening is a set of listeners that is ready to take the place of the one in force.
type Opening struct {
	server *Server
	want   []Listen
	next   map[config.ListenAddress]*listener
	opened []*listener
	before map[config.ListenAddress]*listener // set by Commit
}

// Open opens those of the addresses that are not open yet, or that nobody finds any more, and serves none of them before Commit.
// The error names every address that cannot be had; nothing is left open then.
func (s *Server) Open(want []Listen) (*Opening, error) {
	o := &Opening{server: s, want: want, next: map[config.ListenAddress]*listener{}}
	var problems []error
	for _, w := range want {
		address := w.Address
		if l := s.listeners[address]; l != nil && !lost(l.Listener) {
			o.next[address] = l
			continue
		}
		socket, err := s.listen(w)
		if err != nil {
			problems = append(problems, fmt.Errorf("cannot listen on %q: %w%s", address, err, s.wayOut(address, err)))
			continue
		}
		l := newListener()
		l.Listener, l.server, l.address, l.port = socket, s, address, portOf(socket.Addr())
		o.next[address] = l
		o.opened = append(o.opened, l)
	}
	if len(problems) == 0 {
		problems = o.permitAll()
	}
	if len(problems) > 0 {
		o.Abort()
		return nil, errors.Join(problems...)
	}
	return o, nil
}

// wayOut says what to do about an address that cannot be had, where that is known.
func (s *Server) wayOut(address config.ListenAddress, err error) string {
	_, port, _ := net.SplitHostPort(address.Addr)
	if n, _ := strconv.Atoi(port); errors.Is(err, syscall.EACCES) && 0 < n && n < 1024 {
		return "; ports below 1024 need root, CAP_NET_BIND_SERVICE or net.ipv4.ip_unprivileged_port_start"
	}
	return s.holderOf(address, err)
}

// holderOf tells when the one that holds a port or a path is l7 itself, in another form of the address. The system
// lets no second socket in there before the first is closed, and a port must not be closed before it is certain to be had.
func (s *Server) holderOf(address config.ListenAddress, err error) string {
	if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, unixsocket.ErrInUse) {
		return ""
	}
	_, port, _ := net.SplitHostPort(address.Addr)
	for held, l := range s.listeners {
		switch {
		case held.Network == "fd" && (l.port != "" && l.port == port || l.Addr().String() == address.Addr):
			return fmt.Sprintf("; it is the socket that l7 has as %q: an upgrade (USR2) passes it on, or restart it", held)
		case held.Network == "tcp" && l.port == port:
			return fmt.Sprintf("; l7 itself listens there as %q: restart it, or reload once with another port in between", held)
		}
	}
	return ""
}

// Commit puts a snapshot in force, with the rules of the listeners in the same moment, and serves the new listeners. It returns the snapshot
// before, for the caller to close. Retire has to follow.
func (o *Opening) Commit(next *Snapshot) (before *Snapshot) {
	next.gates = make(map[*listener]*Rules, len(o.want))
	for i := range o.want {
		l, rules := o.next[o.want[i].Address], &o.want[i].Rules
		next.gates[l] = rules
		l.rules.Store(rules)
	}
	before = o.server.Swap(next)
	o.before, o.server.listeners = o.server.listeners, o.next
	for _, l := range o.opened {
		o.server.serve(l)
	}
	return before
}

// Retire stops the listeners that are not wanted any more.
func (o *Opening) Retire() {
	for address, l := range o.before {
		if o.next[address] != l {
			l.stop()
		}
	}
}

// Abort closes what Open opened.
func (o *Opening) Abort() {
	for _, l := range o.opened {
		_ = l.Close() // nobody was told of it
	}
}

func listen(w Listen) (net.Listener, error) {
	if w.Address.Network == "unix" {
		return unixsocket.Listen(w.Address.Addr, w.Permission)
	}
	lc := net.ListenConfig{KeepAlive: -1} // timeouts.idle and timeouts.tunnel end what is dead; probes would cost more
	l, err := lc.Listen(context.Background(), w.Address.Network, w.Address.Addr)
	if failed := (*net.OpError)(nil); errors.As(err, &failed) {
		err = failed.Err // without the address, which whoever tells of it has
	}
	return l, err
}

func portOf(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return strconv.Itoa(tcp.Port)
	}
	return ""
}
