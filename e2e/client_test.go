package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// client sends every request to one address, whatever the URL's host is. It keeps connections.
type client struct {
	t     testing.TB
	addr  string // "HOST:PORT", or the path of a unix socket
	http  *http.Client
	dials atomic.Int64
}

func newClient(t testing.TB, addr string) *client {
	c := &client{t: t, addr: addr}
	transport := &http.Transport{
		MaxIdleConnsPerHost: 1000,
		DisableCompression:  true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c.dials.Add(1)
			return dial(ctx, addr)
		},
	}
	c.http = &http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(transport.CloseIdleConnections)
	return c
}

// dial connects to what l7 says it listens on: the address of all interfaces stands for this machine.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	} else if host, port, err := net.SplitHostPort(addr); err == nil && net.ParseIP(host).IsUnspecified() {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	return (&net.Dialer{Timeout: patience}).DialContext(ctx, network, addr)
}

// call is one request.
type call struct {
	method        string // GET where empty
	url           string
	user          string // LOGIN:PASSWORD
	authorization string // the field's value, as it stands
	body          string
}

// reply is one response, read to its end.
type reply struct {
	*http.Response
	t    testing.TB
	body string
}

// try sends a request. The body has been read.
func (c *client) try(r call) (reply, error) {
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequest(r.method, r.url, body)
	if err != nil {
		return reply{}, err
	}
	if r.user != "" {
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(r.user)))
	}
	if r.authorization != "" {
		req.Header.Set("Authorization", r.authorization)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp, c.t, string(text)}, err
}

func (c *client) send(r call) reply {
	c.t.Helper()
	got, err := c.try(r)
	require.NoError(c.t, err)
	return got
}

func (c *client) get(url string) reply {
	c.t.Helper()
	return c.send(call{url: url})
}

// raw sends bytes on a connection of their own and reads the response.
func (c *client) raw(text string) reply {
	c.t.Helper()
	return c.connect().send(text)
}

// connection is a client's connection, written to by hand.
type connection struct {
	net.Conn
	t      testing.TB
	reader *bufio.Reader
}

func (c *client) connect() *connection {
	c.t.Helper()
	conn, err := dial(context.Background(), c.addr)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(c.t, conn.SetDeadline(time.Now().Add(patience)))
	return &connection{conn, c.t, bufio.NewReader(conn)}
}

func (c *connection) send(text string) reply {
	c.t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(c.t, err)
	return c.read()
}

func (c *connection) read() reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.reader, nil)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return reply{resp, c.t, string(body)}
}

// refused says that nobody listens on the address.
func refused(addr string) bool {
	conn, err := dial(context.Background(), addr)
	if err != nil {
		return true
	}
	_ = conn.Close()
	return false
}

// is requires a status.
func (r reply) is(status int) reply {
	r.t.Helper()
	require.Equal(r.t, status, r.StatusCode, "%v\n%s", r.Header, r.body)
	return r
}

// from requires that a server answered with 200.
func (r reply) from(server string) reply {
	r.t.Helper()
	r.is(http.StatusOK)
	require.Equal(r.t, server, r.server())
	return r
}

// refusedFor requires an answer of l7's own with the cause word.
func (r reply) refusedFor(status int, cause string) reply {
	r.t.Helper()
	r.is(status)
	require.Contains(r.t, r.Header.Get("Proxy-Status"), cause)
	require.Empty(r.t, r.server(), "a server was asked")
	return r
}

// server is the name of the server that answered, empty if none did.
func (r reply) server() string { return r.Header.Get("X-Server") }

// echo is what the server was asked.
type echo struct {
	Server, Method, Target, Host, Body string
	Fields                             http.Header
	Bytes                              int
}

func (r reply) echo() echo {
	r.t.Helper()
	var e echo
	require.NoError(r.t, json.Unmarshal([]byte(r.body), &e), r.body)
	return e
}

// upstream is a server behind l7.
type upstream struct {
	*process
	name    string
	address string // as the config has it
	direct  *client
}

// startUpstream starts a server on 127.0.0.1, or on an address of the form that its program takes.
func startUpstream(t testing.TB, name string, address ...string) *upstream {
	t.Helper()
	stdin := newBlocked(t)
	u := &upstream{name: name}
	u.process = start(t, program{path: built.upstream, args: append([]string{name}, address...), stdin: stdin})
	u.await("the server's address", func() bool { return len(u.stdout.lines()) > 0 })
	u.address = u.stdout.lines()[0]
	u.direct = newClient(t, u.address)
	if strings.HasPrefix(u.address, "/") {
		u.address = "unix:" + u.address
	}
	return u
}

// startUpstreams starts servers named a, b, c...
func startUpstreams(t testing.TB, n int) []*upstream {
	t.Helper()
	servers := make([]*upstream, n)
	for i := range servers {
		servers[i] = startUpstream(t, string(rune('a'+i)))
	}
	return servers
}

// stats is what an upstream has counted.
type stats struct {
	Requests int
	InFlight int `json:"in_flight"`
	IDs      int
	Repeated []string
}

func (u *upstream) stats() stats {
	u.t.Helper()
	var s stats
	require.NoError(u.t, json.Unmarshal([]byte(u.direct.get("http://upstream/-/stats").body), &s))
	return s
}

// awaitInFlight waits until the server works on n requests.
func (u *upstream) awaitInFlight(n int) {
	u.t.Helper()
	eventually(u.t, fmt.Sprintf("server %s has %d requests in flight", u.name, n), func() bool { return u.stats().InFlight == n })
}

// serverNames counts who answers n requests.
func (c *client) serverNames(url string, n int) map[string]int {
	c.t.Helper()
	counts := map[string]int{}
	for range n {
		counts[c.get(url).is(http.StatusOK).server()]++
	}
	return counts
}

// asyncReply is a response that is still to come.
type asyncReply struct {
	done chan struct{}
	reply
	err error
}

// begin sends a request and returns at once.
func (c *client) begin(r call) *asyncReply {
	a := &asyncReply{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.reply, a.err = c.try(r)
	}()
	return a
}

// wait returns the response.
func (a *asyncReply) wait(t testing.TB) reply {
	t.Helper()
	<-a.done // the client has a timeout
	require.NoError(t, a.err)
	return a.reply
}
