package server

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"l7/auth"
	"l7/balancer"
	"l7/cause"
	"l7/exchange"
	"l7/http1"
)

// Question is a request that has not been made.
type Question struct {
	Method string     // GET where empty
	Host   string     // with its port, if any
	Target string     // path and query; / where empty
	Fields []string   // further header lines, as in "Cookie: a=b"
	From   netip.Addr // of the client; 127.0.0.1 where it is not valid
}

// Decision is what a snapshot makes of a request, up to the servers that it would be tried at, in their order.
type Decision struct {
	Request   string       `json:"request"`
	Client    string       `json:"client"`             // the address that counts as the client's
	Backend   string       `json:"backend,omitempty"`  // where the request leads, also when it may not go there
	Login     string       `json:"login,omitempty"`    // who it is from
	Auth      string       `json:"auth"`               // none wanted, accepted, refused, or not known
	RateLimit string       `json:"rate_limit"`         // none, passes, or exceeded
	Status    int          `json:"status"`             // what l7 answers by itself; 200: it passes the request on
	Cause     string       `json:"cause"`              // why; ok: it passes the request on
	Error     string       `json:"error,omitempty"`    // more about the cause
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

// Explain decides about a request that has not been made, with the code that decides about real ones, and changes nothing. The
// error is one of the question.
func (s *Snapshot) Explain(q Question) (*Decision, error) {
	ss, raw, err := s.imagine(q)
	if err != nil {
		return nil, err
	}
	d := &Decision{Request: strings.TrimSpace(string(bytes.SplitN(raw, []byte("\r\n"), 2)[0])), Client: ss.client(), Auth: "none wanted", RateLimit: "none"}
	host, v := ss.readable()
	if v.cause != cause.None {
		d.refuse(v)
		return d, nil
	}
	to := s.route(host, ss.req.Path())
	if to.backend != nil {
		d.Backend = to.backend.Name()
		if !to.backend.admits(ss) {
			d.refuse(verdict{cause: cause.Forbidden})
			return d, nil
		}
		if !d.limited(to.backend, ss) {
			d.refuse(verdict{cause: cause.RateLimited})
			return d, nil
		}
	}
	if !d.knows(s.usersOf(to), ss.req.Value(http1.Authorization)) {
		d.refuse(verdict{cause: cause.Unauthorized})
		return d, nil
	}
	d.refuse(to.verdict(d.Login))
	if to.backend != nil {
		d.pass(ss, to.backend)
	}
	return d, nil
}

// imagine is a session that has received the request of a question.
func (s *Snapshot) imagine(q Question) (*session, []byte, error) {
	if !q.From.IsValid() {
		q.From = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if q.Method == "" {
		q.Method = "GET"
	}
	if q.Target == "" {
		q.Target = "/"
	}
	raw := []byte(q.Method + " " + q.Target + " HTTP/1.1\r\nHost: " + q.Host + "\r\n")
	for _, field := range q.Fields {
		raw = append(append(raw, field...), "\r\n"...)
	}
	raw = append(raw, "\r\n"...)
	from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(q.From, 0))
	ss := &session{snapshot: s, conn: &conn{peer: newPeer(from), listener: newListener()}}
	ss.renew()
	n, err := ss.req.Parse(raw, s.limits)
	if err == nil && n < len(raw) {
		err = fmt.Errorf("the header ends before its end, at byte %d", n)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the request: %w", err)
	}
	return ss, raw, nil
}

func (d *Decision) refuse(v verdict) {
	d.Cause, d.Status = v.cause.String(), v.cause.Status()
	if v.err != nil {
		d.Error = v.err.Error()
	}
}

// limited is true when the rate limit lets the request pass.
func (d *Decision) limited(b *backend, ss *session) bool {
	if b.limiter == nil {
		return true
	}
	d.RateLimit = "passes"
	_, ok := b.limiter.Peek(ss.limitKey(b), now())
	if !ok {
		d.RateLimit = "exceeded"
	}
	return ok
}

// knows is true for somebody who may pass. A password that would take work to verify is not verified.
func (d *Decision) knows(users *auth.Users, authorization []byte) bool {
	if users == nil {
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

// pass fills in what would be sent, and to whom.
func (d *Decision) pass(ss *session, b *backend) {
	sent := ss.appendRequestHead(nil, ss.upgradeTo(b), false)
	d.Removed, d.Added = difference(ss.req.Bytes(), sent)
	ss.request.Key, ss.request.Stuck = b.key(ss), ss.stuck(b)
	d.Policy = b.Policy()
	for _, c := range b.Candidates(ss.request) {
		d.Servers = append(d.Servers, candidate(c))
	}
	t := ss.snapshot.exchange
	d.Timeouts = timeouts(t, ss.snapshot.timeouts.Request)
	if len(b.Members()) == 0 {
		d.refuse(verdict{cause: cause.NoServer})
	}
}

func candidate(c balancer.Candidate) Candidate {
	return Candidate{c.Member.Address().String(), string(c.State), c.Weight, c.InFlight, c.Backup, c.Reason}
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
