package server

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"l7/auth"
	"l7/balancer"
	"l7/cause"
	"l7/config"
	"l7/exchange"
	"l7/http1"
	"l7/route"
)

// Question is a request that has not been made.
type Question struct {
	Scheme string     // https, or http where empty: it says by which listener the request comes
	Port   string     // likewise; that of the scheme where empty
	Method string     // GET where empty
	Host   string     // with its port, if any
	Target string     // path and query; / where empty
	Fields []string   // further header lines, as in "Cookie: a=b"
	From   netip.Addr // of the client; where it is not valid 127.0.0.1, or nobody on a unix socket

	// ByConfig goes by what the config says alone: whatever is known of servers and rates by now counts for nothing.
	ByConfig bool
}

// NewQuestion asks about the request that clients make of a URL: credentials in it become an Authorization field, unless there is one, and a
// Host field takes the place of its host.
func NewQuestion(method string, u *url.URL, fields []string) Question {
	q := Question{Scheme: u.Scheme, Port: u.Port(), Method: method, Host: u.Host, Target: u.RequestURI()}
	isNamed, isKnown := false, u.User == nil
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ":")
		if strings.EqualFold(name, "host") && !isNamed {
			q.Host, isNamed = strings.TrimSpace(value), true
			continue
		}
		isKnown = isKnown || strings.EqualFold(name, "authorization")
		q.Fields = append(q.Fields, field)
	}
	if !isKnown {
		password, _ := u.User.Password()
		login := u.User.Username() + ":" + password
		q.Fields = append(q.Fields, "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(login)))
	}
	return q
}

// Decision is what a snapshot makes of a request, up to the servers that it would be tried at, in their order.
type Decision struct {
	Request   string       `json:"request"`
	Listener  string       `json:"listener,omitempty"` // by which the request comes, and why, where it could not be the one for its scheme
	Client    string       `json:"client"`             // the address that counts as the client's
	Backend   string       `json:"backend,omitempty"`  // where the request leads, also when it may not go there
	Login     string       `json:"login,omitempty"`    // who it is from
	Auth      string       `json:"auth"`               // not asked, none wanted, accepted, refused, or not known
	RateLimit string       `json:"rate_limit"`         // none, passes, or exceeded
	Status    int          `json:"status"`             // what l7 answers by itself; 200: it passes the request on
	Cause     string       `json:"cause"`              // why; ok: it passes the request on
	Error     string       `json:"error,omitempty"`    // more about the cause
	Queue     string       `json:"queue,omitempty"`    // that the request waits in before it is passed on
	Added     []string     `json:"added,omitempty"`    // header lines that the server gets and the client has not sent
	Removed   []string     `json:"removed,omitempty"`  // header lines that the client has sent and the server does not get
	Policy    string       `json:"policy,omitempty"`   // by which a server is picked
	Servers   []Candidate  `json:"servers,omitempty"`  // in the order in which they would be tried
	Timeouts  []NamedLimit `json:"timeouts,omitempty"` // in force for the exchange
}

// Candidate is a server as the request would find it.
type Candidate struct {
	Address  string `json:"address"`
	State    string `json:"state"`
	Weight   int    `json:"weight"`
	InFlight int    `json:"in_flight"`
	Backup   bool   `json:"backup,omitempty"`
	Reason   string `json:"reason"`
}

// NamedLimit is a timeout by its key in the config; 0s is no bound.
type NamedLimit struct {
	Name  string `json:"name"`
	Limit string `json:"limit"`
}

// Explain decides about a request that has not been made, with the code that decides about real ones, and changes nothing. One that cannot be
// read is answered too, and so decided about; the error is of a question that is more than one request.
func (s *Snapshot) Explain(q Question) (*Decision, error) {
	c, name := s.imagine(q)
	ss := &session{snapshot: s, conn: c}
	ss.renew()
	raw := q.head()
	d := &Decision{Request: strings.TrimSpace(string(bytes.SplitN(raw, []byte("\r\n"), 2)[0])), Listener: name, Client: c.peer.text, Auth: "not asked", RateLimit: "none"}
	if q.Scheme != "https" && c.secure && q.port() == c.port {
		d.refuse(verdict{cause: cause.BadRequest, err: errPlainOnTLS})
		return d, nil
	}
	n, err := ss.req.Parse(raw, s.limits)
	var bad *http1.Error
	switch {
	case errors.As(err, &bad):
		d.refuse(verdict{cause: causeOfHead(err), err: errors.New(bad.Reason)})
		return d, nil
	case n < len(raw):
		return nil, fmt.Errorf("cannot read the request: the header ends before its end, at byte %d", n)
	}
	d.Client = ss.client()
	ss.imagineID()
	v := d.decide(ss, q.ByConfig)
	d.refuse(v)
	if v.backend != nil {
		d.pass(ss, v.backend, q.ByConfig)
	}
	return d, nil
}

var (
	errPlainOnTLS = errors.New("plain HTTP on a listener that wants TLS")
	errListener   = errors.New("allow and deny of the listener")
	errBackend    = errors.New("allow and deny of the backend")
)

// head is the request's.
func (q *Question) head() []byte {
	method, target := cmp.Or(q.Method, "GET"), cmp.Or(q.Target, "/")
	raw := []byte(method + " " + target + " HTTP/1.1\r\nHost: " + q.Host + "\r\n")
	for _, field := range q.Fields {
		raw = append(append(raw, field...), "\r\n"...)
	}
	return append(raw, "\r\n"...)
}

// imagine is a connection that the request could come by, and the name of its listener.
func (s *Snapshot) imagine(q Question) (c *conn, name string) {
	all := s.source.cfg.Listen
	l := q.listener(all)
	c = &conn{listener: newListener(), peer: q.peer(l), port: portIn(l.Address), secure: l.TLS.On()}
	c.listener.rules.Store(&Rules{Allow: l.Allow, Deny: l.Deny, Redirect: l.RedirectHTTPS})
	return c, q.about(l, all)
}

// peer is the client. On a unix socket it has no address, unless something in front of l7 tells one.
func (q *Question) peer(l *config.Listener) peer {
	switch {
	case q.From.IsValid():
		return newPeer(net.TCPAddrFromAddrPort(netip.AddrPortFrom(q.From, 0)))
	case l.Address.Network == "unix":
		return newPeer(&net.UnixAddr{})
	}
	return newPeer(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
}

// unknownPort stands for the port of a listener whose address does not tell it.
const unknownPort = "(that of the socket)"

// portIn is the port in an address; empty for a unix socket.
func portIn(address config.ListenAddress) string {
	_, port, _ := net.SplitHostPort(address.Addr)
	switch {
	case address.Network == "unix":
		return ""
	case address.Network == "tcp" && port != "0":
		return port
	}
	return unknownPort
}

// port is the one that the client connects to.
func (q *Question) port() string {
	switch {
	case q.Port != "":
		return q.Port
	case q.Scheme == "https":
		return "443"
	}
	return "80"
}

// listener is the one that the request comes by: of its scheme and port, its port, its scheme, or else the first; a config has one at least.
func (q *Question) listener(all []config.Listener) *config.Listener {
	hasPort := func(l config.Listener) bool { return portIn(l.Address) == q.port() }
	speaks := func(l config.Listener) bool { return l.TLS.On() == (q.Scheme == "https") }
	for _, fits := range []func(config.Listener) bool{
		func(l config.Listener) bool { return hasPort(l) && speaks(l) }, hasPort, speaks,
	} {
		if i := slices.IndexFunc(all, fits); i >= 0 {
			return &all[i]
		}
	}
	return &all[0]
}

// about is what is to be said of the listener that the request comes by: its address, why it is not one of the request's scheme and port, and whom it
// refuses in the handshake, of which nothing is known here.
func (q *Question) about(l *config.Listener, all []config.Listener) string {
	text := l.Address.String()
	if l.TLS.On() {
		text += ", TLS"
	}
	couldBe := func(l config.Listener) bool { return slices.Contains([]string{q.Port, unknownPort}, portIn(l.Address)) }
	if q.Port != "" && !slices.ContainsFunc(all, couldBe) {
		text = "no listener has port " + q.Port + "; as by " + text
	}
	switch isSecure := q.Scheme == "https"; {
	case isSecure == l.TLS.On():
	case isSecure:
		text += "; it speaks no TLS: for https that has to end in front of it"
	case portIn(l.Address) != q.port(): // or it is answered so
		text += "; no listener is plain"
	}
	if l.TLS.StrictSNI {
		text += "; it refuses names that it has no certificate for (strict_sni)"
	}
	if l.TLS.ClientAuth == "require" {
		text += "; it refuses clients without a certificate (client_auth: require)"
	}
	return text
}

// imagineID finds the request id that a trusted client gives. In the place of one that would be made there is a word for it.
func (ss *session) imagineID() {
	if !ss.snapshot.forwarding.requestID {
		return
	}
	if ss.requestID(); !bytes.Equal(ss.id, ss.req.Value(http1.XRequestID)) {
		ss.id = []byte("(made anew for each request)")
	}
}

// decide is session.decide without what leaves a trace.
func (d *Decision) decide(ss *session, byConfig bool) verdict {
	host, v := ss.readable()
	if v.cause != cause.None {
		return v
	}
	to := ss.snapshot.route(host, ss.req.Path())
	if to.backend != nil {
		d.Backend = to.backend.Name()
	}
	switch why := ss.gate(); why {
	case cause.None:
	case cause.Redirected:
		return verdict{cause: why, err: errors.New("to " + string(ss.appendHTTPS(nil)))}
	case cause.Forbidden:
		return verdict{cause: why, err: errListener}
	default:
		return verdict{cause: why}
	}
	switch {
	case to.backend != nil && !to.backend.admits(ss):
		return verdict{cause: cause.Forbidden, err: errBackend}
	case to.backend != nil && !d.limited(to.backend, ss, byConfig):
		return verdict{cause: cause.RateLimited}
	case !d.knows(ss.snapshot.usersOf(to), ss.req.Value(http1.Authorization)):
		return verdict{cause: cause.Unauthorized}
	}
	if v = to.verdict(d.Login); v.cause == cause.AmbiguousPath {
		v.err = errors.New(strings.TrimPrefix(to.err.Error(), route.ErrAmbiguousPath.Error()+": "))
	}
	return v
}

func (d *Decision) refuse(v verdict) {
	d.Cause, d.Status, d.Error = v.cause.String(), v.cause.Status(), ""
	if v.err != nil {
		d.Error = v.err.Error()
	}
}

// limited is true when the rate limit lets the request pass.
func (d *Decision) limited(b *backend, ss *session, byConfig bool) bool {
	if b.limiter == nil {
		return true
	}
	d.RateLimit = "passes"
	if byConfig {
		return true
	}
	_, ok := b.limiter.Peek(ss.limitKey(b), now())
	if !ok {
		d.RateLimit = "exceeded"
	}
	return ok
}

// knows is true for somebody who may pass. A password that would take work to verify is not verified.
func (d *Decision) knows(users *auth.Users, authorization []byte) bool {
	if users == nil {
		d.Auth = "none wanted"
		return true
	}
	login, verdict := users.Peek(authorization)
	d.Login = login
	switch verdict {
	case auth.Accepted:
		d.Auth = "accepted"
	case auth.Unknown:
		d.Auth = "not known: the password would have to be verified"
	default:
		d.Auth = "refused"
	}
	return verdict != auth.Refused
}

// pass fills in what would be sent, and to whom, or why to nobody.
func (d *Decision) pass(ss *session, b *backend, byConfig bool) {
	if limit := ss.snapshot.bodyLimit; limit > 0 && ss.req.ContentLength > limit {
		d.refuse(verdict{cause: cause.BodyTooLarge, err: fmt.Errorf("Content-Length is more than %d (limits.body)", limit)})
		return
	}
	sent := ss.appendRequestHead(nil, ss.upgradeTo(b), false)
	d.Removed, d.Added = difference(ss.req.Bytes(), sent)
	ss.request.Key, ss.request.Stuck = b.key(ss), ss.stuck(b)
	d.Policy = b.Policy()
	candidates := b.Candidates(ss.request)
	for i, c := range candidates {
		d.Servers = append(d.Servers, candidate(i, c, byConfig))
	}
	d.Timeouts = timeouts(ss.snapshot.exchange, ss.snapshot.timeouts.Request)
	cfg := ss.snapshot.source.cfg.Backends[b.Name()]
	if byConfig {
		d.refuse(verdict{cause: configured(cfg.Servers)})
		return
	}
	d.await(b, candidates, cfg.Queue)
}

// candidate is the i-th one as it is shown. Where the state of servers is left out, so are checks that have not ended.
func candidate(i int, c balancer.Candidate, byConfig bool) Candidate {
	reason := c.Reason
	switch {
	case i > 0 && c.State == balancer.Available && !c.Backup:
		reason = "next"
	case byConfig && c.State == balancer.Unchecked:
		reason = "once a check has found it healthy"
	}
	return Candidate{c.Member.Address().String(), string(c.State), c.Weight, c.InFlight, c.Backup, reason}
}

// configured is why no server could ever be asked, by the config.
func configured(servers []config.Server) cause.Cause {
	switch {
	case len(servers) == 0:
		return cause.NoServer
	case !slices.ContainsFunc(servers, func(s config.Server) bool { return s.Weight > 0 }):
		return cause.Unavailable
	}
	return cause.None
}

// await says what becomes of a request that no server would be asked to answer just now, as Backend.Do does: it waits in the queue where a
// server is merely full, or there is none that could be waited for.
func (d *Decision) await(b *backend, candidates []balancer.Candidate, queue config.Queue) {
	isAsked := slices.ContainsFunc(candidates, func(c balancer.Candidate) bool { return !c.Passed })
	isFull := slices.ContainsFunc(candidates, func(c balancer.Candidate) bool { return c.State == balancer.Full })
	waiting := b.Waiting()
	switch {
	case isAsked && waiting == 0:
	case len(candidates) == 0 && b.Unresolved() != nil:
		d.refuse(verdict{cause: cause.NameUnresolved, err: b.Unresolved()})
	case len(candidates) == 0:
		d.refuse(verdict{cause: cause.NoServer})
	case !isAsked && !isFull:
		d.refuse(verdict{cause: cause.Unavailable})
	case waiting >= queue.Length:
		d.refuse(verdict{cause: cause.Full})
	default:
		d.Queue = fmt.Sprintf("all servers are full; %d wait before it", waiting)
		if queue.Timeout > 0 {
			d.Queue += fmt.Sprintf("; 503 (%s) after %s", cause.QueueTimeout, queue.Timeout)
		}
	}
}

func timeouts(t exchange.Timeouts, request time.Duration) []NamedLimit {
	return []NamedLimit{
		{"connect", t.Connect.String()},
		{"write", t.Write.String()},
		{"response_header", t.ResponseHeader.String()},
		{"response", t.Response.String()},
		{"request", request.String()},
	}
}

// difference are the header lines that only the one or the other of two messages has. The values of credentials are not shown.
func difference(one, other []byte) (onlyOne, onlyOther []string) {
	a, b := lines(one), lines(other)
	return without(a, b), without(b, a)
}

func lines(head []byte) []string {
	all := strings.Split(strings.TrimRight(string(head), "\r\n"), "\r\n")
	return all[1:]
}

func without(list, other []string) (rest []string) {
	has := make(map[string]bool, len(other))
	for _, line := range other {
		has[line] = true
	}
	for _, line := range list {
		if !has[line] {
			rest = append(rest, masked(line))
		}
	}
	return rest
}

// masked hides the value of a field that is a secret.
func masked(line string) string {
	name, _, _ := strings.Cut(line, ":")
	switch lower := strings.ToLower(name); {
	case lower == "authorization", lower == "proxy-authorization", lower == "cookie",
		strings.HasSuffix(lower, "-key"), strings.HasSuffix(lower, "-token"), strings.HasSuffix(lower, "-secret"):
		return name + ": ***"
	}
	return line
}
