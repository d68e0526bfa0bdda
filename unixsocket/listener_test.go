package unixsocket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func requireServed(t *testing.T, path string) {
	t.Helper()
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

// A process that ended took the name of another one with it, which had come after somebody had cleaned up. That a reload might have changed the other's
// owner and mode is the same matter.
func TestNameOfAnotherStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := Listen(path, Permission{})
	require.NoError(t, err)
	require.False(t, first.Lost())
	require.NoError(t, os.Remove(path))
	require.True(t, first.Lost())
	for range 20 { // a file system gives the number of a removed file to the next
		other, err := Listen(path, Permission{})
		require.NoError(t, err)
		require.True(t, first.Lost())
		require.NoError(t, other.Close())
		require.NoFileExists(t, path)
	}
	second, err := Listen(path, Permission{})
	require.NoError(t, err)
	defer second.Close()
	require.NoError(t, first.Close())
	requireServed(t, path)
}

// Of several processes that find the same stale socket, one gets its place, and nobody removes that one's.
func TestStaleSocketForSeveral(t *testing.T) {
	for range 50 {
		path := filepath.Join(t.TempDir(), "s")
		stale, err := Listen(path, Permission{})
		require.NoError(t, err)
		stale.SetUnlinkOnClose(false)
		require.NoError(t, stale.Close())
		var won []net.Listener
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				l, err := Listen(path, Permission{})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, l)
				} else if !errors.Is(err, ErrInUse) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.Len(t, won, 1, "so many of 4 have the socket")
		requireServed(t, path)
		require.NoError(t, won[0].Close())
		require.NoFileExists(t, path)
	}
}
