package e2e

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// from is a client with an address of its own on the loopback.
func (c *client) from(ip string) *client {
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		return dialer.DialContext(ctx, "tcp", c.addr)
	}
	return c
}

// TestSendProxy: two l7 in a row, of which the second knows the clients from PROXY headers alone.
func TestSendProxy(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.sign("server", time.Now().Add(time.Hour), "example.com")
	for name, f := range map[string]struct{ listen, backend, scheme string }{
		"v1":       {"", "send_proxy: v1", "http"},
		"v2":       {"", "send_proxy: v2", "http"},
		"v2 https": {", tls: {certificates: [{cert: '" + cert + "', key: '" + key + "'}]}", "send_proxy: v2, tls: {ca_file: '" + a.file + "', server_name: example.com}", "https"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mirror(t)
			inner := run{config: text(
				"listen: [{address: '127.0.0.1:0', proxy_protocol: 127.0.0.1"+f.listen+"}]",
				"backends: {example.com: {servers: ['"+server.URL+"']}}")}.launch(t)
			address := inner.listening(1)[0]
			// The checks come with headers too: the inner one refuses connections that have none.
			outer := startFile(t, "listen: ['127.0.0.1:0', {address: '127.0.0.2:0', proxy_protocol: 127.0.0.1}]",
				"backends: {example.com: {servers: '"+f.scheme+"://"+address+"', "+f.backend+", health: {path: /, interval: 100ms, required: true, rise: 1, host: example.com}}}")
			outer.await("a good check", func() bool { return outer.get("http://example.com/").StatusCode == http.StatusOK })
			for _, ip := range []string{"127.0.0.7", "127.0.0.8"} {
				c := newClient(t, outer.addr).from(ip)
				for range 3 {
					assert.Contains(t, c.get("http://example.com/").body, "X-Forwarded-For: "+ip+"\r\n")
				}
			}
			// Who told us of a client is not who is told of.
			got := newClient(t, outer.listening(2)[1]).raw("PROXY TCP4 192.0.2.7 192.0.2.1 1 80\r\n" + strings.Replace(getExample, "\r\n", "\r\nX-Forwarded-For: 203.0.113.1\r\n", 1))
			require.Equal(t, http.StatusOK, got.StatusCode)
			assert.Contains(t, got.body, "X-Forwarded-For: 192.0.2.7\r\n")
		})
	}
}

// TestConnectionLimitBehindAProxy: the clients that PROXY headers tell of have a limit each, and what tells of them has none.
func TestConnectionLimitBehindAProxy(t *testing.T) {
	t.Parallel()
	l := startFile(t, "listen: [{address: '127.0.0.1:0', proxy_protocol: 127.0.0.1}]", "limits: {connections_per_client: 2}",
		"backends: {example.com: {servers: ['"+mirror(t).URL+"']}}")
	ask := func(client string) (reply, func() error) {
		conn, err := net.Dial("tcp", l.addr)
		return over(t, conn, err, "PROXY TCP4 "+client+" 127.0.0.1 1 80\r\n"+getExample), conn.Close
	}
	var closers []func() error
	for range 2 {
		for _, client := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
			got, closer := ask(client)
			got.is(http.StatusOK)
			closers = append(closers, closer)
		}
	}
	got, _ := ask("192.0.2.1")
	got.refusedFor(http.StatusTooManyRequests, "client_connections")
	for _, closer := range closers {
		require.NoError(t, closer())
	}
	l.await("room for one more", func() bool {
		got, closer := ask("192.0.2.1")
		defer func() { _ = closer() }()
		return got.StatusCode == http.StatusOK
	})
}
