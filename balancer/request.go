package balancer

import (
	"time"

	"github.com/valyala/fasthttp"

	"l7/cause"
	"l7/exchange"
)

// Request is one request on its way through a backend. It is used for one request after another by the goroutine that serves
// the client.
type Request struct {
	*exchange.Exchange        // set up by the caller before Do
	Key                uint64 // what consistent_hash goes by, see Backend.HashOn
	Stuck              []byte // the value of the sticky cookie, nil: none
	Shard              uint   // what attempts are counted in; see metrics. It outlives Reset

	started  time.Duration // when Do was called
	at       time.Duration // the time, as of the last look at the clock: it is read once for each attempt
	ended    time.Duration // of the last attempt, with or without a response
	queued   time.Duration // how long it has waited for a place
	patience time.Duration // until when it waits for a place; 0: it has not had to
	tried    []*Member     // in this request, in order
	full     int           // how many of them had no place for it
	attempts []Attempt
	picked   *Member // by a fasthttp.LBClient
	carrier  fasthttp.Request
}

// Attempt is one try of a request at a server.
type Attempt struct {
	Member *Member
	Cause  cause.Cause // None: it answered
	Status int         // 0: no response
	Took   time.Duration
	Err    error // what happened, for the log; nil: it answered
}

// NewRequest returns a Request around an exchange.
func NewRequest(x *exchange.Exchange) *Request {
	r := &Request{Exchange: x}
	r.carrier.SetBodyStream(carried{r}, 0)
	return r
}

// Reset makes the Request ready for the next one.
func (r *Request) Reset() {
	r.Exchange.Reset()
	r.Key, r.Stuck, r.full = 0, nil, 0
	r.ended, r.queued, r.patience = 0, 0, 0
	r.tried, r.attempts = r.tried[:0], r.attempts[:0]
}

// Attempts are the tries so far, the last one at the end. They are valid until Reset.
func (r *Request) Attempts() []Attempt { return r.attempts }

// Queued is how long the request has waited for a server to have a place for it.
func (r *Request) Queued() time.Duration { return r.queued }

// Ended is when the last attempt had ended, with the head of a response or without; zero when there was none.
func (r *Request) Ended() time.Duration { return r.ended }

// Member is who answered; nil when nobody did.
func (r *Request) Member() *Member {
	if len(r.tried) == 0 {
		return nil
	}
	return r.tried[len(r.tried)-1]
}

// hasTried is true for a server that the request has tried, be it as a member of an earlier config.
func (r *Request) hasTried(m *Member) bool {
	for _, t := range r.tried {
		if t.Standing == m.Standing {
			return true
		}
	}
	return false
}

// carried makes a Request fit through fasthttp.BalancingClient, whose requests have a place for a reader.
type carried struct{ *Request }

// Read is never called: a Member takes the Request out.
func (carried) Read([]byte) (int, error) { panic("BUG: a carried request was read as a body") }
