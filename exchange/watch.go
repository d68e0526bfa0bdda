package exchange

import "sync/atomic"

// watch notices that the client's connection has been reset, or closed by our own side, while nothing is read from it. A goroutine
// does, since only somebody who waits on a socket is told; it is started when an answer takes long.
type watch struct {
	running  bool
	stopping atomic.Bool   // the goroutine is to end: nothing has happened to the client
	done     chan struct{} // one token from each goroutine
}

// start begins to watch, where the client's connection allows it.
func (w *watch) start(x *Exchange) {
	server, client := x.conn, x.Client.Conn()
	if w.running || !client.CanWatch() {
		return
	}
	if w.done == nil {
		w.done = make(chan struct{}, 1)
	}
	w.running = true
	w.stopping.Store(false)
	go func() {
		if client.Watch() || !w.stopping.Load() {
			x.gone.Store(true)
			server.Interrupt()
		}
		w.done <- struct{}{}
	}()
}

// stop ends the watching; after it the client may be read again.
func (w *watch) stop(x *Exchange) {
	if !w.running {
		return
	}
	client := x.Client.Conn()
	w.stopping.Store(true)
	client.Interrupt()
	<-w.done
	w.running = false
	client.Resume()
}
