package unixsocket

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// lockWait is how long to wait for others who look for stale names. One look takes a second at most.
const lockWait = 5 * time.Second

// Lock keeps other processes from looking for stale names in a directory, until unlock is called. Nobody answers at a socket between bind and listen:
// without the lock, two processes that start at the same time could take each other's for stale. It is a courtesy and no guard. There is none where a
// file system has no such locks, or the directory is not for us to read; and since whoever may read it may hold the lock, the wait has a bound.
func Lock(directory string) (unlock func()) {
	file, err := os.Open(directory)
	if err != nil {
		return func() {}
	}
	for deadline := time.Now().Add(lockWait); time.Now().Before(deadline); {
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		time.Sleep(10 * time.Millisecond) // a lock that has a bound cannot be waited for otherwise
	}
	return func() { _ = file.Close() }
}
