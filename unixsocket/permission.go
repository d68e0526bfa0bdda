package unixsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Owner is whom the name of a unix socket belongs to.
type Owner struct{ UID, GID int } // -1: as it is

// LookUpOwner reads USER, USER:GROUP or :GROUP, each by name or by number.
func LookUpOwner(text string) (*Owner, error) {
	name, group, _ := strings.Cut(text, ":")
	owner := &Owner{-1, -1}
	var err error
	if name != "" {
		if owner.UID, err = userID(name); err != nil {
			return nil, err
		}
	}
	if group != "" {
		if owner.GID, err = groupID(group); err != nil {
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

// Permission is who may connect to a socket, by its name.
type Permission struct {
	Mode  fs.FileMode // 0: as it is, which for a new one is what the umask leaves
	Owner *Owner      // nil: as it is, which for a new one is this process's
}

// Apply gives a name its owner and mode, as far as there are any. undo takes that back. A name that is no socket's any more is left alone: nobody
// comes in by it.
func (p Permission) Apply(path string) (undo func(), err error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSocket == 0 || p == (Permission{}) {
		return func() {}, nil
	}
	before := permission{info.Mode().Perm(), ownerOf(info)}
	after := before
	if p.Mode != 0 {
		after.mode = p.Mode
	}
	if p.Owner != nil {
		after.owner = p.Owner.or(before.owner)
	}
	undo = func() { _ = after.change(path, before) } // it was so a moment ago
	if err := before.change(path, after); err != nil {
		undo()
		return nil, err
	}
	return undo, nil
}

// permission is a Permission that leaves nothing as it is.
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
		if err := chmod(path, p.mode&to.mode); err != nil {
			return err
		}
		if err := to.owner.unlike(p.owner).give(path); err != nil {
			return err
		}
	}
	return chmod(path, to.mode)
}

func chmod(path string, mode fs.FileMode) error {
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("cannot set its mode (listen.mode): %w", plain(err))
	}
	return nil
}

// give makes a socket an owner's.
func (o Owner) give(path string) error {
	err := plain(os.Lchown(path, o.UID, o.GID))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot give it to %s (listen.owner): %w; to another user takes root or CAP_CHOWN, to another group a member of it", o, err)
	}
	return fmt.Errorf("cannot give it to %s (listen.owner): %w", o, err)
}

// plain is an error without the path, which whoever asked for it knows.
func plain(err error) error {
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// String is the owner as LookUpOwner reads it, by names where there are any.
func (o Owner) String() string {
	name, group := strconv.Itoa(o.UID), strconv.Itoa(o.GID)
	if found, err := user.LookupId(name); err == nil {
		name = found.Username
	}
	if found, err := user.LookupGroupId(group); err == nil {
		group = found.Name
	}
	switch {
	case o.GID < 0:
		return name
	case o.UID < 0:
		return ":" + group
	}
	return name + ":" + group
}

// unlike is an owner less what another one has as well.
func (o Owner) unlike(other Owner) Owner {
	if o.UID == other.UID {
		o.UID = -1
	}
	if o.GID == other.GID {
		o.GID = -1
	}
	return o
}

// or fills what an owner leaves as it is.
func (o Owner) or(other Owner) Owner {
	if o.UID < 0 {
		o.UID = other.UID
	}
	if o.GID < 0 {
		o.GID = other.GID
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
