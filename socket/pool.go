package socket

import (
	"sync"
	"time"
)

// Headroom is kept free in front of what is read into a Buffer, for a head that is put before a body.
const Headroom = 1 << 10

// Buffer is memory to read into, from a Pool.
type Buffer struct {
	data []byte
}

// NewBuffer returns a buffer that takes size bytes, for the rare case that is larger than a pool's.
func NewBuffer(size int) *Buffer { return &Buffer{data: make([]byte, Headroom+size)} }

// Bytes is the part that is read into.
func (b *Buffer) Bytes() []byte { return b.data[Headroom:] }

// All is the buffer with its headroom.
func (b *Buffer) All() []byte { return b.data }

// Pool hands out buffers of one size. All methods may be called at the same time from several goroutines.
type Pool struct {
	pool sync.Pool
	size int
}

// NewPool returns a pool of buffers that take size bytes.
func NewPool(size int) *Pool { return &Pool{size: size} }

// Size is how many bytes its buffers take.
func (p *Pool) Size() int { return p.size }

// Get returns a buffer with anything in it.
func (p *Pool) Get() *Buffer {
	if b, ok := p.pool.Get().(*Buffer); ok {
		return b
	}
	return NewBuffer(p.size)
}

// Put takes a buffer back. nil, and one of another size, is left to the garbage collector.
func (p *Pool) Put(b *Buffer) {
	if b != nil && len(b.data) == Headroom+p.size {
		p.pool.Put(b)
	}
}

// Receive reads what has arrived into a buffer of the pool, and holds none while it waits: a silent connection costs no
// buffer. The caller puts the buffer back; it is nil on error. limit is as for Read.
func (c *Conn) Receive(pool *Pool, limit time.Duration) (*Buffer, int, error) {
	c.readBy.arm(limit)
	return c.receive(pool)
}

// receivePlain reads through the net.Conn, which waits with a buffer in hand.
func (c *Conn) receivePlain(pool *Pool) (*Buffer, int, error) {
	b := pool.Get()
	n, err := c.readPlain(b.Bytes())
	if err != nil {
		pool.Put(b)
		return nil, 0, err
	}
	return b, n, nil
}
