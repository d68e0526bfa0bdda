package e2e

import (
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTermAndIntDrain(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startUpstream(t, "a")
			l := startArgs(t, "example.com="+server.address)
			idle := l.connect()
			idle.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a")
			slow := l.begin(call{url: "http://example.com/?delay=1s"})
			server.awaitInFlight(1)

			l.signal(sig)
			l.awaitLog("draining", 1)
			eventually(t, "new connections are refused", func() bool { return refused(l.addr) })
			assert.Equal(t, 1, server.stats().InFlight, "the slow request is over too early to prove anything")

			got := slow.wait(t).from("a")
			assert.True(t, got.Close, "the answer says nothing of the connection's end")
			_, err := idle.reader.ReadByte()
			assert.ErrorIs(t, err, io.EOF, "an idle connection is to be closed in order")
			assert.Zero(t, l.exit())
			l.awaitLog("drained", 1)
		})
	}
}

// TestConnectionWithoutARequestIsClosedWithoutAWord: an answer to nothing would pass for that of a request which the
// client is sending just then.
func TestConnectionWithoutARequestIsClosedWithoutAWord(t *testing.T) {
	t.Parallel()
	l := startArgs(t, "example.com=127.0.0.1:1")
	silent := l.connect()
	l.signal(syscall.SIGTERM)
	answer, err := io.ReadAll(silent.reader)
	assert.NoError(t, err)
	assert.Empty(t, string(answer))
	assert.Zero(t, l.exit())
	assert.Empty(t, l.log("request not passed on"))
}

// TestRequestThatComesWithTheSignalIsAnswered: a client cannot know yet that l7 is to stop.
func TestRequestThatComesWithTheSignalIsAnswered(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "example.com="+server.address)
	kept := l.connect()
	kept.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a")

	l.signal(syscall.SIGTERM)
	l.awaitLog("draining", 1)
	got := kept.send("POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello").from("a")
	assert.True(t, got.Close)
	assert.Equal(t, "hello", got.echo().Body)
	assert.Zero(t, l.exit())
}

func TestDrainTimeoutCutsWhatHangs(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startFile(t,
		listenAnywhere,
		"drain: {timeout: 300ms}",
		"backends: {example.com: {servers: ["+server.address+"]}}")
	hanging := l.begin(call{url: "http://example.com/?delay=1m"})
	server.awaitInFlight(1)

	began := time.Now()
	l.signal(syscall.SIGTERM)
	l.exit()
	assert.Less(t, time.Since(began), patience/2)
	assert.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
	<-hanging.done
	assert.Error(t, hanging.err, "a cut request is not an answer")
	l.awaitText("drain.timeout")
}

func TestSecondSignalQuitsAtOnce(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	dir := socketFolder(t)
	path, control := filepath.Join(dir, "l7.sock"), filepath.Join(dir, "admin.sock")
	l := startFile(t,
		"listen: ['127.0.0.1:0', 'unix:"+path+"']",
		"admin: {socket: '"+control+"'}",
		"drain: {delay: 10s}",
		"backends: {example.com: {servers: ["+server.address+"]}}")
	hanging := l.begin(call{url: "http://example.com/?delay=1m"})
	server.awaitInFlight(1)

	l.signal(syscall.SIGTERM)
	l.awaitLog("draining", 1)
	l.signal(syscall.SIGHUP) // changes nothing any more
	l.awaitText("nothing else is done any more")
	began := time.Now()
	l.signalAgain(syscall.SIGINT)
	assert.NotZero(t, l.exit())
	assert.Less(t, time.Since(began), patience/2, "this is the drain's timeout")
	<-hanging.done
	require.Error(t, hanging.err)
	assert.NoFileExists(t, path)
	assert.NoFileExists(t, control)
}

// TestSignalAndItsEchoDrain: timeout(1) signals its child, and then the group that the child is in.
func TestSignalAndItsEchoDrain(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startArgs(t, "example.com="+server.address)
	slow := l.begin(call{url: "http://example.com/?delay=500ms"})
	server.awaitInFlight(1)

	l.signal(syscall.SIGTERM)
	l.signal(syscall.SIGINT)
	assert.Zero(t, l.exit())
	slow.wait(t).from("a")
}

func TestStopWithoutClientsIsQuick(t *testing.T) {
	t.Parallel()
	l := startArgs(t, "example.com=127.0.0.1:1")
	l.signal(syscall.SIGTERM)
	assert.Zero(t, l.exit())
	l.awaitLog("drained", 1)
}
