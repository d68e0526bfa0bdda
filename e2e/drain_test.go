package e2e

import (
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// manager stands for systemd.
type manager struct {
	t       *testing.T
	socket  *net.UnixConn
	address string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	address := filepath.Join(socketFolder(t), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	return &manager{t, socket, address}
}

func (m *manager) next() string {
	m.t.Helper()
	message := make([]byte, 4096)
	require.NoError(m.t, m.socket.SetReadDeadline(time.Now().Add(patience)))
	n, err := m.socket.Read(message)
	require.NoError(m.t, err)
	return string(message[:n])
}

// startDelayed starts an l7 that goes on for a while when it is told to stop, and a client that asks whether it is ready.
func startDelayed(t *testing.T, server *upstream, delay string) (l *l7, ready *client) {
	t.Helper()
	port := freePort(t)
	l = startFile(t,
		listenAnywhere,
		"drain: {delay: "+delay+"}",
		"admin: {socket: 'off', listen: '127.0.0.1:"+port+"'}",
		"backends: {example.com: {servers: ["+server.address+"]}}")
	ready = newClient(t, "127.0.0.1:"+port)
	eventually(t, "it is ready", func() bool { return ready.get("http://127.0.0.1/readyz").StatusCode == http.StatusOK })
	return l, ready
}

// TestStopInThreeBeats: others see that l7 is about to stop before it refuses anybody.
func TestStopInThreeBeats(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l, ready := startDelayed(t, server, "1500ms")
	kept := l.connect()
	kept.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a")

	l.signal(syscall.SIGTERM)
	l.awaitLog("draining", 1)
	began := time.Now()
	ready.get("http://127.0.0.1/readyz").is(http.StatusServiceUnavailable)
	newClient(t, l.addr).get("http://example.com/").from("a")
	assert.False(t, kept.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a").Close)
	slow := l.begin(call{url: "http://example.com/?delay=2s"})
	server.awaitInFlight(1)
	require.Less(t, time.Since(began), time.Second, "this machine is too slow to prove anything")

	eventually(t, "new connections are refused", func() bool { return refused(l.addr) })
	assert.GreaterOrEqual(t, time.Since(began), time.Second)
	assert.True(t, slow.wait(t).from("a").Close)
	assert.Zero(t, l.exit())
}

func TestSecondSignalDuringTheDelayQuitsAtOnce(t *testing.T) {
	t.Parallel()
	l, _ := startDelayed(t, startUpstream(t, "a"), "1m")
	l.signal(syscall.SIGTERM)
	l.awaitLog("draining", 1)
	l.signalAgain(syscall.SIGTERM)
	assert.Equal(t, 1, l.exit())
}
