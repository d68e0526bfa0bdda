package server

import (
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"l7/config"
)

const trusted = "trusted_proxies: [127.0.0.1]\n"

// What a client that is not trusted says about itself is dropped, whether or not l7 writes the field itself; traceparent and what is no forwarding field pass.
func TestDropsForwardingFieldsOfStrangers(t *testing.T) {
	m := newMirror(t)
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a:80\r\ntraceparent: 00-1-2-01\r\nX-Request-ID: 7\r\nVia: 1.0 x\r\nX-Forward: 1\r\n"+added("a:80")+"\r\n",
		m.forwarded(t, "GET / HTTP/1.1\r\nX-FORWARDED-for: 1.1.1.1\r\nHost: a:80\r\nX-Forwarded-Proto: https\r\ntraceparent: 00-1-2-01\r\nX-Forwarded-Host: b\r\nX-Forwarded-Port: 1\r\n"+
			"x-forwarded-for: 2.2.2.2\r\nX-Forwarded-Prefix: /x\r\nX-Forwarded-Server: s\r\nX-Real-Ip: 3.3.3.3\r\nForwarded: for=4.4.4.4\r\nX-Request-ID: 7\r\nVia: 1.0 x\r\nX-Forward: 1\r\n\r\n"))
}

// What a trusted proxy says is kept: its list goes on with its own address (RFC 7239 section 5.2 has the meaning of the list), the rest as it is.
func TestKeepsForwardingFieldsOfTrustedProxies(t *testing.T) {
	m := newMirror(t, trusted)
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /x\r\nX-Real-IP: 3.3.3.3\r\nForwarded: for=4.4.4.4\r\n"+
		"X-Forwarded-For: 1.1.1.1, 2.2.2.2, ::1, 127.0.0.1\r\nX-Forwarded-Host: a\r\n\r\n",
		m.forwarded(t, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Forwarded-For:\r\n"+
			"X-Forwarded-Prefix: /x\r\nX-Real-IP: 3.3.3.3\r\nForwarded: for=4.4.4.4\r\nx-forwarded-for: ::1\r\n\r\n"))
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n",
		m.forwarded(t, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\n\r\n"))
}

// The client is the right-most address that is not a trusted proxy's: what stands left of it may be made up.
func TestFindsTheClientAmongTrustedProxies(t *testing.T) {
	f := func(trust, list, want string) {
		t.Helper()
		m := newMirror(t, "trusted_proxies: ["+trust+"]\nforwarding: [x-real-ip]\n")
		head := m.forwarded(t, "GET / HTTP/1.1\r\nHost: a\r\n"+list+"X-Real-IP: 6.6.6.6\r\n\r\n")
		require.Equal(t, 1, strings.Count(strings.ToLower(head), "x-real-ip"))
		require.Contains(t, head, "\r\nX-Real-IP: "+want+"\r\n")
	}
	f("", "X-Forwarded-For: 1.1.1.1\r\n", "127.0.0.1")
	f("10.0.0.0/8", "X-Forwarded-For: 1.1.1.1\r\n", "127.0.0.1")
	f("127.0.0.0/8", "", "127.0.0.1")
	f("127.0.0.0/8", "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1")
	f("127.0.0.0/8", "X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n", "2.2.2.2")
	f("127.0.0.0/8", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2 ,\t127.0.0.9\r\n", "2.2.2.2")
	f("127.0.0.0/8, 2.2.2.0/24", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 127.0.0.9\r\n", "1.1.1.1")
	f("127.0.0.0/8, 1.1.1.1", "X-Forwarded-For: 1.1.1.1,1.1.1.1\r\n", "1.1.1.1")
	f("127.0.0.0/8", "X-Forwarded-For: 1.1.1.1, unknown, 127.0.0.9\r\n", "127.0.0.9")
	f("127.0.0.0/8", "X-Forwarded-For: garbage\r\n", "127.0.0.1")
	f("127.0.0.0/8", "X-Forwarded-For: ,\r\n", "127.0.0.1")
	f("127.0.0.0/8, fd00::/8", "X-Forwarded-For: 2001:db8::1, FD00::2\r\n", "2001:db8::1")
	f("127.0.0.0/8", "X-Forwarded-For: ::ffff:1.2.3.4\r\n", "1.2.3.4")
	f("127.0.0.0/8, 9.9.9.9", "X-Forwarded-For: 1.2.3.4, ::ffff:9.9.9.9\r\n", "1.2.3.4")
	f("127.0.0.0/8, fe80::/10", "X-Forwarded-For: 1.2.3.4, fe80::1%eth0\r\n", "1.2.3.4")
	// Some write the port too. Then the proxy passed for the client.
	f("127.0.0.0/8", "X-Forwarded-For: 1.1.1.1:1, 2.2.2.2:34567\r\n", "2.2.2.2")
	f("127.0.0.0/8, 2.2.2.2", "X-Forwarded-For: 1.1.1.1, 2.2.2.2:1\r\n", "1.1.1.1")
	f("127.0.0.0/8", "X-Forwarded-For: [2001:db8::1]:443\r\n", "2001:db8::1")
	f("127.0.0.0/8, 9.9.9.9", "X-Forwarded-For: [fe80::1%eth0]:1, [::ffff:9.9.9.9]:1\r\n", "fe80::1")
	f("127.0.0.0/8", "X-Forwarded-For: 1.1.1.1, 2.2.2.2:\r\n", "127.0.0.1")
	f("127.0.0.0/8", "X-Forwarded-For: 1.1.1.1, 2.2.2.2:65536\r\n", "127.0.0.1")
	f("127.0.0.0/8", "X-Forwarded-For: 1.1.1.1, a:80\r\n", "127.0.0.1")
}

// X-Forwarded-Port is the port that was connected to, not that of the Host field.
func TestForwardsThePort(t *testing.T) {
	m := newMirror(t, "forwarding: [x-forwarded-port]\n")
	_, port, _ := net.SplitHostPort(m.addr)
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a:99\r\n"+added("a:99")+"X-Forwarded-Port: "+port+"\r\n\r\n",
		m.forwarded(t, "GET / HTTP/1.1\r\nHost: a:99\r\nX-Forwarded-Port: 1\r\n\r\n"))
	m = newMirror(t, trusted+"forwarding: [x-forwarded-port]\n")
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: 443\r\n"+added("a")+"\r\n", m.forwarded(t, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: 443\r\n\r\n"))
}

// RFC 7239 sections 4 and 6: for, host and proto; an IPv6 address stands in brackets and quotes, and so does a host with a port.
func TestWritesForwarded(t *testing.T) {
	m := newMirror(t, "forwarding: [forwarded]\n")
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a:80\r\n"+added("a:80")+"Forwarded: for=127.0.0.1;host=\"a:80\";proto=http\r\n\r\n",
		m.forwarded(t, "GET / HTTP/1.1\r\nForwarded: for=1.1.1.1\r\nHost: a:80\r\n\r\n"))
	m = newMirror(t, trusted+"forwarding: [forwarded]\n")
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\n"+added("a")+"Forwarded: for=1.1.1.1;proto=https, for=\"[::1]\", for=127.0.0.1;host=\"a\";proto=http\r\n\r\n",
		m.forwarded(t, "GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=1.1.1.1;proto=https\r\nforwarded: for=\"[::1]\"\r\n\r\n"))
}

// RFC 9110 section 7.6.3: each hop appends itself, with the version that it received.
func TestWritesVia(t *testing.T) {
	m := newMirror(t, "forwarding: [via]\n")
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\n"+added("a")+"Via: 1.1 l7\r\n\r\n", m.forwarded(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\n"+added("a")+"Via: 1.0 fred, HTTP/2 p.example (x, y), 1.0 l7\r\n\r\n",
		m.forwarded(t, "GET / HTTP/1.0\r\nHost: a\r\nVia: 1.0 fred\r\nvia: HTTP/2 p.example (x, y)\r\n\r\n"))
}

// The id is the trusted client's or a new one, the same one to the server, to the client and in the log, and stands once in each.
func TestWritesRequestIDs(t *testing.T) {
	id := regexp.MustCompile(`(?i)\r\nX-Request-ID: ([^\r]+)\r\n`)
	only := func(head string) string {
		t.Helper()
		found := id.FindAllStringSubmatch(head, -1)
		require.Len(t, found, 1, head)
		return found[0][1]
	}
	heads := make(chan string, 4)
	o := newOrigin(t, func(c *peerConn) {
		for head := c.readHead(); head != ""; head = c.readHead() {
			heads <- head
			c.send("HTTP/1.1 200 OK\r\nx-request-id: of-the-server\r\nContent-Length: 0\r\n\r\n")
		}
	})
	p := inFront(t, o, "forwarding: [x-request-id]\n")
	c := p.dial()
	first := only(c.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n\r\n"))
	require.Equal(t, first, only(receive(t, heads)))
	require.Regexp(t, "^[0-9a-f]{32}$", first)
	second := only(c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	require.Equal(t, second, only(receive(t, heads)))
	require.NotEqual(t, first, second)

	p = inFront(t, o, trusted+"forwarding: [x-request-id]\n")
	c = p.dial()
	require.Equal(t, "mine", only(c.ask("GET / HTTP/1.1\r\nHost: a\r\nx-request-id: mine\r\nX-Request-ID: other\r\n\r\n")))
	require.Equal(t, "mine", only(receive(t, heads)))
	require.Regexp(t, "^[0-9a-f]{32}$", only(c.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: "+strings.Repeat("x", 200)+"\r\n\r\n")))
	receive(t, heads)
	require.Regexp(t, "^[0-9a-f]{32}$", only(c.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID:\r\n\r\n")))
	receive(t, heads)

	// On answers of our own, also to what is no request.
	p = start(t, "forwarding: [x-request-id]\nbackends: {a: {servers: ['127.0.0.1:1']}}\n")
	c = p.dial()
	require.Regexp(t, "^[0-9a-f]{32}$", only(c.ask("GET / HTTP/1.1\r\nHost: b\r\n\r\n")))
	c = p.dial()
	unreadable := only(c.ask("GET / HTTP/1.1\r\nHost : b\r\n\r\n"))
	require.Regexp(t, "^[0-9a-f]{32}$", unreadable)
	c = p.dial()
	failed := only(c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	require.Contains(t, p.log.String(), `"request_id":"`+failed+`"`)
	require.Contains(t, p.log.String(), `"request_id":"`+unreadable+`"`)
}

// All of them together, from a client on IPv6 and from one that has no address.
func TestForwardsClientsOfAllKinds(t *testing.T) {
	m := newMirror(t, "forwarding: [x-real-ip, x-forwarded-port, forwarded, via]\n")
	f := func(listen config.ListenAddress, network string, want func(addr net.Addr) string) {
		t.Helper()
		s := New(zerolog.Nop(), m.Snapshot(), m.pools)
		opening, err := s.Open([]Listen{{Address: listen}})
		if err != nil && network == "tcp" {
			t.Skip("no IPv6 here: ", err)
		}
		require.NoError(t, err)
		commit(s, opening)
		defer func() { _ = s.Drain(t.Context()) }()
		c, err := net.Dial(network, s.Addrs()[0].String())
		require.NoError(t, err)
		defer c.Close()
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
		require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\n"+want(s.Addrs()[0])+"\r\n", receive(t, m.heads))
	}
	f(config.ListenAddress{Network: "unix", Addr: filepath.Join(t.TempDir(), "s")}, "unix", func(net.Addr) string {
		return "X-Forwarded-For: unix\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Real-IP: unix\r\nForwarded: for=unknown;host=\"a\";proto=http\r\nVia: 1.1 l7\r\n"
	})
	f(config.ListenAddress{Network: "tcp", Addr: "[::1]:0"}, "tcp", func(addr net.Addr) string {
		return "X-Forwarded-For: ::1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Real-IP: ::1\r\nX-Forwarded-Port: " + itoa(addr.(*net.TCPAddr).Port) +
			"\r\nForwarded: for=\"[::1]\";host=\"a\";proto=http\r\nVia: 1.1 l7\r\n"
	})
}
