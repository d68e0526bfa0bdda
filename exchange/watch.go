package exchange

// watch notices that the client has reset its connection while nothing is read from it. A goroutine does, since
// only somebody who waits on a socket is told; it is started when an answer takes long.
type watch struct {
	running bool
	done    chan struct{} // one token from each goroutine
}

func (w *watch) start(x *Exchange) {
	if w.running {
		return
	}
	if w.done == nil {
		w.done = make(chan struct{}, 1)
	}
	w.running = true
	server, client := x.conn, x.Client.Conn()
	go func() {
		if client.Watch() {
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
	client.Interrupt()
	<-w.done
	w.running = false
	client.Resume()
}
