package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const listenAnywhere = "listen: '127.0.0.1:0'"

func TestReloadChangesServersAndUsers(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 3)
	l := startFile(t,
		listenAnywhere,
		"users: {alice: '"+secret+"-a', bob: '"+secret+"-b'}",
		"backends:",
		"  example.com: {servers: ["+servers[0].address+"]}",
		"  old.example: {servers: ["+servers[0].address+"]}")
	l.send(call{url: "http://example.com/", user: "bob:" + secret + "-b"}).from("a")

	changes := l.reload(
		listenAnywhere,
		"users: {alice: '"+secret+"-changed', carol: '"+secret+"-c'}",
		"backends:",
		"  example.com: {servers: ["+servers[1].address+"]}",
		"  new.example: {servers: ["+servers[2].address+"]}")

	l.send(call{url: "http://example.com/", user: "bob:" + secret + "-b"}).is(http.StatusUnauthorized)
	l.send(call{url: "http://example.com/", user: "alice:" + secret + "-a"}).is(http.StatusUnauthorized)
	l.send(call{url: "http://example.com/", user: "alice:" + secret + "-changed"}).from("b")
	l.send(call{url: "http://new.example/", user: "carol:" + secret + "-c"}).from("c")
	l.send(call{url: "http://old.example/", user: "carol:" + secret + "-c"}).refusedFor(http.StatusNotFound, "no_route")

	assert.Regexp(t, `backend example\.com: .*\+\S*`+servers[1].address, changes)
	assert.Regexp(t, `backend example\.com: .*-\S*`+servers[0].address, changes)
	assert.Regexp(t, `backend old\.example: removed`, changes)
	assert.Regexp(t, `backend new\.example: added`, changes)
	assert.Regexp(t, `users: .*\+carol`, changes)
	assert.Regexp(t, `users: .*-bob`, changes)
	assert.Regexp(t, `users: .*~alice`, changes)
}

func TestReloadOfTheSameFileSaysSo(t *testing.T) {
	t.Parallel()
	lines := []string{listenAnywhere, "backends: {example.com: {servers: ['127.0.0.1:1']}}"}
	l := startFile(t, lines...)
	assert.Equal(t, "nothing", l.reload(lines...))
}

func TestReloadReadsTheUsersFile(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startFile(t,
		listenAnywhere,
		"backends: {example.com: {servers: ["+server.address+"]}}")
	l.get("http://example.com/").from("a")

	hash := hashOf(t, secret+"-file")
	users := filepath.Join(filepath.Dir(l.file), "htpasswd")
	require.NoError(t, os.WriteFile(users, []byte("# people\ndora:"+hash+"\n"), 0o600))
	l.reload(
		listenAnywhere,
		"users_file: htpasswd",
		"backends: {example.com: {servers: ["+server.address+"]}}")
	l.get("http://example.com/").is(http.StatusUnauthorized)
	l.send(call{url: "http://example.com/", user: "dora:" + secret + "-file"}).from("a")

	// The file of the users alone may change too.
	require.NoError(t, os.WriteFile(users, []byte("erik:"+hash+"\n"), 0o600))
	l.signal(syscall.SIGHUP)
	l.awaitLog("reloaded", 2)
	l.send(call{url: "http://example.com/", user: "dora:" + secret + "-file"}).is(http.StatusUnauthorized)
	l.send(call{url: "http://example.com/", user: "erik:" + secret + "-file"}).from("a")
}

// TestReloadMovesToAnotherPort has a request in flight on the old one, and an idle connection.
func TestReloadMovesToAnotherPort(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	backends := "backends: {example.com: {servers: [" + server.address + "]}}"
	first, second := freePort(t), freePort(t)
	l := startFile(t, "port: "+first, backends)
	idle := l.connect()
	idle.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a")
	slow := l.begin(call{url: "http://example.com/?delay=700ms"})
	server.awaitInFlight(1)

	gaps := watchForGap(t, "127.0.0.1:"+first, "127.0.0.1:"+second)
	changes := l.reload("port: "+second, backends)
	assert.Contains(t, changes, second)
	newClient(t, l.listening(2)[1]).get("http://example.com/").from("a")
	assert.Equal(t, 1, server.stats().InFlight, "the slow request is over too early to prove anything")
	eventually(t, "the old port is closed", func() bool { return refused("127.0.0.1:" + first) })
	assert.Zero(t, gaps(), "the old port was closed before the new one was open")

	assert.True(t, slow.wait(t).from("a").Close, "the connection of a closed listener stays open")
	_, err := idle.reader.ReadByte()
	assert.Error(t, err, "an idle connection of a closed listener stays open")
	assert.False(t, refused("127.0.0.1:"+second))
}

// watchForGap counts how often both addresses refuse, until the function it returns is called.
func watchForGap(t *testing.T, old, next string) (gaps func() int64) {
	t.Helper()
	var count atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			if refused(old) && refused(next) {
				count.Add(1)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	end := sync.OnceFunc(func() {
		close(stop)
		<-stopped
	})
	t.Cleanup(end)
	return func() int64 {
		end()
		return count.Load()
	}
}

func TestReloadChangesTheLogLevel(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 3)
	config := func(i int, level string) []string {
		return []string{
			listenAnywhere,
			"log: {level: " + level + "}",
			"backends: {example.com: {servers: [" + servers[i].address + "]}}",
		}
	}
	l := startFile(t, config(0, "info")...)
	l.get("http://first.example/").is(http.StatusNotFound)
	l.awaitText("first.example", "no_route")

	l.reload(config(1, "error")...) // is told of, since the level before allowed it
	l.get("http://second.example/").is(http.StatusNotFound)

	l.reload(config(2, "debug")...)
	l.get("http://third.example/").is(http.StatusNotFound)
	l.awaitText("third.example", "no_route")
	assert.NotContains(t, l.stderr.String(), "second.example")
}

func TestBadFileChangesNothing(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startFile(t,
		listenAnywhere,
		"users: {alice: '"+secret+"'}",
		"backends: {example.com: {servers: ["+server.address+"]}}")

	f := func(word, place string, lines ...string) {
		t.Helper()
		failures := len(l.log("cannot reload; the config in force stays"))
		l.rewrite(lines...)
		l.signal(syscall.SIGHUP)
		l.awaitLog("cannot reload; the config in force stays", failures+1)
		l.awaitText(word, "l7.yml:"+place)
		l.get("http://example.com/").is(http.StatusUnauthorized)
		l.send(call{url: "http://example.com/", user: "alice:" + secret}).from("a")
	}
	f("did you mean", "2:", listenAnywhere, "backnds: {}")
	f("80800", "1:", "port: 80800", "backends: {example.com: {servers: ["+server.address+"]}}")
	f("unknown scheme", "4:", listenAnywhere, "backends:", "  example.com:", "    servers: ['ftp://127.0.0.1']")
	f("***", "2:", listenAnywhere, "users: {alice: '***'}", "backends: {example.com: {servers: ["+server.address+"]}}")
	f("not YAML", "3", listenAnywhere, "backends:", "\t- x")

	require.NoError(t, os.Remove(l.file))
	l.signal(syscall.SIGHUP)
	l.awaitText("cannot reload", "no such file")
	l.send(call{url: "http://example.com/", user: "alice:" + secret}).from("a")
	assert.Empty(t, l.log("reloaded"))

	assert.Contains(t, l.reload(listenAnywhere, "backends: {'*': {servers: ["+server.address+"]}}"), "-alice")
	l.get("http://example.org/").from("a")
}

// TestReloadKeepsAllWhenAPortIsTaken: nothing of a config is put in force where one part of it cannot be.
func TestReloadKeepsAllWhenAPortIsTaken(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	l := startFile(t, listenAnywhere, "backends: {example.com: {servers: ["+servers[0].address+"]}}")
	fresh := freePort(t)

	l.rewrite("listen: ['127.0.0.1:"+fresh+"', '"+servers[0].address+"']", "backends: {example.com: {servers: ["+servers[1].address+"]}}")
	l.signal(syscall.SIGHUP)
	l.awaitText("cannot reload", servers[0].address, "address already in use")
	l.get("http://example.com/").from("a")
	assert.True(t, refused("127.0.0.1:"+fresh), "a listener of a config that is not in force stays open")
}

func TestReloadWithoutAFileSaysSo(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "example.com="+server.address)
	l.signal(syscall.SIGHUP)
	l.awaitText("cannot reload", "no config file")
	l.get("http://example.com/").from("a")
}

// TestReloadDuringTheStartIsNotLost sends HUP while l7 waits for the text of its first config.
func TestReloadDuringTheStartIsNotLost(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	fifo := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	config := func(i int) string {
		return text(listenAnywhere, "backends: {example.com: {servers: ["+servers[i].address+"]}}")
	}
	l := run{args: []string{"-c", fifo}}.launch(t)

	pipe := l.openFifo(fifo)
	l.signal(syscall.SIGHUP)
	_, err := pipe.WriteString(config(0))
	require.NoError(t, err)
	require.NoError(t, pipe.Close())

	l.client = newClient(t, l.listening(1)[0])
	l.get("http://example.com/").from("a")
	pipe = l.openFifo(fifo)
	_, err = pipe.WriteString(config(1))
	require.NoError(t, err)
	require.NoError(t, pipe.Close())
	l.awaitLog("reloaded", 1)
	l.get("http://example.com/").from("b")
}

// openFifo opens a fifo for writing as soon as l7 reads from it.
func (l *l7) openFifo(name string) *os.File {
	l.t.Helper()
	var pipe *os.File
	l.await("l7 reads its config", func() bool {
		var err error
		pipe, err = os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	return pipe
}

// TestReloadKeepsConnections: a listener that stays keeps its clients' connections.
func TestReloadKeepsConnections(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	l := startFile(t, listenAnywhere, "backends: {example.com: {servers: ["+servers[0].address+"]}}")
	conn, err := dial(context.Background(), l.addr)
	require.NoError(t, err)
	defer conn.Close()
	kept := l.connect()
	kept.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a")
	slow := l.begin(call{url: "http://example.com/?delay=500ms"})
	servers[0].awaitInFlight(1)

	l.reload(listenAnywhere, "backends: {example.com: {servers: ["+servers[1].address+"]}}")
	kept.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("b")
	slow.wait(t).from("a")
	require.NoError(t, conn.SetReadDeadline(time.Now()))
	_, err = conn.Read(make([]byte, 1))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout, "a connection that has sent nothing yet was closed")
}

// The system lets no second socket into a port whose first one is open, and l7 closes none before it has the next.
func TestReloadToAnotherFormOfTheSamePortSaysWhoHoldsIt(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	backends := "backends: {example.com: {servers: [" + server.address + "]}}"
	port := freePort(t)
	l := startFile(t, "port: "+port, backends)
	l.listening(1)

	l.rewrite("listen: '127.0.0.1:"+port+"'", backends)
	l.signal(syscall.SIGHUP)
	l.awaitText("cannot reload", `l7 itself listens there as \":`+port+`\"`)
	newClient(t, "127.0.0.1:"+port).get("http://example.com/").from("a")
}
