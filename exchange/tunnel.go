package exchange

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"l7/socket"
)

// Tunnel passes bytes both ways on an upgraded connection, until both sides have ended, one of them fails, or both have
// been silent for the tunnel timeout. head is the 101 response to write first; early are bytes that the client has
// sent already. It returns how many bytes went to the client and to the server.
func (x *Exchange) Tunnel(head, early []byte) (toClient, toServer int64) {
	x.watch.stop(x) // the client is read from now on
	client := x.Client.Conn()
	if err := client.Write(append(head, x.source.Ahead()...), x.Timeouts.Write); err != nil {
		return 0, 0
	}
	toClient = int64(len(x.source.Ahead()))
	if len(early) > 0 {
		if err := x.conn.Write(early, x.Timeouts.Write); err != nil {
			return toClient, 0
		}
		toServer = int64(len(early))
	}
	x.source.Release()
	x.freeBuffer() // a tunnel can be silent for long
	var last atomic.Int64
	last.Store(int64(time.Since(epoch)))
	var ends atomic.Int32
	up := lane{src: client, dst: x.conn.Conn, x: x, last: &last, ends: &ends}
	down := lane{src: x.conn.Conn, dst: client, x: x, last: &last, ends: &ends}
	ended := make(chan struct{})
	go func() {
		up.run()
		close(ended)
	}()
	down.run()
	<-ended
	return toClient + down.bytes, toServer + up.bytes
}

// epoch is what times that several goroutines look at count from.
var epoch = time.Now()

// lane is one direction of a tunnel.
type lane struct {
	src, dst *socket.Conn
	x        *Exchange
	last     *atomic.Int64 // when a byte last went either way
	ends     *atomic.Int32 // how many directions have ended in order
	bytes    int64
}

// run copies until the source ends, which is passed on as a half-close, or something fails, which ends both directions.
// A source that has ended is watched on: when it is gone altogether the other direction leads nowhere, and may be silent for long. When both
// directions have ended nothing is left to watch, and under TLS nobody would tell: its end is no end of the socket.
func (l *lane) run() {
	err := l.copy()
	if errors.Is(err, io.EOF) && l.dst.CloseWrite() == nil && l.ends.Add(1) < 2 {
		if !l.src.CanWatch() {
			return
		}
		l.src.Watch()
	}
	l.src.Interrupt()
	l.dst.Interrupt()
	_ = l.src.Close() // both are at their end
	_ = l.dst.Close()
}

func (l *lane) copy() error {
	pool := l.x.server.pools.head
	for {
		b, n, err := l.src.Receive(pool, l.x.Timeouts.Tunnel)
		if socket.IsTimeout(err) && !l.src.Interrupted() && l.busyElsewhere() {
			continue
		}
		if err != nil {
			return err
		}
		l.last.Store(int64(time.Since(epoch)))
		l.bytes += int64(n)
		err = l.dst.Write(b.Bytes()[:n], l.x.Timeouts.Write)
		pool.Put(b)
		if err != nil {
			return err
		}
	}
}

// busyElsewhere is true when the other direction has been used within the tunnel timeout.
func (l *lane) busyElsewhere() bool {
	return time.Since(epoch)-time.Duration(l.last.Load()) < l.x.Timeouts.Tunnel
}
