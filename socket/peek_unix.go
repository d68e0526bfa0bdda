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
// connection is good for Close alone: the look may have taken its error. Nobody may read or write meanwhile.
// A connection that cannot be looked at (a test's pipe) is taken as it is. Of TLS only what is meant for the reader counts: a server may
// send tickets whenever it likes, and does so behind the handshake.
func (c *Conn) Stale() bool {
	if c.base == nil {
		return false
	}
	c.found = ended // for a connection that we have closed
	_ = c.base.Control(c.look)
	switch {
	case c.under == nil || c.found == ended:
		return c.found != silent
	case c.found == silent && !c.filled && c.under.isTaken():
		return false
	}
	return c.holds()
}

// holds is true when there is something for the reader in what has come for the TLS on top of the socket, or its end. Half a record may be
// the next half of a ticket on a connection that nothing has been read from yet; behind a response it is something that nobody asked for.
func (c *Conn) holds() bool {
	c.writeBy.disarm() // TLS may have to answer, and a deadline of long ago would end it
	c.under.hasty = true
	var one [1]byte
	n, err := c.nc.Read(one[:])
	c.under.hasty = false
	c.filled = n > 0 || !IsTimeout(err) // there may be more
	return c.filled || c.heard && c.under.inRecord()
}
