package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"l7/config"
)

func onPath(path string, mode uint32, owner *Owner) Listen {
	return Listen{Address: config.ListenAddress{Network: "unix", Addr: path}, Mode: mode, Owner: owner}
}

// requirePermission checks who may open a file.
func requirePermission(t *testing.T, path string, mode fs.FileMode, owner Owner) {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, permission{mode, owner}, permission{info.Mode().Perm(), ownerOf(info)})
}

// other is an owner that this process can give a file to: another user, if it is root's.
func other() Owner {
	if os.Geteuid() == 0 {
		return Owner{12345, 54321}
	}
	return Owner{os.Geteuid(), os.Getegid()}
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
	opening.Commit()
}

// A reload changes the owner and the mode of a socket that stays open, and takes nothing back that the config says no more.
func TestUnixSocketHasItsOwnerAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	own, another := Owner{os.Geteuid(), os.Getegid()}, other()
	s := openable(t)
	open(t, s, onPath(path, 0o660, nil))
	requirePermission(t, path, 0o660, own)
	open(t, s, onPath(path, 0o606, &another))
	requirePermission(t, path, 0o606, another)
	open(t, s, onPath(path, 0o600, &Owner{-1, own.gid}))
	requirePermission(t, path, 0o600, Owner{another.uid, own.gid})
	open(t, s, onPath(path, 0, nil))
	requirePermission(t, path, 0o600, Owner{another.uid, own.gid})

	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	open(t, s)
	require.NoFileExists(t, path)
}

// What somebody has put in the place of a socket is not touched, and a socket whose file is gone is not missed.
func TestFileInThePlaceOfASocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := openable(t)
	open(t, s, onPath(path, 0o660, nil))
	require.NoError(t, os.Remove(path))
	open(t, s, onPath(path, 0o666, nil))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	another := other()
	open(t, s, onPath(path, 0o606, &another))
	requirePermission(t, path, 0o600, Owner{os.Geteuid(), os.Getegid()})
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
		requirePermission(t, open1, 0o600, Owner{os.Geteuid(), os.Getegid()})
		require.NoFileExists(t, fresh)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
	}
	f(onPath("/no/such/folder/s", 0, nil), "no such file")
	f(Listen{Address: config.ListenAddress{Network: "fd", Addr: "3"}}, "from another process")
	if os.Geteuid() != 0 {
		f(onPath(filepath.Join(dir, "given"), 0, &Owner{0, 0}), "listen.owner")
	}
}

func TestNobodyIsLetInBetween(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	file, err := boundTo(path)
	require.NoError(t, err)
	defer file.Close()
	_, err = net.Dial("unix", path)
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "it listens before its file has a mode")
}

// A process that is too busy to answer, or that does not let us in, still listens: its socket was once taken for stale, and removed.
func TestBusySocketIsNotStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	file, err := boundTo(path)
	require.NoError(t, err)
	defer file.Close()
	require.NoError(t, syscall.Listen(int(file.Fd()), 0))
	for range 10 { // until its queue is full
		c, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		defer c.Close()
	}
	_, err = listenUnix(onPath(path, 0, nil))
	require.ErrorContains(t, err, "another process listens on it")
	require.FileExists(t, path)
}

func TestLookUpOwner(t *testing.T) {
	f := func(text string, want Owner) {
		t.Helper()
		got, err := LookUpOwner(text)
		require.NoError(t, err)
		require.Equal(t, want, *got)
	}
	f("root", Owner{0, -1})
	f("4711", Owner{4711, -1})
	f("root:4711", Owner{0, 4711})
	f(":4711", Owner{-1, 4711})
	bad := func(text, want string) {
		t.Helper()
		_, err := LookUpOwner(text)
		require.ErrorContains(t, err, want)
	}
	bad("no-such-user", `no user "no-such-user"`)
	bad("root:no-such-group", `no group "no-such-group"`)
	bad("-1", `no user "-1"`)
	bad(strconv.FormatUint(1<<32-1, 10), "no user") // chown takes it for none
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
	self := Owner{os.Geteuid(), os.Getegid()}
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
	require.True(t, errors.Is(err, errInUse) && strings.Contains(err.Error(), "USR2"))
}
