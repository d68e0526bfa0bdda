package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"l7/admin/api"
	"l7/unixsocket"
)

// listenSocket opens the admin socket, for this user alone: at the path, or beside it as admin-PID.sock where the path
// is held by a living process.
func listenSocket(path string) (net.Listener, error) {
	if err := makeParent(filepath.Dir(path)); err != nil {
		return nil, err
	}
	removeDead(path)
	private := unixsocket.Permission{Mode: 0o600}
	listener, err := unixsocket.Listen(path, private)
	if errors.Is(err, unixsocket.ErrInUse) {
		listener, err = unixsocket.Listen(beside(path), private)
	}
	if err != nil {
		return nil, err
	}
	return listener, nil
}

// beside is the path with the process in its name.
func beside(path string) string {
	extension := filepath.Ext(path)
	return strings.TrimSuffix(path, extension) + "-" + strconv.Itoa(os.Getpid()) + extension
}

// removeDead removes the sockets beside a path whose processes have gone without.
func removeDead(path string) {
	defer unixsocket.Lock(filepath.Dir(path))()
	extension := filepath.Ext(path)
	prefix := strings.TrimSuffix(path, extension) + "-"
	names, _ := filepath.Glob(prefix + "*" + extension) // a path that is no pattern keeps what is there
	for _, name := range names {
		pid, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(name, prefix), extension))
		if err != nil || pid <= 0 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		info, err := os.Lstat(name)
		if err == nil && info.Mode()&fs.ModeSocket != 0 && unixsocket.CheckFree(name) == nil { // it may be in use in another container
			_ = os.Remove(name) // the next one tries again
		}
	}
}

// makeParent makes the directory of a socket, and refuses one where somebody else could put another socket in our place: under
// /tmp, anybody may have been there before. The directory of root's own socket is open to be looked at, as all in /run.
func makeParent(directory string) error {
	mode := fs.FileMode(0o700)
	if directory == filepath.Dir(api.DefaultSocket(0, os.Getenv)) && os.Geteuid() == 0 {
		mode = 0o755
	}
	if err := os.MkdirAll(directory, mode); err != nil {
		return err
	}
	info, err := os.Stat(directory)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && foreign(int(stat.Uid), os.Geteuid()) {
		return fmt.Errorf("its directory belongs to user %d, who could put another socket there", stat.Uid)
	}
	return nil
}

// foreign is true for an owner of whom a user has to beware. root may use whatever directory it is told to.
func foreign(owner, user int) bool { return user != 0 && owner != 0 && owner != user }
