package balancer

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"l7/cause"
	"l7/config"
	"l7/exchange"
	"l7/http1"
	"l7/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serving runs a server that answers with its name.
func serving(t *testing.T, name string) config.Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					_, _ = c.Write([]byte("HTTP/1.1 200 " + name + "\r\nContent-Length: 0\r\n\r\n"))
				}
			}()
		}
	}()
	return config.Server{Address: address(t, ln.Addr().String()), Weight: 1}
}

func address(t *testing.T, text string) (addr config.Address) {
	t.Helper()
	require.NoError(t, addr.UnmarshalText([]byte(text)))
	return addr
}

// client is a client whose connection is not looked at.
type client struct{ conn *socket.Conn }

func (c client) Conn() *socket.Conn            { return c.conn }
func (client) Interim(*http1.Response) error   { return nil }
func (client) Ends() (source, target net.Addr) { return nil, nil }

// asking is a request that is ready for a backend.
func asking(t *testing.T) *Request {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	x := NewRequest(exchange.New())
	x.Out, x.Client, x.Body, x.Method = []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), client{socket.New(near)}, &exchange.Source{}, []byte("GET")
	x.Head = len(x.Out)
	x.Repeatable = true
	x.Body.Start(nil, nil, exchange.Incoming{})
	x.Timeouts = exchange.Timeouts{Connect: 5 * time.Second, ResponseHeader: 5 * time.Second}
	return x
}

// asked is the name of the server that answers.
func asked(t *testing.T, b *Backend) (string, *Request) {
	t.Helper()
	x := asking(t)
	require.NoError(t, b.Do(x))
	return string(x.Response.Reason()), x
}

func section(servers ...config.Server) config.Backend {
	cfg := config.DefaultBackend()
	cfg.Servers = servers
	return cfg
}

var options = Options{Idle: time.Minute, Grace: time.Minute}

func newRegistry() *Registry { return NewRegistry(exchange.NewPools(), func(Change) {}) }

// The server with the fewest requests in flight is asked, and among equals the one that was asked least. A request is in flight until it is finished.
func TestLeastLoaded(t *testing.T) {
	b := New("b", section(serving(t, "1"), serving(t, "2"), serving(t, "3")), newRegistry(), options)
	defer b.Close()
	counts := map[string]int{}
	for range 30 {
		name, x := asked(t, b)
		counts[name]++
		x.Finish()
	}
	require.Equal(t, map[string]int{"1": 10, "2": 10, "3": 10}, counts)
	busy, held := asked(t, b)
	for range 10 {
		name, x := asked(t, b)
		require.NotEqual(t, busy, name)
		x.Finish()
	}
	held.Finish()
	for _, m := range b.Members() {
		require.Zero(t, m.PendingInFlight())
		require.Zero(t, m.InFlight())
	}
}

// A server that refuses costs nobody a request, is ejected after three failures in a row, and is not asked again until its time is over.
func TestADeadServerCostsNobodyARequest(t *testing.T) {
	b := New("b", section(dead(t), serving(t, "2")), newRegistry(), options)
	defer b.Close()
	tries := 0
	for range 20 {
		name, x := asked(t, b)
		require.Equal(t, "2", name)
		tries += len(x.Attempts())
		x.Finish()
	}
	require.Equal(t, 23, tries)
	require.Equal(t, Ejected, b.Members()[0].State(now()))
	history := b.Members()[0].History()
	require.Len(t, history, 1)
	require.Equal(t, "ejected", history[0].State)
	require.Contains(t, history[0].Reason, "connection refused")
}

// dead is an address where nobody listens.
func dead(t *testing.T) config.Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return config.Server{Address: address(t, ln.Addr().String()), Weight: 1}
}

// A backend without a server answers, and with what.
func TestABackendWithoutServers(t *testing.T) {
	b := New("b", section(), newRegistry(), options)
	defer b.Close()
	err := b.Do(asking(t))
	require.Equal(t, &cause.Error{Cause: cause.NoServer, Unsent: true}, err)
	require.Equal(t, "b", b.Name())
}

// Whoever names an address gets the same server, with its connections and its requests in flight, until nobody names it any more.
func TestRegistrySharesServersByAddress(t *testing.T) {
	registry := newRegistry()
	one, two := serving(t, "1"), serving(t, "2")
	old := New("b", section(one, two), registry, options)
	_, x := asked(t, old)
	next := New("b", section(one), registry, options)
	other := New("other", section(one), registry, options)
	require.Same(t, old.Members()[0].Standing, next.Members()[0].Standing)
	require.NotSame(t, old.Members()[0].Standing, other.Members()[0].Standing)
	require.Same(t, old.Members()[0].Server, other.Members()[0].Server)
	next.Activate()
	require.Equal(t, 2, registry.Len())
	gone := old.Members()[1]
	old.Close()
	require.Equal(t, 1, registry.Len())
	require.Equal(t, 1, next.Members()[0].PendingInFlight()+gone.PendingInFlight())
	x.Finish()
	require.Zero(t, gone.Idle(), "a server that was let go keeps nothing")
	next.Close()
	require.Equal(t, 1, registry.Len())
	other.Close()
	require.Zero(t, registry.Len())
	require.Zero(t, other.Members()[0].Idle())
	require.PanicsWithValue(t, "BUG: release of a server that the registry does not hold", next.Close)
}
