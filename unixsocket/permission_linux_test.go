package unixsocket

import (
	"errors"
	"os/user"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// withoutChown calls f on a thread that may give no file away.
func withoutChown(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
		err := unix.Capget(&header, &data[0])
		data[0].Effective &^= 1 << unix.CAP_CHOWN
		done <- errors.Join(err, unix.Capset(&header, &data[0]), f())
	}()
	return <-done
}

// The error was the system's, which names neither the owner nor what is missing.
func TestOwnerThatCannotBeGiven(t *testing.T) {
	f := func(owner Owner, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "s")
		err := withoutChown(t, func() error {
			_, err := Listen(path, Permission{Owner: &owner})
			return err
		})
		require.EqualError(t, err, "cannot give it to "+want+" (listen.owner): operation not permitted; "+
			"to another user takes root or CAP_CHOWN, to another group a member of it")
		require.ErrorIs(t, err, unix.EPERM)
		require.NoFileExists(t, path)
	}
	daemon, err := user.LookupId("1")
	require.NoError(t, err)
	f(Owner{1, -1}, daemon.Username)
	f(Owner{54321, -1}, "54321")
	f(Owner{-1, 54321}, ":54321")
	f(Owner{1, 54321}, daemon.Username+":54321")
}
