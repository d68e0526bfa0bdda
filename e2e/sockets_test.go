package e2e

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// socket is a listener of which there may be copies.
type socket interface {
	net.Listener
	File() (*os.File, error)
}

// fileOf is a copy of a socket, which the test closes itself: from now on nobody but l7 accepts.
func fileOf(t *testing.T, l socket) *os.File {
	t.Helper()
	file, err := l.File()
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	require.NoError(t, l.Close())
	return file
}

// TestSocketsByDescriptor has a TCP and a unix socket of systemd go through upgrades, in which the config calls them by descriptor and by address in turn.
func TestSocketsByDescriptor(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	path := filepath.Join(socketFolder(t), "l7.sock")
	tcp := listenTCP(t)
	local, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	local.SetUnlinkOnClose(false)
	address := tcp.Addr().String()
	config := func(listen string) []string {
		return []string{"listen: [" + listen + "]", "backends: {example.com: {servers: [" + server.address + "]}}"}
	}
	byDescriptor := "'127.0.0.1:0', 'fd://3', 'fd://4'"
	l := startDynasty(t, run{config: text(config(byDescriptor)...), sockets: []*os.File{fileOf(t, tcp), fileOf(t, local)}})
	made, err := os.Lstat(path)
	require.NoError(t, err)

	serves := func() {
		t.Helper()
		newClient(t, address).get("http://example.com/").from("a")
		newClient(t, path).get("http://example.com/").from("a")
		now, err := os.Lstat(path)
		require.NoError(t, err)
		assert.True(t, os.SameFile(made, now), "the file of the socket is another one")
	}
	serves()
	n := 0
	for _, listen := range []string{
		byDescriptor, byDescriptor, "'127.0.0.1:0', 'fd://3', 'unix:" + path + "'", "'127.0.0.1:0', '" + address + "', 'unix:" + path + "'", "'127.0.0.1:0', 'fd://4', 'fd://3'", byDescriptor,
	} {
		l.rewrite(config(listen)...)
		l.upgrade()
		n++
		serves()
	}

	// A reload opens none that is not there; neither by the other name.
	last := func(listen string, words ...string) {
		t.Helper()
		l.rewrite(config(listen)...)
		before := len(l.log("cannot reload; the config in force stays"))
		require.NoError(t, syscall.Kill(l.pid(n), syscall.SIGHUP))
		got := l.awaitLog("cannot reload; the config in force stays", before+1).field("error")
		for _, word := range words {
			assert.Contains(t, got, word)
		}
		serves()
	}
	last(byDescriptor+", 'fd://5'", "fd://5", "no socket came as descriptor 5; what came: fd://3 l7.socket ("+address+"), fd://4 l7.socket ("+path+");", ".socket unit")
	last("'fd://4', '"+address+"'", address, "address already in use", "fd://3", "USR2")
	last("'fd://3', 'unix:"+path+"'", path, "fd://4", "USR2")

	assert.NotContains(t, l.stderr.String(), "nothing in the config listens")
	l.stop()
	assert.FileExists(t, path, "a socket of systemd is gone")
}

func TestSocketThatWasNotPassed(t *testing.T) {
	t.Parallel()
	config := text("listen: ['127.0.0.1:0', 'fd://3']", "backends: {a.example: {servers: ['127.0.0.1:1']}}")
	got := program{path: built.l7, args: []string{"--config", writeFile(t, config)}}.run(t)
	assert.Equal(t, 1, got.code)
	for _, word := range []string{"fd://3", "no socket came as descriptor 3", "LISTEN_FDS", ".socket unit"} {
		assert.Contains(t, got.stderr, word)
	}

	// Descriptor 3 is something, but no socket.
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer file.Close()
	l := launchDynasty(t, run{config: config, sockets: []*os.File{file}})
	assert.Equal(t, 1, l.exit())
	assert.Contains(t, l.stderr.String(), "cannot use the inherited descriptor 3")
}

// permissionOf is the mode and the owner of a file.
func permissionOf(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&fs.ModeSocket)
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%o %d:%d", info.Mode().Perm(), stat.Uid, stat.Gid)
}

// TestOwnerAndModeOfASocket: both are there from the first moment, follow a reload and an upgrade, and an owner who is not there is an error.
func TestOwnerAndModeOfASocket(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	path := filepath.Join(socketFolder(t), "l7.sock")
	uid, gid := os.Geteuid(), os.Getegid()
	other := gid
	if uid == 0 {
		other = 54321
	}
	config := func(rest string) []string {
		return []string{"listen: [{address: 'unix:" + path + "'" + rest + "}]", "backends: {example.com: {servers: [" + server.address + "]}}"}
	}
	l := startDynasty(t, run{config: text(config(", mode: '0660', owner: ':" + strconv.Itoa(other) + "'")...)})
	serves := func(want string) {
		t.Helper()
		assert.Equal(t, want, permissionOf(t, path))
		newClient(t, path).get("http://example.com/").from("a")
	}
	serves(fmt.Sprintf("660 %d:%d", uid, other))
	owned := fmt.Sprintf(", owner: '%d:%d'", uid, gid)
	assert.Contains(t, l.reload(config(", mode: '0606'"+owned)...), "listen")
	serves(fmt.Sprintf("606 %d:%d", uid, gid))

	// An owner that is not there changes nothing.
	l.rewrite(config(", mode: '0600', owner: 'no-such-user:no-such-group'")...)
	l.signal(syscall.SIGHUP)
	refused := l.awaitLog("cannot reload; the config in force stays", 1).field("error")
	for _, word := range []string{"l7.yml:1:", "listen[0].owner", "no-such-user"} {
		assert.Contains(t, refused, word)
	}
	serves(fmt.Sprintf("606 %d:%d", uid, gid))

	l.rewrite(config(", mode: '0600'" + owned)...)
	l.upgrade()
	l.awaitLog("drained", 1)
	serves(fmt.Sprintf("600 %d:%d", uid, gid))
	l.stop()
	assert.NoFileExists(t, path)

	for _, owner := range []string{"no-such-user", "root:no-such-group"} {
		got := command(t, "-c", writeFile(t, text(config(", owner: '"+owner+"'")...)))
		assert.Equal(t, 1, got.code)
		assert.Contains(t, got.stderr, "listen[0].owner")
		assert.Contains(t, got.stderr, "no-such-")
		assert.NoFileExists(t, path)
	}
}

// TestFilesOfSockets has somebody remove the file of a socket, and has the config give sockets up and move them: there is a file for each that is
// listened on, and no other.
func TestFilesOfSockets(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	dir := socketFolder(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	config := func(listen, admin string) []string {
		return []string{"listen: [" + listen + "]", "admin: {socket: " + admin + "}", "backends: {example.com: {servers: [" + server.address + "]}}"}
	}
	one, both := "'unix:"+file("one")+"'", "'unix:"+file("one")+"', 'unix:"+file("two")+"'"
	l := startDynasty(t, run{config: text(config(both, file("admin"))...)})
	stands := func(names ...string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		var found []string
		for _, entry := range entries {
			found = append(found, entry.Name())
		}
		require.Equal(t, names, found)
		for _, name := range names {
			if name == "one" || name == "two" {
				newClient(t, file(name)).get("http://example.com/").from("a")
			}
		}
	}
	lose := func() {
		t.Helper()
		require.NoError(t, os.Remove(file("one")))
		require.NoError(t, os.Remove(file("admin")))
	}
	stands("admin", "one", "two")
	lose()
	l.reload(config(both, file("admin"))...)
	stands("admin", "one", "two")
	lose()
	l.upgrade()
	l.awaitLog("drained", 1)
	stands("admin", "one", "two")
	l.rewrite(config(one, file("moved"))...)
	l.upgrade()
	l.awaitLog("drained", 2)
	stands("moved", "one")
	l.stop()
	stands()
}

// TestZones has l7 listen on, and ask, addresses with a zone.
func TestZones(t *testing.T) {
	t.Parallel()
	socket, err := net.Listen("tcp", "[::1%lo]:0")
	if err != nil {
		t.Skip("there is no such address here: ", err)
	}
	hosts := make(chan string, 1000)
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			hosts <- r.Host
		}
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
	})}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(socket) }()
	_, port, err := net.SplitHostPort(socket.Addr().String())
	require.NoError(t, err)

	l := startFile(t, "listen: ['[::1%lo]:0', {address: '[::1%lo]:"+freePort(t)+"', deny: '::1'}]",
		"backends: {example.com: {servers: 'http://[::1%lo]:"+port+"', health: {path: /healthz, interval: 50ms, required: true}}}")
	l.await("a good check", func() bool { return l.get("http://example.com/").StatusCode == http.StatusOK })
	assert.Equal(t, "::1", l.get("http://example.com/").body)
	assert.Equal(t, "[::1]:"+port, <-hosts, "a zone is nobody's matter but ours")
	for _, address := range l.listening(2) {
		if address != l.addr {
			assert.Equal(t, http.StatusForbidden, newClient(t, address).get("http://example.com/").StatusCode)
		}
	}
}
