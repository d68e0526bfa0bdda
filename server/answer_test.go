package server

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"l7/accesslog"
)

// Where no host is named there is no URL to send a client to; it was sent to https:///.
func TestRedirectsToHTTPS(t *testing.T) {
	p := inFront(t, replying(t, plainOK))
	p.obeys(Rules{Redirect: true})
	f := func(request, want string) {
		t.Helper()
		c := p.dial()
		defer c.Close()
		got := c.ask(request)
		require.True(t, strings.HasPrefix(got, "HTTP/1.1 308 "), got)
		require.Contains(t, got, "\r\nLocation: "+want+"\r\n")
	}
	f("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "https://a/")
	f("GET /x?y=%20 HTTP/1.1\r\nHost: Example.com:8080\r\n\r\n", "https://Example.com/x?y=%20")
	f("GET //b/x HTTP/1.1\r\nHost: a\r\n\r\n", "https://a//b/x")
	f("GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "https://[::1]/x")
	f("GET /x HTTP/1.0\r\nHost: a:80\r\n\r\n", "https://a/x")
	f("OPTIONS * HTTP/1.1\r\nHost: a:80\r\n\r\n", "https://a")
	f("GET http://b:8080/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "https://b/x?y")
	f("GET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n", "https://b/?y")
	f("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", "https://b/")
	f("OPTIONS http://b:80 HTTP/1.1\r\nHost: a\r\n\r\n", "https://b")
	for _, request := range []string{"GET /x?y HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "OPTIONS * HTTP/1.0\r\n\r\n"} {
		got := p.exchange(request)
		require.True(t, strings.HasPrefix(got, "HTTP/1.1 400 "), got)
		require.Contains(t, got, "bad_host")
		require.NotContains(t, got, "Location")
	}
}

// Behind a proxy that ends TLS every request came back for ever: what the proxy says of the scheme did not count.
func TestNoRedirectForWhoCameByHTTPS(t *testing.T) {
	f := func(extra, fields, want string) {
		t.Helper()
		p := inFront(t, replying(t, plainOK), extra)
		p.obeys(Rules{Redirect: true})
		require.Contains(t, p.exchange("GET / HTTP/1.1\r\nHost: a\r\n"+fields+"Connection: close\r\n\r\n"), "HTTP/1.1 "+want+" ")
	}
	f(trusted, "X-Forwarded-Proto: https\r\n", "200")
	f(trusted, "x-forwarded-proto: HTTPS\r\n", "200")
	f(trusted, "X-Forwarded-Proto: http\r\n", "308")
	f(trusted, "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", "308")
	f(trusted, "", "308")
	f("", "X-Forwarded-Proto: https\r\n", "308")
	f("trusted_proxies: 192.0.2.1\n", "X-Forwarded-Proto: https\r\n", "308")
}

// Our own answers did not tell of HSTS, and those of a server that does so itself told of it twice. A plain listener says nothing of
// it, and leaves the server's: there may be TLS in front of it.
func TestHSTS(t *testing.T) {
	const hsts, own = "Strict-Transport-Security: max-age=3600\r\n", "strict-transport-security: max-age=1; preload\r\n"
	listener, client := speaksTLS(t)
	yaml := func(extra string) string {
		return "\n  b: {servers: []}\n  c: {servers: [], users: {alice: secret}}\n" + extra
	}
	f := func(extra string, rules Rules, ask, want string) {
		t.Helper()
		p := inFront(t, newOrigin(t, func(c *peerConn) {
			if strings.Contains(c.readHead(), "Upgrade: websocket\r\n") {
				c.send("HTTP/1.1 101 Switching Protocols\r\n" + own + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
				return
			}
			c.send("HTTP/1.1 200 OK\r\n" + own + "Content-Length: 0\r\n\r\n")
		}), yaml(extra))
		p.obeys(rules)
		c := p.dial()
		defer c.Close()
		send := c.ask
		if rules.TLS != nil {
			send = c.secure(client)
		}
		head := send(ask)
		require.NotEmpty(t, head)
		got := ""
		for line := range strings.Lines(head) {
			if strings.HasPrefix(strings.ToLower(line), "strict-transport-security:") {
				got += line
			}
		}
		require.Equal(t, want, got, head)
	}
	secure := Rules{TLS: listener}
	for ask, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                              own,
		"GET / HTTP/1.1\r\nHost: b\r\n\r\n":                                              "",  // 503
		"GET / HTTP/1.1\r\nHost: c\r\n\r\n":                                              "",  // 401
		"GET / HTTP/1.1\r\nHost : c\r\n\r\n":                                             "",  // 400
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n": own, // 101
		"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n":                                        "",  // 501
	} {
		f("hsts: 1h\n", secure, ask, hsts)
		f("hsts: 1h\n", Rules{}, ask, want)
		f("", secure, ask, want)
		f("", Rules{}, ask, want)
	}
	redirecting := secure
	redirecting.Redirect = true
	f("hsts: 1h\n", redirecting, get, hsts)
}

// The line of a request that was not passed on had the connecting time of the one before.
func TestTheAccessLogKnowsNoConnectingOfOthers(t *testing.T) {
	p := inFront(t, replying(t, plainOK), "\n  b: {servers: []}\n")
	var log bytes.Buffer
	writer, err := accesslog.Open("-", &log)
	require.NoError(t, err)
	next := *p.Snapshot()
	next.Access = accesslog.New(writer, accesslog.Options{Format: accesslog.JSON, Sample: 1})
	p.Swap(&next)
	c := p.dial()
	c.send(get + "GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n") // at once: they have the same session
	require.Equal(t, 200, c.readReply("GET").StatusCode)
	require.Equal(t, 503, c.readReply("GET").StatusCode)
	require.Empty(t, c.tail())
	p.settle()
	require.NoError(t, writer.Close())
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 2)
	require.NotContains(t, lines[0], `"connect_ms":0.000`)
	require.Contains(t, lines[1], `"attempts":0`)
	require.Contains(t, lines[1], `"connect_ms":0.000`)
}

// What was given to no server has no attempts in the log. A bug had an empty list of them with every 401, 403 and 404.
func TestTheLogHasAttemptsWhereThereWereAny(t *testing.T) {
	p := inFront(t, replying(t, plainOK), "\n  b: {servers: []}\n")
	c := p.dial()
	c.send("GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
	require.Equal(t, 503, c.readReply("GET").StatusCode)
	p.settle()
	require.Contains(t, p.log.String(), `"cause":"no_server"`)
	require.NotContains(t, p.log.String(), `"attempts"`)
}
