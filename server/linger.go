package server

import "time"

// Bounds of a lingering close.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 1 << 20
)

// lingerClose ends the connection. Where the client may still be sending it is read on for a while and what comes thrown away:
// to close at once would have the system answer with a reset, which can take the response from a client that has not
// read it yet (RFC 9112 section 9.6).
func (c *conn) lingerClose(sending bool) {
	if !sending || c.sock.CloseWrite() != nil {
		return // fasthttp closes it
	}
	start := c.listener.server.now()
	pool := c.listener.server.pools.Head()
	for total := 0; total < lingerBytes; {
		left := lingerTime - (c.listener.server.now() - start)
		if left <= 0 {
			return
		}
		b, n, err := c.sock.Receive(pool, left)
		if err != nil {
			return
		}
		pool.Put(b)
		total += n
	}
}
