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
	return config.Server{Address: address(t, ln.Addr().String())}
}

func address(t *testing.T, text string) (addr config.Address) {
	t.Helper()
	require.NoError(t, addr.UnmarshalText([]byte(text)))
	return addr
}

// nobody is a client whose connection is not looked at.
type nobody struct{ conn *socket.Conn }

func (n nobody) Conn() *socket.Conn          { return n.conn }
func (nobody) Interim(*http1.Response) error { return nil }

// asking is an exchange that is ready for a backend.
func asking(t *testing.T) *exchange.Exchange {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	x := exchange.New()
	x.Out, x.Client, x.Body, x.Method = []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), nobody{socket.New(near)}, &exchange.Source{}, []byte("GET")
	x.Body.Start(nil, nil, exchange.Incoming{})
	x.Timeouts = exchange.Timeouts{Connect: 5 * time.Second, ResponseHeader: 5 * time.Second}
	return x
}

// asked is the name of the server that answers.
func asked(t *testing.T, b *Backend) (string, *exchange.Exchange) {
	t.Helper()
	x := asking(t)
	require.NoError(t, b.Do(x))
	return string(x.Response.Reason()), x
}

// The server with the fewest requests in flight is asked, and among equals the one that was asked least. A request is in flight until it is finished.
func TestLeastLoaded(t *testing.T) {
	registry := NewRegistry(exchange.NewPools())
	b := New("b", []config.Server{serving(t, "1"), serving(t, "2"), serving(t, "3")}, registry, time.Minute)
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
	for _, s := range b.Servers() {
		require.Zero(t, s.PendingRequests())
	}
}

// A failure says nothing about the load: the library would count it as one for three seconds.
func TestAFailureIsNoLoad(t *testing.T) {
	registry := NewRegistry(exchange.NewPools())
	b := New("b", []config.Server{{Address: address(t, "127.0.0.1:1")}, serving(t, "2")}, registry, time.Minute)
	defer b.Close()
	failed := 0
	for range 20 {
		x := asking(t)
		if err := b.Do(x); err != nil {
			failed++
			require.ErrorContains(t, err, "connect_refused")
			continue
		}
		x.Finish()
	}
	require.Equal(t, 10, failed)
}

// A backend without a server answers, and with what.
func TestABackendWithoutServers(t *testing.T) {
	b := New("b", nil, NewRegistry(exchange.NewPools()), time.Minute)
	defer b.Close()
	require.Equal(t, errNoServer, b.Do(asking(t)))
	require.Equal(t, cause.NoServer, errNoServer.Cause)
	require.True(t, errNoServer.Unsent)
	require.Equal(t, "b", b.Name())
}

// Whoever names an address gets the same server, with its connections and its requests in flight, until nobody names it any more.
func TestRegistrySharesServersByAddress(t *testing.T) {
	registry := NewRegistry(exchange.NewPools())
	one, two := serving(t, "1"), serving(t, "2")
	old := New("b", []config.Server{one, two}, registry, time.Minute)
	_, x := asked(t, old)
	next := New("b", []config.Server{one, one}, registry, time.Hour)
	require.Same(t, old.Servers()[0], next.Servers()[0])
	require.Same(t, old.Servers()[0], next.Servers()[1])
	next.Activate()
	require.Equal(t, 2, registry.Len())
	gone := old.Servers()[1]
	old.Close()
	require.Equal(t, 1, registry.Len())
	require.Equal(t, 1, next.Servers()[0].PendingRequests()+gone.PendingRequests())
	x.Finish()
	require.Zero(t, gone.Idle(), "a server that was let go keeps nothing")
	next.Close()
	require.Zero(t, registry.Len())
	require.Zero(t, next.Servers()[0].Idle())
	require.PanicsWithValue(t, "BUG: release of a server that the registry does not hold", next.Close)
	fresh := registry.Acquire(one.Address, time.Minute)
	require.NotSame(t, next.Servers()[0], fresh)
	registry.Release(fresh)
}
