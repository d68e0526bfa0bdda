package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const challenge = `Basic realm="l7", charset="UTF-8"`

// seedLine starts the line of arguments of the seed's README, with other ports.
func seedLine(t *testing.T) (*l7, []*upstream) {
	t.Helper()
	servers := startUpstreams(t, 4)
	l := run{args: []string{
		"--user", "admin:admin", "--user", "someone:mypasswd", "--port", freePort(t),
		"mydomain.com=" + servers[0].address,
		"mydomain.com=" + servers[1].address,
		"mydomain.com=" + servers[2].address,
		"example.io=" + servers[3].address,
	}}.start(t)
	return l, servers
}

func TestSeedLineBalancesByHost(t *testing.T) {
	t.Parallel()
	l, _ := seedLine(t)

	seen := map[string]bool{}
	for range 9 {
		seen[l.send(call{url: "http://mydomain.com/", user: "admin:admin"}).is(http.StatusOK).server()] = true
	}
	assert.Equal(t, map[string]bool{"a": true, "b": true, "c": true}, seen)
	l.send(call{url: "http://example.io/", user: "someone:mypasswd"}).from("d")
	l.send(call{url: "http://EXAMPLE.io.:8080/", user: "someone:mypasswd"}).from("d")

	asked := l.send(call{method: "PUT", url: "http://example.io/a%20b?c=d&c=e", user: "admin:admin", body: "hello"}).from("d").echo()
	assert.Equal(t, "PUT", asked.Method)
	assert.Equal(t, "/a%20b?c=d&c=e", asked.Target)
	assert.Equal(t, "example.io", asked.Host)
	assert.Equal(t, "hello", asked.Body)
	assert.Equal(t, "127.0.0.1", asked.Fields.Get("X-Forwarded-For"))
}

func TestSeedLineAsksStrangersWhoTheyAre(t *testing.T) {
	t.Parallel()
	l, servers := seedLine(t)

	strangers := map[string]call{
		"nobody":          {},
		"wrong password":  {user: "admin:wrong"},
		"empty password":  {user: "admin:"},
		"another's":       {user: "admin:mypasswd"},
		"unknown user":    {user: "root:admin"},
		"wrong case":      {user: "Admin:admin"},
		"another scheme":  {authorization: "Bearer YWRtaW46YWRtaW4="},
		"scheme only":     {authorization: "Basic"},
		"no base64":       {authorization: "Basic !!!"},
		"no colon":        {authorization: "Basic YWRtaW4="},
		"bytes behind":    {authorization: "Basic YWRtaW46YWRtaW4= x"},
		"not from base64": {authorization: "Basic admin:admin"},
	}
	for name, r := range strangers {
		for _, host := range []string{"mydomain.com", "unknown.example"} {
			r.url = "http://" + host + "/"
			got := l.send(r)
			assert.Equal(t, http.StatusUnauthorized, got.StatusCode, "%s at %s", name, host)
			assert.Equal(t, challenge, got.Header.Get("WWW-Authenticate"), "%s at %s", name, host)
			assert.Contains(t, got.Header.Get("Proxy-Status"), "unauthorized", "%s at %s", name, host)
		}
	}
	for _, server := range servers {
		assert.Zero(t, server.stats().Requests, "a stranger's request cost a server's work")
	}

	l.send(call{url: "http://unknown.example/", user: "admin:admin"}).refusedFor(http.StatusNotFound, "no_route")
	l.send(call{url: "http://example.io/", authorization: "bAsIc YWRtaW46YWRtaW4="}).from("d")
}

// TestSeedFileDrivesServers has the seed's file, with other ports and names that resolve here.
func TestSeedFileDrivesServers(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 6)
	byName := func(i int) string { return strings.Replace(servers[i].address, "127.0.0.1", "localhost", 1) }
	seed, err := os.ReadFile(filepath.Join("testdata", "seed.yml"))
	require.NoError(t, err)
	file := strings.NewReplacer(
		"port: 80", "port: "+freePort(t),
		"192.168.0.103:8081", servers[0].address,
		"192.168.0.103:8082", servers[1].address,
		"192.168.0.103:8083", servers[2].address,
		"http://nginx", "http://"+byName(3),
		"nginx-2", byName(4),
		"127.0.0.1:1337", servers[5].address,
	).Replace(string(seed))

	for _, debug := range []string{"false", "true"} {
		t.Run("debug "+debug, func(t *testing.T) {
			l := run{config: strings.Replace(file, "debug: false", "debug: "+debug, 1)}.start(t)
			l.get("http://example.com/").is(http.StatusUnauthorized)
			seen := map[string]int{}
			for range 20 {
				seen[l.send(call{url: "http://example.com/", user: "myuser:passwd"}).is(http.StatusOK).server()]++
			}
			assert.Len(t, seen, 5, "%v", seen)
			l.send(call{url: "http://mydomain.org/", user: "myuser:passwd"}).from("f")
			l.send(call{url: "http://mydomain.com/", user: "myuser:passwd"}).refusedFor(http.StatusNotFound, "no_route")
		})
	}
}

func TestPasswordMayContainColonsAndCommas(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	password := "alice:" + secret + ":with:colons,and,commas = ß"
	l := startArgs(t, "--user", password, "--user", "bob:"+secret, "example.com="+server.address)

	l.send(call{url: "http://example.com/", user: password}).from("a")
	l.send(call{url: "http://example.com/", user: "bob:" + secret}).from("a")
	l.send(call{url: "http://example.com/", user: "alice:" + secret}).is(http.StatusUnauthorized)
	l.send(call{url: "http://example.com/", user: "alice:" + secret + ":with:colons"}).is(http.StatusUnauthorized)
}

func TestFlagsMayStandBehindServers(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	lines := map[string][]string{
		"long":      {"example.com=" + server.address, "--user", "alice:" + secret, "--port", freePort(t)},
		"short":     {"example.com=" + server.address, "-d", "-p", freePort(t), "--user=alice:" + secret},
		"between":   {"-p", freePort(t), "example.com=" + server.address, "--user", "alice:" + secret, "example.org=" + server.address},
		"serve":     {"serve", "example.com=" + server.address, "--user", "alice:" + secret, "--port=" + freePort(t)},
		"separated": {"--user", "alice:" + secret, "-p", freePort(t), "--", "example.com=" + server.address},
	}
	for name, args := range lines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := run{args: args}.start(t)
			l.get("http://example.com/").is(http.StatusUnauthorized)
			l.send(call{url: "http://example.com/", user: "alice:" + secret}).from("a")
		})
	}
}

func TestAddressMayBeAnySocket(t *testing.T) {
	t.Parallel()
	socket := startUpstream(t, "socket", "unix:"+socketFolder(t)+"/a=b.sock")
	l := startArgs(t, "unix.example="+socket.address)
	l.get("http://unix.example/").from("socket")

	if !hasIPv6() {
		t.Skip("there is no IPv6 here")
	}
	six := startUpstream(t, "six", "[::1]:0")
	l = startArgs(t, "six.example="+six.address, "schemed.example=http://"+six.address)
	l.get("http://six.example/").from("six")
	l.get("http://schemed.example/").from("six")
}

func TestPrefixesAndWildcardsFromArguments(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 5)
	l := startArgs(t,
		"example.com="+servers[0].address,
		"example.com/api="+servers[1].address,
		"*.example.com="+servers[2].address,
		"*.eu.example.com="+servers[3].address,
		"*="+servers[4].address)

	l.get("http://example.com/").from("a")
	l.get("http://example.com/apis").from("a")
	l.get("http://example.com/api").from("b")
	l.get("http://example.com/api/x?y").from("b")
	l.get("http://www.example.com/api").from("c")
	l.get("http://deep.www.example.com/").from("c")
	l.get("http://www.eu.example.com/").from("d")
	l.get("http://example.org/").from("e")
	l.get("http://[::1]:80/").from("e")
}

func TestBadServerArgumentIsRefused(t *testing.T) {
	t.Parallel()
	f := func(argument string, words ...string) {
		t.Helper()
		got := command(t, "--port", freePort(t), "fine.example=127.0.0.1:80", argument)
		assert.NotZero(t, got.code, argument)
		for _, word := range words {
			assert.Contains(t, got.stderr, word, argument)
		}
	}
	f("example.com=127.0.0.1:80=80", "example.com", "80=80")
	f("example.com=127.0.0.1=80", "example.com", `'='`)
	f("example.com=127.0.0.1:99999", "example.com", "99999")
	f("example.com=::1:80", "example.com", "brackets")
	f("example.com=ftp://127.0.0.1", "example.com", "unknown scheme")
	f("example.com=", "example.com")
	f("=127.0.0.1:80", "host")
	f("fine.example=127.0.0.1:80", "fine.example", "twice")
}
