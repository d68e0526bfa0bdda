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
// A connection that cannot be looked at (TLS) is taken as it is.
func (c *Conn) Stale() bool {
	if c.raw == nil {
		return false
	}
	c.found = ended // for a connection that we have closed
	_ = c.raw.Control(c.look)
	return c.found != silent
}
