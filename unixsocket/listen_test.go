package unixsocket

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode().Perm()
}

// There is no moment at which others could connect, whatever the umask is.
func TestNobodyIsLetInBetween(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	file, err := boundTo(path, 0o600)
	require.NoError(t, err)
	defer file.Close()
	require.Equal(t, fs.FileMode(0o600), modeOf(t, path))
	_, err = net.Dial("unix", path)
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "it listens before its name has its owner")
}

// A process that is too busy to answer, or that does not let us in, still listens: its socket was once taken for stale, and removed.
func TestBusySocketIsNotStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	file, err := boundTo(path, 0)
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
	_, err = Listen(path, Permission{})
	require.ErrorIs(t, err, ErrInUse)
	require.FileExists(t, path)
}

// What is there and is no stale socket is never removed.
func TestListenTakesNoName(t *testing.T) {
	dir := t.TempDir()
	path, file, gone := filepath.Join(dir, "s"), filepath.Join(dir, "file"), filepath.Join(dir, "gone")
	first, err := Listen(path, Permission{Mode: 0o640})
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), modeOf(t, path))
	_, err = Listen(path, Permission{})
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorIs(t, CheckFree(path), ErrInUse)
	require.NoError(t, CheckFree(gone))
	_, err = Listen(filepath.Join(gone, "s"), Permission{})
	require.EqualError(t, err, "the folder "+gone+" does not exist")

	require.NoError(t, os.WriteFile(file, []byte("kept"), 0o600))
	_, err = Listen(file, Permission{})
	require.ErrorContains(t, err, "not a socket")
	require.FileExists(t, file)

	first.SetUnlinkOnClose(false)
	require.NoError(t, first.Close())
	require.FileExists(t, path)
	require.NoError(t, CheckFree(path))
	second, err := Listen(path, Permission{Mode: 0o600})
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), modeOf(t, path))
	require.NoError(t, second.Close())
	require.NoFileExists(t, path)
}
