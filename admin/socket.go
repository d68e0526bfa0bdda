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
	"time"

	"l7/admin/api"
	"l7/unixsocket"
)

// lockWait is how long to wait for others who look for stale sockets. One look takes a second at most.
const lockWait = 5 * time.Second

// socketFile is the name in the file system of a unix socket.
type socketFile struct {
	path    string
	made    fs.FileInfo
	foreign bool // made by somebody else, who keeps it
}

// ours is true while the name still leads to our socket. A file system may give the inode of a removed file to the next, but not
// its time as well.
func (f *socketFile) ours() bool {
	found, err := os.Lstat(f.path)
	return err == nil && os.SameFile(found, f.made) && found.ModTime().Equal(f.made.ModTime())
}

func (f *socketFile) remove() {
	if !f.foreign && f.ours() {
		_ = os.Remove(f.path) // somebody else's next start finds it stale
	}
}

// listenSocket opens the admin socket, for this user alone: at the path, or beside it as admin-PID.sock where the path
// is held by a living process.
func listenSocket(path string) (net.Listener, *socketFile, error) {
	if err := makeParent(filepath.Dir(path)); err != nil {
		return nil, nil, err
	}
	listener, file, err := listenUnix(path, true)
	if errors.Is(err, unixsocket.ErrInUse) {
		return listenUnix(beside(path), true)
	}
	return listener, file, err
}

// beside is the path with the process in its name.
func beside(path string) string {
	extension := filepath.Ext(path)
	return strings.TrimSuffix(path, extension) + "-" + strconv.Itoa(os.Getpid()) + extension
}

// removeDead removes the sockets beside a path whose processes have gone without. The lock of the directory must be held.
func removeDead(path string) {
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

// listenUnix opens a unix socket, in the place of a stale one. A private one has mode 0600. Its file outlives the listener: the name may lead to
// another process by then.
func listenUnix(path string, private bool) (net.Listener, *socketFile, error) {
	unlock, err := lock(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	permission := unixsocket.Permission{}
	if private {
		permission.Mode = 0o600
		removeDead(path)
	}
	listener, err := unixsocket.Listen(path, permission)
	if err != nil {
		return nil, nil, err
	}
	listener.SetUnlinkOnClose(false)
	made, err := os.Lstat(path)
	if err != nil {
		_ = listener.Close()
		return nil, nil, err
	}
	return listener, &socketFile{path: path, made: made}, nil
}

// lock keeps other processes from looking for stale sockets in a directory, until unlock is called. Nobody answers at a
// socket between bind and listen: without the lock, two processes that start at the same time could take each other's for stale. Where
// a file system has no such locks there is none. Whoever may read the directory may hold the lock, so the wait has a bound.
func lock(directory string) (unlock func(), err error) {
	file, err := os.Open(directory)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockWait)
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return func() { _ = file.Close() }, nil
		}
		if time.Now().After(deadline) {
			_ = file.Close()
			return nil, fmt.Errorf("its directory is locked by another process for more than %v", lockWait)
		}
		time.Sleep(10 * time.Millisecond) // a lock that has a bound cannot be waited for otherwise
	}
}
