package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// named are servers that answer with their number and the Cookie that they got.
func named(t *testing.T, n int) (list string) {
	t.Helper()
	var all []string
	for i := range n {
		addr := serving(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) })
		all = append(all, fmt.Sprintf("'%s'", addr))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// with asks the proxy with further header lines, and returns the response with its body.
func (p *proxy) with(lines ...string) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+p.addr+"/", nil)
	require.NoError(p.t, err)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return resp, string(body)
}

// A client that brings the cookie comes back to its server and is told nothing; one that brings none, or one of its own making, is told
// where to come back to. The cookie names no address.
func TestSticky(t *testing.T) {
	p := start(t, "backends: {'*': {servers: "+named(t, 3)+", sticky: lb}}")
	resp, home := p.with()
	line := resp.Header.Get("Set-Cookie")
	require.Regexp(t, `^lb=[A-Za-z0-9_-]{22}; Path=/; HttpOnly; SameSite=Lax$`, line)
	cookie, _, _ := strings.Cut(line, ";")
	for range 9 {
		resp, body := p.with("Cookie: a=b; " + cookie)
		require.Equal(t, home, body)
		require.Empty(t, resp.Header.Values("Set-Cookie"))
	}
	for _, forged := range []string{"lb=", "lb=AAAAAAAAAAAAAAAAAAAAAA", "LB" + cookie[2:], "x" + cookie} {
		resp, _ := p.with("Cookie: " + forged)
		require.NotEmpty(t, resp.Header.Get("Set-Cookie"), forged)
	}
	for _, m := range p.Snapshot().backends[0].Members() {
		if strings.HasPrefix(cookie, "lb="+m.Stick()) {
			m.Drain(true)
		}
	}
	resp, body := p.with("Cookie: " + cookie)
	require.NotEqual(t, home, body, "a draining server's clients move on")
	require.NotEmpty(t, resp.Header.Get("Set-Cookie"))
}

// The same key leads to the same server; requests without it are spread.
func TestHashOn(t *testing.T) {
	f := func(on string, line func(i int) string) {
		t.Helper()
		p := start(t, "backends: {'*': {servers: "+named(t, 3)+", policy: consistent_hash, hash: '"+on+"'}}")
		homes := map[string]bool{}
		for i := range 20 {
			_, home := p.with(line(i))
			homes[home] = true
			_, again := p.with(line(i))
			require.Equal(t, home, again, on)
		}
		require.Len(t, homes, 3, on)
		spread := map[string]bool{}
		for range 40 {
			_, home := p.with()
			spread[home] = true
		}
		require.Len(t, spread, 3, on)
	}
	f("header:X-User", func(i int) string { return fmt.Sprintf("x-user: %d", i) })
	f("cookie:u", func(i int) string { return fmt.Sprintf("Cookie: a=1; u=%d", i) })
}

func TestHashOnClientAndPath(t *testing.T) {
	for _, on := range []string{"client_ip", "path"} {
		p := start(t, "backends: {'*': {servers: "+named(t, 3)+", policy: consistent_hash, hash: "+on+"}}")
		_, home := p.with()
		for range 9 {
			_, again := p.with()
			require.Equal(t, home, again, on)
		}
	}
}

// One request more than the rate limit is answered with 429 and when to come again, before anybody is asked for a password. A trusted
// proxy's clients have a limit each.
func TestRateLimit(t *testing.T) {
	p := start(t, "trusted_proxies: [127.0.0.1]\nusers: {bob: secret}\nbackends: {'*': {servers: "+named(t, 1)+", rate_limit: {requests: 2/h}}}")
	f := func(client string, status int) *http.Response {
		t.Helper()
		resp, _ := p.with("X-Forwarded-For: " + client)
		require.Equal(t, status, resp.StatusCode)
		return resp
	}
	f("192.0.2.1", 401)
	f("192.0.2.1", 401)
	limited := f("192.0.2.1", 429)
	require.Equal(t, "1800", limited.Header.Get("Retry-After"))
	require.Contains(t, limited.Header.Get("Proxy-Status"), "rate_limited")
	f("192.0.2.2", 401)
}

// When all servers are full one waits and one is refused; the one that waits is served as soon as there is a place.
func TestQueue(t *testing.T) {
	arrived, leave := make(chan string, 3), make(chan struct{})
	origin := serving(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		<-leave
	})
	p := start(t, fmt.Sprintf("backends: {'*': {servers: [{address: '%s', max_in_flight: 1}], queue: {length: 1, timeout: 5s}}}", origin))
	first, second := p.dial(), p.dial()
	first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	require.Equal(t, "/1", receive(t, arrived))
	second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, "the second to wait", func() bool { return p.Snapshot().backends[0].Waiting() == 1 })
	resp, _ := p.with()
	require.Equal(t, 503, resp.StatusCode)
	require.Contains(t, resp.Header.Get("Proxy-Status"), `details="full"`)
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	leave <- struct{}{}
	require.Equal(t, 200, first.readReply("GET").StatusCode)
	require.Equal(t, "/2", receive(t, arrived))
	leave <- struct{}{}
	require.Equal(t, 200, second.readReply("GET").StatusCode)
}
