package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"l7/config"
)

// linkLocal is an address that cannot be used without its zone.
const linkLocal = "fe80::1%lo"

func prefixes(texts ...string) (list []config.Prefix) {
	for _, text := range texts {
		list = append(list, config.Prefix{Prefix: netip.MustParsePrefix(text)})
	}
	return list
}

// A client with a zone was in no range, so that a list of who may not let it in.
func TestPeerHasNoZone(t *testing.T) {
	f := func(ip, zone, text, within string) {
		t.Helper()
		p := newPeer(&net.TCPAddr{IP: net.ParseIP(ip), Zone: zone, Port: 1})
		require.Equal(t, text, p.text)
		require.Equal(t, text, p.ip.String())
		require.False(t, admits(nil, prefixes(within), p.ip))
		require.True(t, admits(prefixes(within), nil, p.ip))
		require.True(t, (&Snapshot{trusted: prefixes(within)}).trusts(p))
	}
	f("fe80::1", "eth0", "fe80::1", "fe80::/10")
	f("fe80::1", "7", "fe80::1", "fe80::1/128")
	f("::ffff:192.0.2.1", "", "192.0.2.1", "192.0.2.0/24")
	f("2001:db8::1", "", "2001:db8::1", "2001:db8::/32")
}

// TestClientsAndServersWithZones runs TestWithZones in a network of its own, which has such an address.
func TestClientsAndServersWithZones(t *testing.T) {
	const network = "ip link set lo up && ip -6 addr add fe80::1/64 dev lo nodad"
	if out, err := exec.CommandContext(t.Context(), "unshare", "-rn", "sh", "-c", network).CombinedOutput(); err != nil {
		t.Skipf("there is no network of our own to be had: %v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-rn", "sh", "-c", network+` && exec "$0" "$@"`, os.Args[0], "-test.run=^TestWithZones$", "-test.v")
	cmd.Env = append(os.Environ(), "L7_TEST_ZONES=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestWithZones", "%s", out)
}

// TestWithZones is the other process of TestClientsAndServersWithZones.
func TestWithZones(t *testing.T) {
	if os.Getenv("L7_TEST_ZONES") == "" {
		t.Skip("runs in a process of its own")
	}
	origin, err := net.Listen("tcp", "["+linkLocal+"]:0")
	require.NoError(t, err)
	defer origin.Close()
	heads := make(chan string, 100)
	go func() {
		for {
			c, err := origin.Accept()
			if err != nil {
				return
			}
			go func() {
				p := newPeerConn(t, c)
				for head := p.readHead(); head != ""; head = p.readHead() {
					heads <- head
					p.send(plainOK)
				}
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(origin.Addr().String())
	until(t, func() bool { // the system makes the way there a little after the address
		c, err := net.Dial("tcp", "["+linkLocal+"]:"+port)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, "there is no way to the address")

	// f tells what becomes of a request, and what the server has got of it.
	f := func(rules Rules, extra, before string) (status int, head string) {
		t.Helper()
		yaml := fmt.Sprintf("backends: {'*': {servers: 'http://[%s]:%s'%s\n", linkLocal, port, extra)
		snapshot, pools := build(t, yaml)
		s := New(zerolog.Nop(), snapshot, pools)
		address, err := config.ParseListenAddress("[" + linkLocal + "]:0")
		require.NoError(t, err)
		opening, err := s.Open([]Listen{{Address: address, Rules: rules}})
		require.NoError(t, err)
		commit(s, opening)
		defer func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = s.Drain(ctx)
			snapshot.Close()
		}()
		_, own, _ := net.SplitHostPort(s.Addrs()[0].String())
		dial := func() *peerConn {
			c, err := net.Dial("tcp", "["+linkLocal+"]:"+own)
			require.NoError(t, err)
			t.Cleanup(func() { _ = c.Close() })
			return newPeerConn(t, c)
		}
		c := dial()
		require.Contains(t, c.RemoteAddr().String(), linkLocal, "it has no zone, and proves nothing")
		c.send(before + good)
		r := c.readReply("GET")
		require.NoError(t, r.err)
		if strings.Contains(extra, "connections_per_client") {
			second := dial()
			require.Equal(t, 429, second.readReply("GET").StatusCode)
		}
		if r.StatusCode == 200 {
			head = receive(t, heads)
		}
		return r.StatusCode, head
	}
	served := func(status int, head string) string {
		t.Helper()
		require.Equal(t, 200, status)
		return head
	}
	plain := served(f(Rules{}, "}}", ""))
	require.Contains(t, plain, "Host: a\r\n")
	require.Contains(t, plain, "X-Forwarded-For: fe80::1\r\n")
	served(f(Rules{Allow: prefixes("fe80::/10")}, "}}", ""))
	served(f(Rules{}, ", allow: 'fe80::/10'}}", ""))
	served(f(Rules{}, "}}\nlimits: {connections_per_client: 1}", ""))
	require.Contains(t, served(f(Rules{}, "}}\nforwarding: [forwarded]\ntrusted_proxies: 'fe80::/10'", "")), `Forwarded: for="[fe80::1]";`)
	require.Contains(t, served(f(Rules{Proxies: prefixes("fe80::/10")}, "}}", "PROXY TCP6 fe80::2 fe80::1 1 2\r\n")), "X-Forwarded-For: fe80::2\r\n")

	refused := func(rules Rules, extra string) {
		t.Helper()
		status, _ := f(rules, extra, "")
		require.Equal(t, 403, status)
	}
	refused(Rules{Deny: prefixes("fe80::/10")}, "}}")
	refused(Rules{Allow: prefixes("fe81::/16")}, "}}")
	refused(Rules{}, ", deny: 'fe80::1'}}")
}
