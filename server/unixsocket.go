package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Owner is whom the file of a unix socket belongs to.
type Owner struct{ uid, gid int } // -1: as it is

// LookUpOwner reads USER, USER:GROUP or :GROUP, each by name or by number.
func LookUpOwner(text string) (*Owner, error) {
	name, group, _ := strings.Cut(text, ":")
	owner := &Owner{-1, -1}
	var err error
	if name != "" {
		if owner.uid, err = userID(name); err != nil {
			return nil, err
		}
	}
	if group != "" {
		if owner.gid, err = groupID(group); err != nil {
			return nil, err
		}
	}
	return owner, nil
}

func userID(name string) (int, error) {
	if found, err := user.Lookup(name); err == nil {
		name = found.Uid
	}
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	return 0, fmt.Errorf("there is no user %q on this machine", name)
}

func groupID(name string) (int, error) {
	if found, err := user.LookupGroup(name); err == nil {
		name = found.Gid
	}
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	return 0, fmt.Errorf("there is no group %q on this machine", name)
}

// listenUnix opens a unix socket. It listens only when its file is for those whom it is to be for: between bind and chmod
// it is for whom the umask leaves it, and nobody may come in meanwhile.
func listenUnix(w Listen) (net.Listener, error) {
	path := w.Address.Addr
	if err := removeStale(path); err != nil {
		return nil, err
	}
	file, err := boundTo(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the listener has a copy of its own
	l, err := w.listenOn(file)
	if err != nil {
		_ = os.Remove(path) // it was made just now
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(true) // as with one of net.Listen
	return l, nil
}

// boundTo makes a unix socket that has a path, and listens not yet.
func boundTo(path string) (*os.File, error) {
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
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = file.Close() // nothing was done with it
		return nil, os.NewSyscallError("bind", err)
	}
	return file, nil
}

// backlog is beyond what any system allows, which cuts it to its own limit, as net.Listen would ask for.
const backlog = 1<<16 - 1

func (w *Listen) listenOn(file *os.File) (net.Listener, error) {
	if _, err := w.permit(); err != nil {
		return nil, err
	}
	if err := unix.Listen(int(file.Fd()), backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	return net.FileListener(file)
}

// permit gives the file of a unix socket its owner and mode, as far as the config has them. undo takes that back. A path that is no socket
// any more is left alone: nobody comes in by it.
func (w *Listen) permit() (undo func(), err error) {
	path := w.Address.Addr
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSocket == 0 || w.Mode == 0 && w.Owner == nil {
		return func() {}, nil
	}
	before := permission{info.Mode().Perm(), ownerOf(info)}
	after := before
	if w.Mode != 0 {
		after.mode = fs.FileMode(w.Mode)
	}
	if w.Owner != nil {
		after.owner = w.Owner.or(before.owner)
	}
	undo = func() { _ = after.change(path, before) } // it was so a moment ago
	if err := before.change(path, after); err != nil {
		undo()
		return nil, fmt.Errorf("%w (listen.mode and listen.owner)", err)
	}
	return undo, nil
}

// permission is who may open a file.
type permission struct {
	mode  fs.FileMode
	owner Owner
}

// change makes another permission of one. In between, nobody is let in who has no right both before and after.
func (p permission) change(path string, to permission) error {
	if p == to {
		return nil
	}
	if p.owner != to.owner {
		if err := os.Chmod(path, p.mode&to.mode); err != nil {
			return err
		}
		if err := os.Lchown(path, to.owner.uid, to.owner.gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, to.mode)
}

// or fills what an owner leaves as it is.
func (o Owner) or(other Owner) Owner {
	if o.uid < 0 {
		o.uid = other.uid
	}
	if o.gid < 0 {
		o.gid = other.gid
	}
	return o
}

func ownerOf(info fs.FileInfo) Owner {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Owner{-1, -1}
	}
	return Owner{int(stat.Uid), int(stat.Gid)}
}

// foreign is a socket whose file is somebody else's to keep.
type foreign interface{ Foreign() bool }

// permitAll gives the unix sockets of an Opening their owners and modes, those that were open before too. On error all are as they were.
func (o *Opening) permitAll() (problems []error) {
	var undone []func()
	for i := range o.want {
		w := &o.want[i]
		f, ok := o.next[w.Address].Listener.(foreign)
		if w.Address.Network != "unix" || ok && f.Foreign() {
			continue
		}
		undo, err := w.permit()
		if err != nil {
			problems = append(problems, fmt.Errorf("cannot listen on %q: %w", w.Address, err))
			continue
		}
		undone = append(undone, undo)
	}
	if len(problems) > 0 {
		for _, undo := range undone {
			undo()
		}
	}
	return problems
}

// errInUse is of a path that somebody listens on.
var errInUse = errors.New("another process listens on it")

// removeStale removes a socket that no process listens on any more.
func removeStale(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("a file that is not a socket has this name")
	}
	dialer := net.Dialer{Timeout: time.Second}
	c, err := dialer.DialContext(context.Background(), "unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return errInUse
	case !errors.Is(err, syscall.ECONNREFUSED): // a process may be too busy, or not for us to connect to
		return fmt.Errorf("it cannot be told whether another process listens on it: %w", err)
	}
	return os.Remove(path)
}
