package server

import (
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"l7/accesslog"
	"l7/balancer"
	"l7/cause"
	"l7/exchange"
	"l7/http1"
	"l7/socket"
)

// maxHost is the longest host in normal form.
const maxHost = 256

// session is all that serving a connection takes. It belongs to the connection while it is busy, and to a pool after.
type session struct {
	server   *Server
	shard    uint // what its requests are counted in
	conn     *conn
	snapshot *Snapshot
	request  *balancer.Request
	exchange *exchange.Exchange // the request's

	in     *socket.Buffer // holds unread
	unread []byte         // received and not understood yet
	req    http1.Request
	body   exchange.Source
	out    []byte // the head for the server, with the start of the body
	head   []byte // the head for the client
	host   [maxHost]byte
	id     []byte // the request id, where one is wanted
	cookie string // the line that makes the client stick to its server, where it has to be told

	answered  bool // something of the response has been written
	continued bool // 100 (Continue) has been sent
	login     string
	record    record
	entry     accesslog.Entry // of the request that is logged just now
}

func newSession(s *Server) *session {
	ss := &session{server: s, shard: uint(s.shards.Add(1))}
	ss.renew()
	return ss
}

// renew makes the request and its exchange anew.
func (ss *session) renew() {
	ss.exchange = exchange.New()
	ss.request = balancer.NewRequest(ss.exchange)
	ss.request.Shard = ss.shard
}

// serveConn is what fasthttp calls for each connection that it takes on; see preface. A session is fetched when there is something
// to do: one that waits would be memory for every connection that may never send again.
func (s *Server) serveConn(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	c := ctx.Conn().(*conn)
	if !c.enter() {
		return
	}
	for open := true; open; {
		b, n, ok := c.receive()
		if !ok {
			return
		}
		ss := s.sessions.Get().(*session)
		ss.conn, ss.in, ss.unread = c, b, b.Bytes()[:n]
		open = ss.serve()
		ss.free()
		s.sessions.Put(ss)
	}
}

func (ss *session) free() {
	ss.release()
	ss.conn, ss.snapshot, ss.record.backend = nil, nil, nil // what a reload wants to let go
}

// release gives back what held the last request.
func (ss *session) release() {
	ss.server.pools.Head().Put(ss.in)
	ss.in, ss.unread = nil, nil
	ss.body.Release()
}

// serve answers what has been received, one request after another. It is false when the connection has ended.
func (ss *session) serve() bool {
	c := ss.conn
	for len(ss.unread) > 0 {
		ss.snapshot = ss.server.snapshot.Load()
		if !ss.one() {
			c.lingerClose(ss.maySend())
			return false
		}
		ss.keepUnread()
	}
	return true
}

// maySend is true when the client may still be sending on a connection that ends: the rest of a body, or a further request, which
// only a client that has said close will not.
func (ss *session) maySend() bool {
	return len(ss.body.Ahead()) > 0 || !ss.body.Done() || ss.req.Persistent()
}

// keepUnread makes what came behind a request the start of the next.
func (ss *session) keepUnread() {
	ss.unread = ss.body.Ahead()
	if len(ss.unread) == 0 {
		ss.release()
		return
	}
	if b := ss.body.Adopt(); b != nil {
		ss.in, b = b, ss.in
		ss.server.pools.Head().Put(b)
	}
}

// one answers one request. It is false when the connection is of no further use.
func (ss *session) one() (keep bool) {
	defer ss.recovered(&keep)
	ss.answered, ss.continued, ss.login, ss.id, ss.cookie = false, false, "", ss.id[:0], ""
	ss.req.Reset()
	ss.request.Reset()
	ss.record = record{told: true} // nothing has been asked yet
	n, err := ss.readHead()
	if err == io.EOF { //nolint:errorlint // as the socket returns it
		ss.unread = nil
		return false
	}
	ss.record = record{began: ss.server.now()}
	ss.startBody(n, err == nil)
	if err != nil {
		keep = ss.unreadable(err)
	} else {
		keep = ss.handle()
	}
	ss.tell()
	return keep
}

// recovered answers for a fault of ours.
func (ss *session) recovered(keep *bool) {
	fault := recover()
	if fault == nil {
		return
	}
	*keep = false
	broken := ss.exchange
	ss.renew() // the old one is in an unknown state
	defer broken.Abort()
	if ss.answered {
		_ = ss.conn.sock.Reset() // what the client has got must not look like the whole
	}
	ss.fail(cause.Internal, fmt.Errorf("panic: %v\n%s", fault, debug.Stack()))
	if !ss.record.told {
		ss.tell()
	}
}

// readHead reads a request's head and returns its length.
func (ss *session) readHead() (int, error) {
	var started time.Duration
	for {
		n, err := ss.req.Parse(ss.unread, ss.snapshot.limits)
		if n > 0 || err != nil {
			return n, err
		}
		if started == 0 {
			started = ss.server.now()
		}
		if err := ss.readMore(started); err != nil {
			return 0, err
		}
	}
}

// readMore appends to what has been received of a head. The time for it counts from its first byte.
func (ss *session) readMore(started time.Duration) error {
	ss.makeRoom()
	limit := ss.snapshot.timeouts.Header
	if limit > 0 {
		limit = max(limit-(ss.server.now()-started), time.Millisecond)
	}
	room := ss.in.Bytes()[len(ss.unread):]
	n, err := ss.conn.sock.Read(room, limit)
	ss.unread = ss.in.Bytes()[:len(ss.unread)+n]
	return err
}

// makeRoom moves what is unread to the front of a buffer with room behind it.
func (ss *session) makeRoom() {
	b := ss.in
	if len(ss.unread) == len(b.Bytes()) {
		b = socket.NewBuffer(2 * len(b.Bytes()))
	}
	if n := len(ss.unread); b != ss.in || &b.Bytes()[0] != &ss.unread[0] {
		copy(b.Bytes(), ss.unread)
		ss.unread = b.Bytes()[:n]
		ss.in = b
	}
}

// startBody makes the body ready that follows a head of n bytes.
func (ss *session) startBody(n int, readable bool) {
	framing := http1.BodyNone
	switch {
	case !readable:
	case ss.req.Chunked:
		framing = http1.BodyChunked
	case ss.req.ContentLength > 0:
		framing = http1.BodyLength
	}
	ss.body.Start(ss.conn.sock, ss.server.pools.Body(), exchange.Incoming{
		Framing: framing, Length: ss.req.ContentLength, Ahead: ss.unread[n:],
		Silence: ss.snapshot.timeouts.Body, Limit: ss.snapshot.bodyLimit,
	})
	ss.unread = nil
}

// unreadable answers what is no request, or none in time.
func (ss *session) unreadable(err error) bool {
	if ss.snapshot.forwarding.requestID {
		ss.requestID()
	}
	return ss.fail(causeOfHead(err), err)
}

// Conn implements exchange.Client.
func (ss *session) Conn() *socket.Conn { return ss.conn.sock }

// Ends implements exchange.Client.
func (ss *session) Ends() (source, target net.Addr) { return ss.conn.ends() }

// Interim implements exchange.Client: it passes a 1xx response on, or sends 100 (Continue) of our own for nil.
func (ss *session) Interim(r *http1.Response) error {
	if ss.req.Minor == 0 || r != nil && r.Status == 100 && ss.continued {
		return nil
	}
	ss.head = ss.head[:0]
	if r == nil || r.Status == 100 {
		ss.continued = true
	}
	if r == nil {
		ss.head = append(ss.head, "HTTP/1.1 100 Continue\r\n\r\n"...)
	} else {
		ss.head = appendStatus(ss.head, r)
		ss.head = http1.AppendFields(ss.head, r.Bytes(), r.Fields, http1.HopByHop|http1.ContentLength.Bit())
		ss.head = append(ss.head, "\r\n"...)
	}
	return ss.conn.sock.Write(ss.head, ss.snapshot.timeouts.Write)
}
