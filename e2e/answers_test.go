package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNoRouteIs404(t *testing.T) {
	t.Parallel()
	l := startArgs(t, "example.com=127.0.0.1:1")
	l.get("http://example.org/").refusedFor(http.StatusNotFound, "no_route")
	l.awaitText(`"no_route"`)
}

func TestNoServerIs503(t *testing.T) {
	t.Parallel()
	l := startFile(t,
		listenAnywhere,
		"backends:",
		"  example.com: {servers: []}")
	got := l.get("http://example.com/").refusedFor(http.StatusServiceUnavailable, "no_server")
	assert.NotEmpty(t, got.Header.Get("Retry-After"))
	l.awaitText(`"no_server"`)
	l.awaitText(`"warn"`, "backends.example.com")
}

func TestRefusingServerIs502(t *testing.T) {
	t.Parallel()
	l := startArgs(t, "example.com="+refusingAddress(t))
	l.get("http://example.com/").refusedFor(http.StatusBadGateway, "connect_refused")
	l.send(call{method: "POST", url: "http://example.com/", body: "x"}).refusedFor(http.StatusBadGateway, "connect_refused")
	l.awaitText(`"connect_refused"`)
}

func TestServerThatDoesNotAcceptIs504(t *testing.T) {
	t.Parallel()
	l := startFile(t,
		listenAnywhere,
		"timeouts: {connect: 200ms}",
		"backends: {example.com: {servers: ['"+silentAddress(t)+"']}}")
	l.get("http://example.com/").refusedFor(http.StatusGatewayTimeout, "connect_timeout")
	l.awaitText(`"connect_timeout"`)
}

func TestUnknownNameIs502(t *testing.T) {
	t.Parallel()
	l := startArgs(t, "example.com=no-such-name.invalid")
	l.get("http://example.com/").refusedFor(http.StatusServiceUnavailable, "name_unresolved")
	l.awaitText(`"name_unresolved"`)
}

func TestServerThatClosesIs502(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "example.com="+server.address)
	l.send(call{method: "POST", url: "http://example.com/?abort=1&id=once", body: "x"}).refusedFor(http.StatusBadGateway, "server_closed")
	l.awaitText(`"server_closed"`)
	assert.Empty(t, server.stats().Repeated, "a POST was executed twice")
}

// TestServerThatRestartsLosesNoRequest: connections that it left behind are replaced, however many there are.
func TestServerThatRestartsLosesNoRequest(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			const kept = 8
			server := startUpstream(t, "old")
			l := startArgs(t, "example.com="+server.address)
			var slow [kept]*asyncReply
			for i := range slow {
				slow[i] = l.begin(call{url: "http://example.com/?delay=300ms"})
			}
			server.awaitInFlight(kept)
			for _, s := range slow {
				s.wait(t).from("old")
			}
			server.kill()
			startUpstream(t, "new", server.address)
			for range kept {
				l.send(call{method: method, url: "http://example.com/", body: "x"}).from("new")
			}
		})
	}
}

func TestSilentServerIs504(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startFile(t,
		listenAnywhere,
		"timeouts: {response_header: 300ms}",
		"backends:",
		"  example.com: {servers: [{address: '"+server.address+"'}]}")
	l.get("http://example.com/?delay=1m").refusedFor(http.StatusGatewayTimeout, "server_timeout")
	l.awaitText(`"server_timeout"`)
	l.get("http://example.com/").from("a")
}

// TestSlowReplyIsNotCut guards against the 1 s default timeout of the library's LBClient.
func TestSlowReplyIsNotCut(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "example.com="+server.address)
	began := time.Now()
	l.get("http://example.com/?delay=1500ms").from("a")
	assert.GreaterOrEqual(t, time.Since(began), 1500*time.Millisecond)
}

// TestAmbiguousPathIs400 sends targets that two readers could resolve to different paths.
func TestAmbiguousPathIs400(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	l := startArgs(t,
		"example.com="+servers[0].address,
		"example.com/admin="+servers[1].address,
		"plain.example="+servers[0].address)

	request := func(target, host string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
	}
	for _, target := range []string{"/x/../admin", "/./admin", "/x/%2e%2e/admin", "/x/.%2E/admin", "/admin%2fx", "/admin%2Fx"} {
		l.raw(request(target, "example.com")).refusedFor(http.StatusBadRequest, "ambiguous_path")
	}
	l.awaitText(`"ambiguous_path"`)
	l.raw(request("/%61dmin/x", "example.com")).from("b")

	// Where no route depends on the path it passes, as it stands.
	for _, target := range []string{"/x/../admin", "/x/%2e%2e/a%2fb", "/a?b=/../c"} {
		assert.Equal(t, target, l.raw(request(target, "plain.example")).from("a").echo().Target)
	}
}

// TestTargetIsPassedOnAsReceived: a server sees the bytes that the client wrote, but for an authority in front of them.
func TestTargetIsPassedOnAsReceived(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "example.com="+server.address)
	f := func(request, target string) {
		t.Helper()
		got := l.raw(request + " HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a").echo()
		assert.Equal(t, target, got.Target)
		assert.Equal(t, "example.com", got.Host)
	}
	f("GET /", "/")
	f("GET //double//slash", "//double//slash")
	f("GET /%7Ea/%e2%82%ac+b;c,d", "/%7Ea/%e2%82%ac+b;c,d")
	f("GET /a?b=/../c&d=%20?e", "/a?b=/../c&d=%20?e")
	f("GET http://example.com/a?b", "/a?b")
	f("GET http://example.com", "/")
	f("GET /?", "/?")
	f("OPTIONS *", "*")
}

func TestUnreadableRequestIs400(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "*="+server.address)
	f := func(request string) {
		t.Helper()
		got := l.raw(request).is(http.StatusBadRequest)
		assert.Empty(t, got.server())
		assert.NotEmpty(t, got.Header.Get("Proxy-Status"))
		assert.True(t, got.Close, "the connection stays open")
	}
	f("nonsense\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
	assert.Zero(t, server.stats().Requests)
}

func TestConnectIs501(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "*="+server.address)
	l.raw("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n").refusedFor(http.StatusNotImplemented, "method_not_supported")
	assert.Zero(t, server.stats().Requests)
}

// TestOwnAnswersAreNotTheServers tells l7's word from a server's.
func TestOwnAnswersAreNotTheServers(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "example.com="+server.address)
	for _, status := range []int{400, 401, 404, 500, 502, 503, 504} {
		got := l.get(fmt.Sprintf("http://example.com/?status=%d", status)).is(status)
		assert.Equal(t, "a", got.server())
		assert.NotContains(t, got.Header.Get("Proxy-Status"), "error=")
	}
	assert.Len(t, l.get("http://example.com/?size=3000000").from("a").body, 3000000)
	assert.Equal(t, 3000000, l.send(call{method: "POST", url: "http://example.com/", body: strings.Repeat("x", 3000000)}).from("a").echo().Bytes)
}

// refusingAddress is one that refuses connections for as long as the test runs: it is taken, and nobody listens.
func refusingAddress(t *testing.T) string {
	t.Helper()
	fd := newSocket(t)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	return nameOf(t, fd)
}

// silentAddress is one where a connection is neither accepted nor refused: its queue is full.
func silentAddress(t *testing.T) string {
	t.Helper()
	fd := newSocket(t)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	address := nameOf(t, fd)
	for range 16 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("a full queue of connections does not make clients wait here")
	return ""
}

func newSocket(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	syscall.CloseOnExec(fd)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	return fd
}

func nameOf(t *testing.T, fd int) string {
	t.Helper()
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
}

func hasIPv6() bool {
	socket, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	_ = socket.Close()
	return true
}
