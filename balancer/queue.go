package balancer

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"l7/cause"
	"l7/config"
)

// queue holds the requests that wait for a place at a server, first come first served. Only the first one picks, and who stands behind none but
// those who have tried a server already, and will not have that one again; a request that comes while others wait goes behind them. It outlives
// reloads, as those who wait do.
type queue struct {
	waiting atomic.Int64
	ready   atomic.Int64 // of those, who have tried no server yet: any place may be for them

	mu      sync.Mutex // guards all below; taken only while somebody waits
	first   *waiter
	last    *waiter
	length  int
	timeout time.Duration
	served  int           // since the queue was last empty
	since   time.Duration // when it was
}

type waiter struct {
	wake  chan struct{}
	came  time.Duration // the request
	picky bool          // it has tried a server, and will not have that one again
	next  *waiter
}

// configure puts the bounds in force.
func (q *queue) configure(cfg config.Queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.length, q.timeout = cfg.Length, cfg.Timeout
}

func (q *queue) isEmpty() bool { return q.waiting.Load() == 0 }

// isOpen is true when a request that comes may pick before it waits: it would stand at the front.
func (q *queue) isOpen() bool { return q.ready.Load() == 0 }

// signal tells those who pick that a place may be free.
func (q *queue) signal() {
	if q.isEmpty() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.signalFirst()
}

// signalFirst is signal with q.mu held.
func (q *queue) signalFirst() {
	for w := q.first; w != nil; w = w.next {
		select {
		case w.wake <- struct{}{}:
		default: // it has been told
		}
		if !w.picky {
			return
		}
	}
}

// isFront is true for the first in line, and for who stands behind none but those who have tried a server already: what these cannot take
// may be free for it. q.mu is held.
func (q *queue) isFront(w *waiter) bool {
	for at := q.first; at != nil; at = at.next {
		if at == w || !at.picky {
			return at == w
		}
	}
	return false
}

// join puts a request in line, behind those that came before it. One that has waited already, and found its place taken or its server dead,
// is let in again in any case, and its time goes on. It is nil when the queue is full.
func (q *queue) join(r *Request) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	again := r.patience != 0
	if int(q.waiting.Load()) >= q.length && !again {
		return nil
	}
	if !again {
		r.patience = forever
		if q.timeout > 0 {
			r.patience = r.at + q.timeout
		}
	}
	w := &waiter{wake: make(chan struct{}, 1), came: r.started, picky: len(r.tried) > 0}
	switch {
	case q.first == nil:
		q.first, q.last, q.served, q.since = w, w, 0, r.at
	case q.last.came <= w.came:
		q.last.next, q.last = w, w
	default:
		at := &q.first
		for (*at).came <= w.came {
			at = &(*at).next
		}
		w.next, *at = *at, w
	}
	if q.isFront(w) {
		w.wake <- struct{}{}
	}
	q.count(w, 1)
	return w
}

func (q *queue) count(w *waiter, n int64) {
	q.waiting.Add(n)
	if !w.picky {
		q.ready.Add(n)
	}
}

// leave takes a waiter out, and lets the next one see whether there is a place for it too.
func (q *queue) leave(w *waiter, served bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count(w, -1)
	if served {
		q.served++
	}
	if q.first == w {
		q.first = w.next
	} else {
		before := q.first
		for before.next != w {
			before = before.next
		}
		before.next = w.next
		if q.last == w {
			q.last = before
		}
	}
	if q.first == nil {
		q.last = nil
	}
	if !served { // who is served takes the place first, see Member.attempt
		q.signalFirst()
	}
}

// estimate is how long it takes until a request that came now would be served, by how fast those before it were.
func (q *queue) estimate(at time.Duration) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.served == 0 {
		return max(q.timeout, time.Second)
	}
	each := float64(at-q.since) / float64(q.served)
	return time.Duration(math.Min(each*float64(q.waiting.Load()+1), float64(time.Minute)))
}

// queueCheck is how often one who waits looks for itself: a server may have come back without anybody leaving one, and its client may
// have gone.
const queueCheck = 100 * time.Millisecond

// errGone is why nothing is done for a request any more that waited for a server.
var errGone = errors.New("the client has reset its connection while it waited for a server")

// forever is how long one waits without a bound.
const forever = time.Duration(math.MaxInt64)

// wait waits for a server that is full. The one it gets is of the config in force by then.
func (b *Backend) wait(r *Request) (m *Member, failure *cause.Error) {
	r.forgetFull()
	if failure = b.hopeless(r); failure != nil {
		return nil, failure
	}
	q := &b.shared.queue
	w := q.join(r)
	if w == nil {
		return nil, b.lastFailure(r, b.refusal(r, r.at))
	}
	joined := r.at
	m, failure = b.waitFor(w, r)
	r.queued += now() - joined
	q.leave(w, m != nil)
	return m, failure
}

// hopeless is why a request need not wait: there is no server left whose only fault is to be full. Nil: there is one.
func (b *Backend) hopeless(r *Request) *cause.Error {
	failure := b.refusal(r, r.at)
	if failure.Cause == cause.Full {
		return nil
	}
	if b.desperate(r.at) {
		b.wentDown()
	}
	return b.lastFailure(r, failure)
}

// waitFor ends with a server that has a place, when there is none to wait for any more, when the time for it is over, or when the client
// has gone. A reload may come in between: each look is at the servers in force.
func (b *Backend) waitFor(w *waiter, r *Request) (*Member, *cause.Error) {
	q := &b.shared.queue
	check := time.NewTicker(queueCheck)
	defer check.Stop()
	end := time.NewTimer(min(r.patience, b.until(r)) - r.at)
	defer end.Stop()
	for {
		select {
		case <-w.wake:
		case <-check.C:
			if r.Client.Conn().Broken() {
				return nil, &cause.Error{Cause: cause.ClientGone, Unsent: !r.Wrote(), Err: errGone}
			}
			if !q.isFirst(w) {
				continue
			}
		case <-end.C:
			return nil, &cause.Error{Cause: cause.QueueTimeout, Unsent: !r.Wrote(), RetryAfter: q.estimate(now())}
		}
		r.at = now()
		latest := b.latest()
		if m := latest.pick(r, r.at); m != nil {
			return m, nil
		}
		if failure := latest.hopeless(r); failure != nil {
			return nil, failure
		}
	}
}

// until is when the time for all attempts together is over.
func (b *Backend) until(r *Request) time.Duration {
	if b.options.Request == 0 {
		return forever
	}
	return r.started + b.options.Request
}

func (q *queue) isFirst(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.isFront(w)
}

// forgetFull lets a request that waits for a place try those again that had none.
func (r *Request) forgetFull() {
	if r.full == 0 {
		return
	}
	sent := r.tried[:0]
	for _, m := range r.tried {
		for _, a := range r.attempts {
			if a.Member == m {
				sent = append(sent, m)
				break
			}
		}
	}
	r.tried, r.full = sent, 0
}

// Waiting is the number of requests that wait for a place at a server.
func (b *Backend) Waiting() int { return int(b.shared.queue.waiting.Load()) }
