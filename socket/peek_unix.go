//go:build unix

package socket

// presence is what a peek at a socket finds.
type presence uint8

const (
	silent  presence = iota // nothing to read
	waiting                 // bytes to read
	ended                   // closed or broken
)

// Stale is true when there is anything to read on a connection that should be silent: bytes, or its end. Such a
// connection is good for Close alone: the look may have taken its error. Nobody may read meanwhile.
// A connection that cannot be looked at (a test's pipe) is taken as it is.
func (c *Conn) Stale() bool {
	if c.base == nil {
		return false
	}
	c.found = ended // for a connection that we have closed
	_ = c.base.Control(c.look)
	return c.found != silent || c.raw == nil && c.holds()
}

// holds is true when what is on top of the socket (TLS) has taken bytes from it that nobody has asked it for yet. It is asked for one at a
// time that has passed, so that it cannot wait for more.
func (c *Conn) holds() (does bool) {
	c.readBy.passed(func() {
		var one [1]byte
		n, err := c.nc.Read(one[:])
		does = n > 0 || !IsTimeout(err)
	})
	return does
}
