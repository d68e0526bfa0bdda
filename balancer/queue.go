package balancer

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"l7/cause"
	"l7/config"
)

// queue holds the requests that wait for a place at a server, first come first served. Only the first one picks; a request
// that comes while others wait goes behind them.
type queue struct {
	waiting atomic.Int64

	mu      sync.Mutex // guards all below; taken only while somebody waits
	first   *waiter
	last    *waiter
	length  int
	timeout time.Duration
	served  int           // since the queue was last empty
	since   time.Duration // when it was
}

type waiter struct {
	wake chan struct{}
	next *waiter
}

// configure puts the bounds in force.
func (q *queue) configure(cfg config.Queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.length, q.timeout = cfg.Length, cfg.Timeout
}

func (q *queue) isEmpty() bool { return q.waiting.Load() == 0 }

// signal tells the first one that a place may be free.
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
	if q.first == nil {
		return
	}
	select {
	case q.first.wake <- struct{}{}:
	default: // it has been told
	}
}

// join goes to the end of the line. It is nil when the queue is full.
func (q *queue) join(at time.Duration) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if int(q.waiting.Load()) >= q.length {
		return nil
	}
	w := &waiter{wake: make(chan struct{}, 1)}
	if q.first == nil {
		q.first, q.served, q.since = w, 0, at
		w.wake <- struct{}{}
	} else {
		q.last.next = w
	}
	q.last = w
	q.waiting.Add(1)
	return w
}

// leave takes a waiter out, and lets the next one see whether there is a place for it too.
func (q *queue) leave(w *waiter, served bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting.Add(-1)
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

// queueCheck is how often the first one looks for itself: a server may have come back without anybody leaving one.
const queueCheck = 100 * time.Millisecond

// wait waits for a server that is full. When all are so for another reason it does not.
func (b *Backend) wait(r *Request) (*Member, *cause.Error) {
	at := now()
	failure := b.lastFailure(r, b.refusal(at))
	q := &b.shared.queue
	if failure.Cause != cause.Full {
		return nil, failure
	}
	w := q.join(at)
	if w == nil {
		return nil, failure
	}
	r.forgetFull()
	m := b.waitFor(w, r)
	q.leave(w, m != nil)
	if m == nil {
		return nil, &cause.Error{Cause: cause.QueueTimeout, Unsent: !r.Wrote(), RetryAfter: q.estimate(now())}
	}
	return m, nil
}

func (b *Backend) waitFor(w *waiter, r *Request) *Member {
	end := time.NewTimer(b.shared.queue.timeout)
	defer end.Stop()
	check := time.NewTicker(queueCheck)
	defer check.Stop()
	for {
		select {
		case <-w.wake:
		case <-check.C:
			if !b.shared.queue.isFirst(w) {
				continue
			}
		case <-end.C:
			return nil
		}
		if m := b.pick(r, now()); m != nil {
			return m
		}
	}
}

func (q *queue) isFirst(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.first == w
}

// forgetFull lets a request that waits for a place try those again that had none.
func (r *Request) forgetFull() {
	if r.full == 0 {
		return
	}
	sent := r.tried[:0]
	for _, m := range r.tried {
		for _, a := range r.attempts {
			if a.Address == m.Address() {
				sent = append(sent, m)
				break
			}
		}
	}
	r.tried, r.full = sent, 0
}

// Waiting is the number of requests that wait for a place at a server.
func (b *Backend) Waiting() int { return int(b.shared.queue.waiting.Load()) }
