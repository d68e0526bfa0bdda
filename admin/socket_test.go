package admin

import (
	"bytes"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode().Perm()
}

// makeStale leaves a socket behind that nobody listens on.
func makeStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
}

func TestSocketIsPrivate(t *testing.T) {
	s := newRoom(t, newFake())
	socket := filepath.Join(t.TempDir(), "run", "l7", "admin.sock")
	settle(t, s, Settings{Socket: socket})
	assert.Equal(t, fs.FileMode(0o600), modeOf(t, socket))
	assert.Equal(t, fs.FileMode(0o700), modeOf(t, filepath.Dir(socket)))
	s.Close()
	assert.NoFileExists(t, socket)
}

func TestStaleSocketIsReplaced(t *testing.T) {
	s := newRoom(t, newFake())
	socket := socketIn(t)
	makeStale(t, socket)
	settle(t, s, Settings{Socket: socket})
	assert.Equal(t, socket, s.SocketPath())
	assert.Equal(t, http.StatusOK, statusAt(t, unixAddr(socket), api.PathHealthz))
	left, err := os.ReadDir(filepath.Dir(socket))
	require.NoError(t, err)
	assert.Len(t, left, 1)
}

func TestLiveSocketIsLeftAlone(t *testing.T) {
	socket := socketIn(t)
	other, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer other.Close()
	var log bytes.Buffer
	s := New(newFake(), zerolog.New(&log), nil, nil)
	makeStale(t, beside(socket)) // of a process that had the same number
	settle(t, s, Settings{Socket: socket})
	assert.Equal(t, beside(socket), s.SocketPath())
	assert.Equal(t, fs.FileMode(0o600), modeOf(t, beside(socket)))
	assert.Equal(t, http.StatusOK, statusAt(t, unixAddr(s.SocketPath()), api.PathHealthz))
	assert.Contains(t, log.String(), `"level":"warn","wanted":"`+socket)

	settle(t, s, Settings{Socket: socket}) // the other one is still there
	assert.Equal(t, beside(socket), s.SocketPath())
	s.Close()
	assert.NoFileExists(t, beside(socket))
	assert.True(t, reachable(unixAddr(socket)))
}

// When the other process has gone, a reload brings the socket to where it is wanted. That may be what is left of an upgrade.
func TestSocketComesBack(t *testing.T) {
	socket := socketIn(t)
	first, second := newRoom(t, newFake()), newRoom(t, newFake())
	settle(t, first, Settings{Socket: socket})
	settle(t, second, Settings{Socket: socket})
	require.Equal(t, beside(socket), second.SocketPath())
	first.Close()
	settle(t, second, Settings{Socket: socket})
	assert.Equal(t, socket, second.SocketPath())
	assert.NoFileExists(t, beside(socket))
	assert.Equal(t, http.StatusOK, statusAt(t, unixAddr(socket), api.PathHealthz))
}

// Somebody cleans up /run, and perhaps another process takes the name: a reload makes the socket anew, and nothing is removed that
// is not ours.
func TestSocketWasRemoved(t *testing.T) {
	s := newRoom(t, newFake())
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket})
	require.NoError(t, os.Remove(socket))
	settle(t, s, Settings{Socket: socket})
	assert.Equal(t, http.StatusOK, statusAt(t, unixAddr(socket), api.PathHealthz))

	require.NoError(t, os.Remove(socket))
	other, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer other.Close()
	s.Close()
	assert.True(t, reachable(unixAddr(socket)))
}

func TestNotASocket(t *testing.T) {
	s := newRoom(t, newFake())
	socket := socketIn(t)
	require.NoError(t, os.WriteFile(socket, []byte("precious"), 0o600))
	_, err := s.Open(Settings{Socket: socket})
	require.ErrorContains(t, err, "not a socket")
	content, err := os.ReadFile(socket)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(content))
}

func TestForeignDirectory(t *testing.T) {
	f := func(owner, user int, want bool) {
		t.Helper()
		assert.Equal(t, want, foreign(owner, user))
	}
	f(1000, 1000, false)
	f(0, 1000, false)
	f(1001, 1000, true)
	f(1001, 0, false)
	f(0, 0, false)
}

// What killed processes have left beside the socket goes with the next start; what is not theirs stays.
func TestDeadSocketsBesideAreRemoved(t *testing.T) {
	s := newRoom(t, newFake())
	socket := socketIn(t)
	dead := strings.TrimSuffix(socket, ".sock") + "-4194305.sock" // above what Linux gives to processes
	living := strings.TrimSuffix(socket, ".sock") + "-4194306.sock"
	another := strings.TrimSuffix(socket, ".sock") + "-old.sock"
	makeStale(t, dead)
	makeStale(t, another)
	l, err := net.Listen("unix", living) // in another container
	require.NoError(t, err)
	defer l.Close()
	settle(t, s, Settings{Socket: socket})
	assert.NoFileExists(t, dead)
	assert.FileExists(t, living)
	assert.FileExists(t, another)
}
