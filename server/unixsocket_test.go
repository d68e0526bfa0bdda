package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"l7/config"
	"l7/unixsocket"
)

func onPath(path string, mode fs.FileMode, owner *unixsocket.Owner) Listen {
	return Listen{Address: config.ListenAddress{Network: "unix", Addr: path}, Permission: unixsocket.Permission{Mode: mode, Owner: owner}}
}

// requirePermission checks who may open a file.
func requirePermission(t *testing.T, path string, mode fs.FileMode, owner unixsocket.Owner) {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	require.Equal(t, mode, info.Mode().Perm())
	require.Equal(t, owner, unixsocket.Owner{UID: int(stat.Uid), GID: int(stat.Gid)})
}

// other is an owner that this process can give a file to: another user, if it is root's.
func other() unixsocket.Owner {
	if os.Geteuid() == 0 {
		return unixsocket.Owner{UID: 12345, GID: 54321}
	}
	return unixsocket.Owner{UID: os.Geteuid(), GID: os.Getegid()}
}

func openable(t *testing.T) *Server {
	t.Helper()
	snapshot, pools := build(t, "backends: {'*': {servers: '127.0.0.1:1'}}")
	s := New(zerolog.Nop(), snapshot, pools)
	t.Cleanup(func() {
		_ = s.Drain(context.Background())
		snapshot.Close()
	})
	return s
}

func open(t *testing.T, s *Server, want ...Listen) {
	t.Helper()
	opening, err := s.Open(want)
	require.NoError(t, err)
	commit(s, opening)
}

// A reload changes the owner and the mode of a socket that stays open, and takes nothing back that the config says no more.
func TestUnixSocketHasItsOwnerAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	own, another := unixsocket.Owner{UID: os.Geteuid(), GID: os.Getegid()}, other()
	s := openable(t)
	open(t, s, onPath(path, 0o660, nil))
	requirePermission(t, path, 0o660, own)
	open(t, s, onPath(path, 0o606, &another))
	requirePermission(t, path, 0o606, another)
	open(t, s, onPath(path, 0o600, &unixsocket.Owner{UID: -1, GID: own.GID}))
	requirePermission(t, path, 0o600, unixsocket.Owner{UID: another.UID, GID: own.GID})
	open(t, s, onPath(path, 0, nil))
	requirePermission(t, path, 0o600, unixsocket.Owner{UID: another.UID, GID: own.GID})

	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	open(t, s)
	require.NoFileExists(t, path)
}

// A listener whose file somebody had removed stayed without for good. A reload opens it anew, and ends the connections of the old one in order.
func TestLostSocketIsOpenedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := openable(t)
	open(t, s, onPath(path, 0o660, nil))
	before := s.Sockets()
	require.Len(t, before, 1)
	open(t, s, onPath(path, 0o660, nil))
	require.Equal(t, before, s.Sockets(), "one that is there is not opened anew")
	early, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer early.Close()

	require.NoError(t, os.Remove(path))
	require.Empty(t, s.Sockets(), "it is passed on, and nobody finds it")
	open(t, s, onPath(path, 0o606, nil))
	requirePermission(t, path, 0o606, unixsocket.Owner{UID: os.Geteuid(), GID: os.Getegid()})
	late, err := net.Dial("unix", path)
	require.NoError(t, err)
	require.NoError(t, late.Close())
	require.NoError(t, early.SetReadDeadline(time.Now().Add(patience)))
	_, err = early.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// What somebody has put in the place of a socket is not touched, and told of.
func TestFileInThePlaceOfASocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	self, another := unixsocket.Owner{UID: os.Geteuid(), GID: os.Getegid()}, other()
	s := openable(t)
	open(t, s, onPath(path, 0o660, nil))
	f := func(want string) {
		t.Helper()
		require.NoError(t, os.Chmod(path, 0o600))
		_, err := s.Open([]Listen{onPath(path, 0o606, &another)})
		require.ErrorContains(t, err, want)
		requirePermission(t, path, 0o600, self)
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	f("not a socket")
	require.NoError(t, os.Remove(path))
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	f("another process listens on it")
	open(t, s)
	require.FileExists(t, path)
}

// What an error leaves behind is nothing, also of the sockets that could be had.
func TestOpenThatFailsChangesNothing(t *testing.T) {
	dir := t.TempDir()
	open1, fresh := filepath.Join(dir, "open"), filepath.Join(dir, "fresh")
	s := openable(t)
	open(t, s, onPath(open1, 0o600, nil))
	f := func(bad Listen, want string) {
		t.Helper()
		_, err := s.Open([]Listen{onPath(open1, 0o666, nil), onPath(fresh, 0o666, nil), bad})
		require.ErrorContains(t, err, want)
		requirePermission(t, open1, 0o600, unixsocket.Owner{UID: os.Geteuid(), GID: os.Getegid()})
		require.NoFileExists(t, fresh)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
	}
	f(onPath("/no/such/folder/s", 0, nil), `cannot listen on "unix:/no/such/folder/s": the folder /no/such/folder does not exist`)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	taken := busy.Addr().String()
	f(Listen{Address: config.ListenAddress{Network: "tcp", Addr: taken}}, `cannot listen on "`+taken+`": bind: address already in use`)
	f(Listen{Address: config.ListenAddress{Network: "fd", Addr: "3"}}, "from another process")
	if os.Geteuid() != 0 {
		f(onPath(filepath.Join(dir, "given"), 0, &unixsocket.Owner{UID: 0, GID: 0}), "listen.owner")
	}
}

// heirs is an inheritance of unix sockets.
type heirs map[string]net.Listener

func (h heirs) Take(address config.ListenAddress) net.Listener {
	l := h[address.String()]
	delete(h, address.String())
	return l
}

func (h heirs) Missing(descriptor string) error { return fmt.Errorf("there is no %s", descriptor) }

type foreignSocket struct{ net.Listener }

func (foreignSocket) Foreign() bool { return true }

// lostSocket is one that nobody finds.
type lostSocket struct{ net.Listener }

func (lostSocket) Lost() bool { return true }

// An upgrade does not go on with a socket whose file is gone.
func TestLostInheritedSocketIsOpenedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	old.SetUnlinkOnClose(false)
	require.NoError(t, os.Remove(path))
	s := openable(t)
	s.Inherit(heirs{"unix:" + path: lostSocket{old}})
	open(t, s, onPath(path, 0, nil))
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.ErrorIs(t, old.Close(), net.ErrClosed)
}

// The file of a socket that systemd has made is systemd's; that of one from the l7 before is ours.
func TestInheritedSocketsAndTheirFiles(t *testing.T) {
	dir := t.TempDir()
	made := func(name string) (net.Listener, string) {
		path := filepath.Join(dir, name)
		l, err := net.Listen("unix", path)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(path, 0o640))
		return l, path
	}
	theirs, theirPath := made("theirs")
	ours, ourPath := made("ours")
	third, thirdPath := made("third")
	s := openable(t)
	s.Inherit(heirs{"unix:" + theirPath: foreignSocket{theirs}, "unix:" + ourPath: ours, "fd://3": foreignSocket{third}})
	byFD := Listen{Address: config.ListenAddress{Network: "fd", Addr: "3"}}
	open(t, s, onPath(theirPath, 0o600, nil), onPath(ourPath, 0o600, nil), byFD)
	self := unixsocket.Owner{UID: os.Geteuid(), GID: os.Getegid()}
	requirePermission(t, theirPath, 0o640, self)
	requirePermission(t, ourPath, 0o600, self)
	c, err := net.Dial("unix", thirdPath)
	require.NoError(t, err)
	require.NoError(t, c.Close())

	// A reload keeps it, and cannot make another one.
	open(t, s, byFD)
	_, err = s.Open([]Listen{byFD, {Address: config.ListenAddress{Network: "fd", Addr: "4"}}})
	require.ErrorContains(t, err, `cannot listen on "fd://4": there is no 4`)
	_, err = s.Open([]Listen{onPath(thirdPath, 0, nil)})
	require.ErrorContains(t, err, `the socket that l7 has as "fd://3"`)
	require.True(t, errors.Is(err, unixsocket.ErrInUse) && strings.Contains(err.Error(), "USR2"))
}
