package admin

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
	"l7/config"
)

func reachable(to net.Addr) bool {
	c, err := net.Dial(to.Network(), to.String())
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func statusAt(t *testing.T, to net.Addr, path string) int {
	t.Helper()
	return ask(t, to, http.MethodGet+" "+path, "", nil).StatusCode
}

func TestCommit(t *testing.T) {
	s := newRoom(t, newFake())
	first := Settings{Socket: socketIn(t), Listen: loopback(t)}
	settle(t, s, first)
	tcp := s.Addr()
	assert.Equal(t, first.Socket, s.SocketPath())
	assert.Equal(t, http.StatusOK, statusAt(t, tcp, api.PathStatus))
	assert.Equal(t, http.StatusNotFound, statusAt(t, tcp, api.PathPprof))

	second := Settings{Socket: socketIn(t), Listen: first.Listen, Users: usersOf(t, map[string]string{"bob": "sesame"}), Pprof: true}
	settle(t, s, second)
	assert.Equal(t, tcp, s.Addr(), "what is wanted as before stays open")
	assert.Equal(t, http.StatusUnauthorized, statusAt(t, tcp, api.PathStatus))
	assert.NoFileExists(t, first.Socket)
	assert.Equal(t, http.StatusOK, statusAt(t, unixAddr(second.Socket), api.PathPprof))

	settle(t, s, Settings{})
	assert.False(t, reachable(tcp))
	assert.NoFileExists(t, second.Socket)
	assert.Nil(t, s.Addr())
	assert.Empty(t, s.SocketPath())
}

func TestOpenFails(t *testing.T) {
	s := newRoom(t, newFake())
	first := Settings{Socket: socketIn(t), Listen: loopback(t)}
	settle(t, s, first)
	tcp := s.Addr()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()

	next := Settings{Socket: socketIn(t), Listen: config.ListenAddress{Network: "tcp", Addr: busy.Addr().String()}, Users: usersOf(t, nil)}
	_, err = s.Open(next)
	require.EqualError(t, err, `cannot listen on "`+busy.Addr().String()+`" (admin.listen): bind: address already in use`)
	assert.False(t, errors.As(err, new(*SocketError)))
	assert.NoFileExists(t, next.Socket)
	assert.Equal(t, http.StatusOK, statusAt(t, tcp, api.PathStatus))
	assert.Equal(t, first.Socket, s.SocketPath())
	assert.True(t, reachable(unixAddr(first.Socket)))

	_, err = s.Open(Settings{Socket: first.Socket, Listen: config.ListenAddress{Network: "tcp", Addr: "0.0.0.0:0"}})
	require.ErrorContains(t, err, "give admin.users")
}

func TestAbort(t *testing.T) {
	s := newRoom(t, newFake())
	first := Settings{Socket: socketIn(t)}
	settle(t, s, first)
	next := Settings{Socket: socketIn(t), Listen: loopback(t)}
	o, err := s.Open(next)
	require.NoError(t, err)
	tcp := o.next[1].listener.Addr()
	assert.True(t, reachable(tcp))
	o.Abort()
	assert.False(t, reachable(tcp))
	assert.NoFileExists(t, next.Socket)
	assert.Equal(t, http.StatusOK, statusAt(t, unixAddr(first.Socket), api.PathStatus))
}

// Who can do without the admin socket asks again without it.
func TestSocketError(t *testing.T) {
	s := newRoom(t, newFake())
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	want := Settings{Socket: filepath.Join(file, "admin.sock"), Listen: loopback(t)}
	_, err := s.Open(want)
	var socket *SocketError
	require.ErrorAs(t, err, &socket)
	assert.Equal(t, want.Socket, socket.Path)
	assert.ErrorContains(t, err, "admin.socket")
	want.Socket = ""
	settle(t, s, want)
	assert.Equal(t, http.StatusOK, statusAt(t, s.Addr(), api.PathHealthz))
}

// A reload that comes in by the admin socket may move the socket: its answer arrives all the same.
func TestReloadMovesItsOwnSocket(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	first, second := socketIn(t), socketIn(t)
	settle(t, s, Settings{Socket: first})
	p.reloading = func() *api.Reload {
		o, err := s.Open(Settings{Socket: second})
		if err != nil {
			return fakeReload(err.Error())
		}
		o.Commit()
		return fakeReload()
	}
	got, err := api.NewClient(first).Reload(t.Context())
	require.NoError(t, err)
	assert.Empty(t, got.Problems)
	assert.False(t, reachable(unixAddr(first)))
	assert.Equal(t, http.StatusOK, statusAt(t, unixAddr(second), api.PathStatus))
}

// An admin listener may be a unix socket too. It is no admin socket: who comes in there is asked for a password, or may look.
func TestListenOnUnix(t *testing.T) {
	s := newRoom(t, newFake())
	path := filepath.Join(t.TempDir(), "http.sock")
	want := Settings{Listen: config.ListenAddress{Network: "unix", Addr: path}}
	settle(t, s, want)
	assert.Empty(t, s.SocketPath())
	assert.Equal(t, http.StatusOK, statusAt(t, unixAddr(path), api.PathStatus))
	assert.Equal(t, http.StatusForbidden, ask(t, unixAddr(path), http.MethodPost+" "+api.PathReload, "", nil).StatusCode)
	want.Users = usersOf(t, map[string]string{"bob": "sesame"})
	settle(t, s, want)
	assert.Equal(t, http.StatusUnauthorized, statusAt(t, unixAddr(path), api.PathStatus))
}

// inherits has one socket to give.
type inherits struct{ net.Listener }

// Take implements Inheritance.
func (i inherits) Take(config.ListenAddress) net.Listener { return i.Listener }

// fromSystemd is a socket of a unit of systemd, which handover leaves to systemd.
type fromSystemd struct{ *net.UnixListener }

func (fromSystemd) SetUnlinkOnClose(bool) {}

// A socket that systemd has made is systemd's to remove: without its file nobody could come in until the unit of the socket was restarted.
func TestForeignSocket(t *testing.T) {
	f := func(path string, wrap func(*net.UnixListener) net.Listener) {
		t.Helper()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
		require.NoError(t, err)
		l.SetUnlinkOnClose(false) // as handover has it
		s := New(newFake(), zerolog.Nop(), nil, nil)
		s.Inherit(inherits{wrap(l)})
		settle(t, s, Settings{Socket: path})
		assert.Equal(t, http.StatusOK, statusAt(t, unixAddr(path), api.PathStatus))
		s.Close()
	}
	foreign, own := socketIn(t), socketIn(t)
	f(foreign, func(l *net.UnixListener) net.Listener { return fromSystemd{l} })
	assert.FileExists(t, foreign)
	f(own, func(l *net.UnixListener) net.Listener { return l })
	assert.NoFileExists(t, own)
}
