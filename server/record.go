package server

import (
	"bytes"
	"net/http"
	"time"

	"l7/accesslog"
	"l7/cause"
	"l7/http1"
	"l7/metrics"
)

// record is what is kept of a request until it is over: it is told of once, when the last byte of its response has been passed on.
type record struct {
	backend *backend      // where it leads; nil: nowhere
	began   time.Duration // when its head was complete
	status  int           // that the client was answered with
	cause   cause.Cause
	out     int64            // bytes of the response's body, or those of a tunnel that went to the client
	in      int64            // bytes of a tunnel that went to the server
	entry   *accesslog.Entry // of a tunnel, whose request is let go long before it ends
	told    bool
}

// tell counts a request that is over, and logs it where that is wanted.
func (ss *session) tell() {
	r := &ss.record
	r.told = true
	ended := ss.server.now()
	ss.conn.idleSince = ended
	cells := ss.snapshot.cells.nowhere
	if r.backend != nil {
		cells = r.backend.cells
	}
	done := metrics.Request{Status: r.status, Cause: uint8(r.cause), Took: ended - r.began, BytesIn: r.in + ss.body.Size(), BytesOut: r.out}
	cells.Observe(ss.request.Shard, done)
	if ss.snapshot.Access != nil {
		ss.logAccess(done)
	}
}

func (ss *session) logAccess(done metrics.Request) {
	e := ss.record.entry
	if e == nil {
		ss.entry = ss.describeEntry()
		e = &ss.entry
	}
	e.Time, e.Total, e.BytesIn, e.BytesOut = time.Now().Add(-done.Took), done.Took, done.BytesIn, done.BytesOut
	ss.snapshot.Access.Log(e, ss.request.Shard)
	ss.entry = accesslog.Entry{}
}

// describeEntry is the request's line in the access log, but for what is known at its end alone. It points into the request.
func (ss *session) describeEntry() accesslog.Entry {
	r, request := &ss.record, ss.request
	e := accesslog.Entry{ID: ss.id, Client: ss.conn.peer.text, User: ss.login, Status: r.status, Queue: request.Queued(), Connect: ss.exchange.Connecting}
	if r.cause != cause.None {
		e.Cause = r.cause.String()
	}
	if r.backend != nil {
		e.Backend = r.backend.Name()
	}
	if attempts := request.Attempts(); len(attempts) > 0 {
		e.Attempts = len(attempts)
		e.Server = request.Member().Name()
		if attempts[len(attempts)-1].Status != 0 {
			e.FirstByte = request.Ended() - r.began
		}
	}
	if len(ss.req.Bytes()) == 0 {
		return e // it could not be read
	}
	e.Client = ss.client()
	e.Method, e.Host, e.Target = ss.req.Method(), ss.req.Host(), ss.req.Target()
	e.Proto = [2]string{"HTTP/1.0", "HTTP/1.1"}[min(ss.req.Minor, 1)]
	e.Referer, e.UserAgent = ss.field("referer"), ss.field("user-agent")
	return e
}

// field is the first value of a field that is of no kind of its own. The name is in lower case.
func (ss *session) field(name string) []byte {
	raw := ss.req.Bytes()
	for i := range ss.req.Fields {
		if f := &ss.req.Fields[i]; http1.EqualFold(f.NameIn(raw), name) {
			return f.ValueIn(raw)
		}
	}
	return nil
}

// keepEntry keeps what the access log wants to know of a request that is let go before it ends.
func (ss *session) keepEntry() {
	ss.record.status = http.StatusSwitchingProtocols
	if ss.snapshot.Access == nil {
		return
	}
	e := ss.describeEntry()
	for _, b := range []*[]byte{&e.ID, &e.Method, &e.Host, &e.Target, &e.Referer, &e.UserAgent} {
		*b = bytes.Clone(*b)
	}
	ss.record.entry = &e
}
