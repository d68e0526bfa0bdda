package server

import (
	"bytes"

	"l7/cause"
	"l7/exchange"
	"l7/http1"
	"l7/route"
)

// handle is the life of a request: decide, prepare, have a backend answer it, pass the response on.
// It is false when the connection is of no further use.
func (ss *session) handle() bool {
	if ss.snapshot.forwarding.requestID {
		ss.requestID()
	}
	v := ss.decide()
	ss.login = v.login
	if v.backend == nil {
		if v.proof != "" {
			return ss.prove(v.proof)
		}
		return ss.fail(v.cause, v.err)
	}
	if ss.snapshot.bodyLimit > 0 && ss.req.ContentLength > ss.snapshot.bodyLimit {
		return ss.fail(cause.BodyTooLarge, exchange.ErrTooLarge)
	}
	if err := ss.prepare(v.backend); err != nil {
		return ss.fail(exchange.BodyCause(err), err)
	}
	ss.request.Key = v.backend.key(ss)
	ss.request.Stuck = ss.stuck(v.backend)
	if err := v.backend.Do(ss.request); err != nil {
		return ss.fail(causeOf(err), err)
	}
	ss.stickTo(v.backend)
	if ss.exchange.Response.Status == 101 {
		return ss.tunnel()
	}
	return ss.respond()
}

// decide is what is decided before anything is sent: may the request be read, where does it lead, is it within the rate limit, and who
// is it from. Explain goes the same way, without what leaves a trace.
func (ss *session) decide() verdict {
	host, v := ss.readable()
	if v.cause != cause.None {
		return v
	}
	if proof := ss.proof(host); proof != "" {
		return verdict{proof: proof}
	}
	if why := ss.gate(); why != cause.None {
		return verdict{cause: why}
	}
	to := ss.snapshot.route(host, ss.req.Path())
	ss.record.backend = to.backend
	if to.backend != nil && !to.backend.admits(ss) {
		return verdict{cause: cause.Forbidden}
	}
	if wait, ok := to.backend.take(ss); !ok {
		return verdict{cause: cause.RateLimited, err: &cause.Error{Cause: cause.RateLimited, Unsent: true, RetryAfter: wait}}
	}
	login, known := ss.snapshot.known(to, ss.req.Value(http1.Authorization))
	if !known {
		return verdict{cause: cause.Unauthorized}
	}
	return to.verdict(login)
}

// gate is what the listener has to say about a request: who may not connect, and who is to come back by https.
func (ss *session) gate() cause.Cause {
	rules := ss.snapshot.gate(ss.conn.listener)
	switch {
	case !admits(rules.Allow, rules.Deny, ss.conn.peer.ip):
		return cause.Forbidden
	case rules.Redirect && !ss.cameSecure():
		return ss.redirected()
	}
	return cause.None
}

// cameSecure is true for a request that came by https to a trusted proxy, which would bring back whatever is sent to https.
func (ss *session) cameSecure() bool {
	return ss.snapshot.trusts(ss.conn.peer) && http1.EqualFold(ss.req.Value(http1.XForwardedProto), "https")
}

// redirected is what becomes of a request that is to come back by https. Without a host (HTTP/1.0, OPTIONS *) there is no URL to send it to.
func (ss *session) redirected() cause.Cause {
	if len(ss.req.Hostname()) == 0 {
		return cause.BadHost
	}
	return cause.Redirected
}

// readable returns the host in normal form, or a verdict on a request that cannot be decided about.
func (ss *session) readable() (host []byte, v verdict) {
	r := &ss.req
	switch {
	case string(r.Method()) == "CONNECT":
		return nil, verdict{cause: cause.MethodNotSupported}
	case r.Has(http1.Authorization) && countFields(r, http1.Authorization) > 1:
		return nil, verdict{cause: cause.BadRequest, err: errTwoAuthorizations}
	}
	host, err := route.NormalizeHost(ss.host[:0], r.Host())
	if err != nil {
		return nil, verdict{cause: cause.BadHost, err: err}
	}
	return host, verdict{}
}

func countFields(r *http1.Request, k http1.Kind) (n int) {
	for i := range r.Fields {
		if r.Fields[i].Kind == k {
			n++
		}
	}
	return n
}

// prepare makes of the client's request the one that is sent to a server, once for all attempts.
func (ss *session) prepare(b *backend) error {
	x := ss.exchange
	x.Client, x.Method, x.Body = ss, ss.req.Method(), &ss.body
	x.Timeouts, x.Limits = ss.snapshot.exchange, ss.snapshot.responseLimits
	x.Repeatable = ss.req.Idempotent()
	x.Chunked = ss.req.Chunked
	x.Trailers = ss.requestTrailers()
	x.Upgrade = ss.upgradeTo(b)
	expect := ss.req.Expect100 && !ss.body.Done() && len(ss.body.Ahead()) == 0
	x.Expect = expect
	ss.out = ss.appendRequestHead(ss.out[:0], x.Upgrade, expect)
	x.Head = len(ss.out)
	var err error
	ss.out, err = exchange.AppendReceived(ss.out, &ss.body, x.Chunked, x.Trailers, maxFirstWrite)
	x.Out = ss.out
	return err
}

// requestTrailers are the kinds of trailers that go on: none unless the client announces some (RFC 9110 section 6.6.2).
func (ss *session) requestTrailers() http1.Kinds {
	if !ss.req.Has(http1.Trailer) {
		return 0
	}
	return mayBeTrailers &^ ss.snapshot.dropAlways
}

// responseTrailers are the kinds of trailers that go on: none unless the client takes them (RFC 9110 section 6.5.1).
func (ss *session) responseTrailers() http1.Kinds {
	if !ss.req.TETrailers {
		return 0
	}
	return mayBeTrailers
}

// mayBeTrailers are the kinds of fields that may be trailers at all.
const mayBeTrailers = 1<<http1.Plain | 1<<http1.Underscored | http1.Kinds(0)

// maxFirstWrite bounds how much of a body goes out together with the head.
const maxFirstWrite = 66 << 10

// upgradeTo is the protocol to switch to, when the request asks for one that the backend lets pass. A request with a body stays
// what it is.
func (ss *session) upgradeTo(b *backend) []byte {
	asked := ss.req.Upgrade()
	if asked == nil || ss.req.HasBody() {
		return nil
	}
	for _, allowed := range b.upgrades {
		if http1.EqualFold(asked, allowed) {
			return asked
		}
	}
	return nil
}

// respond passes the response on.
func (ss *session) respond() bool {
	x := ss.exchange
	framing := x.Response.Body(ss.req.Method())
	open := framing == http1.BodyChunked || framing == http1.BodyClose // the length is not known
	chunked := open && ss.req.Minor == 1
	marked := !open || chunked // the client can tell where the response ends
	keep := marked && ss.req.Persistent() && x.Continues && !ss.conn.isEnding()
	ss.head = ss.appendResponseHead(ss.head[:0], framing, keep)
	ss.answered = true
	ss.record.status = x.Response.Status
	err := x.Relay(ss.head, chunked, ss.responseTrailers())
	ss.record.out = x.Written()
	if err == nil && marked {
		x.FinishUpload()
	}
	x.Finish()
	if err != nil {
		return ss.cut(err, marked)
	}
	return keep && ss.body.Done()
}

// cut ends a request whose response could not be passed on to its end. The client must be able to tell; as long as it has got
// nothing it can be told.
func (ss *session) cut(err error, marked bool) bool {
	if !ss.exchange.Began() {
		ss.answered = false
		return ss.fail(causeOf(err), err)
	}
	ss.record.cause = causeOf(err)
	ss.logCut(err)
	if !marked || causeOf(err) == cause.ClientTimeout {
		// The end of the connection would look like the end of the response; and what a client does not read the system
		// would keep for minutes.
		_ = ss.conn.sock.Reset()
	}
	return false
}

// tunnel passes the switch of protocols on, and then bytes until both sides are done. The request is let go before: a tunnel
// can be silent for long.
func (ss *session) tunnel() bool {
	x := ss.exchange
	ss.head = ss.appendSwitch(ss.head[:0])
	ss.answered = true
	ss.keepEntry()
	ended := ss.describe(ss.server.log.Debug())
	early := bytes.Clone(ss.body.Ahead())
	ss.req.Reset()
	ss.release()
	toClient, toServer := x.Tunnel(ss.head, early)
	x.Finish()
	ss.record.in, ss.record.out = toServer, toClient
	ended.Int64("to_client", toClient).Int64("to_server", toServer).Msg("tunnel ended")
	return false
}
