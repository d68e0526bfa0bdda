// Package unixsocket opens unix sockets by their names in the file system: nobody can connect before a name has the owner and the mode that it is to
// have, whatever the umask is, and the name of a socket that a living process listens on is never taken.
//
// The name goes with the socket, as long as it leads there. Whether it is to go at all, which another process may have to say, is its user's business.
package unixsocket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse is part of the error for a name that somebody listens on.
var ErrInUse = errors.New("another process listens on it")

// Listen opens a socket, in the place of a stale one.
func Listen(path string, p Permission) (*Listener, error) {
	defer Lock(filepath.Dir(path))()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	file, err := boundTo(path, p.Mode)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the listener has a copy of its own
	l, err := p.listenOn(file, path)
	if err != nil {
		_ = os.Remove(path) // it was made just now
		return nil, err
	}
	return l, nil
}

// boundTo makes a socket that has a name, and listens not yet. The name comes into being with the mode that the socket has then (unix(7)), less the
// umask; systems other than Linux may refuse to set one there.
func boundTo(path string, mode fs.FileMode) (*os.File, error) {
	syscall.ForkLock.RLock() // or a process that is started now could keep it
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), path)
	if mode != 0 {
		_ = unix.Fchmod(fd, uint32(mode))
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = file.Close() // nothing was done with it
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the folder %s does not exist", filepath.Dir(path))
		}
		return nil, os.NewSyscallError("bind", err)
	}
	return file, nil
}

// backlog is beyond what any system allows, which cuts it to its own limit, as net.Listen would ask for.
const backlog = 1<<16 - 1

func (p Permission) listenOn(file *os.File, path string) (*Listener, error) {
	if _, err := p.Apply(path); err != nil {
		return nil, err
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Listen(int(file.Fd()), backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return newListener(l.(*net.UnixListener), made), nil
}

// removeStale removes the name of a socket that no process listens on any more.
func removeStale(path string) error {
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case found.Mode()&fs.ModeSocket == 0:
		return errors.New("a file that is not a socket has this name")
	}
	if err := CheckFree(path); err != nil {
		return err
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) { // it may have gone meanwhile
		return err
	}
	return nil
}

// CheckFree connects to a socket to see whether somebody listens on it, for a second at most. The error is ErrInUse; it is nil where nobody does.
// One that is too busy to answer, or is not for us to connect to, is listened on as far as can be told.
func CheckFree(path string) error {
	dialer := net.Dialer{Timeout: time.Second}
	c, err := dialer.DialContext(context.Background(), "unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("%w, as far as can be told: %w", ErrInUse, err)
}
