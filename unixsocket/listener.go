package unixsocket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"sync/atomic"
)

// Listener is a listening socket with its name, which goes with it when it is closed, unless SetUnlinkOnClose says otherwise or the name has come to lead
// to another process.
type Listener struct {
	*net.UnixListener
	made   fs.FileInfo
	unlink atomic.Bool
}

func newListener(l *net.UnixListener, made fs.FileInfo) *Listener {
	own := &Listener{UnixListener: l, made: made}
	own.unlink.Store(true)
	return own
}

// Lost is true when the name does not lead to the socket any more: somebody has removed it, and another may have it. Other files never have the
// same number: the system keeps that while the socket is open.
func (l *Listener) Lost() bool {
	found, err := os.Lstat(l.Addr().String())
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(found, l.made)
}

// SetUnlinkOnClose says whether the name goes with the socket.
func (l *Listener) SetUnlinkOnClose(unlink bool) { l.unlink.Store(unlink) }

// Close implements net.Listener.
func (l *Listener) Close() error {
	if l.unlink.Swap(false) && !l.Lost() {
		_ = os.Remove(l.Addr().String()) // somebody else's next start finds it stale
	}
	return l.UnixListener.Close()
}
