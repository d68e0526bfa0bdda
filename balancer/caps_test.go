package balancer

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/cause"
	"l7/config"
)

// queueing is a backend of one server that may have one request at a time.
func queueing(t *testing.T, length int, timeout time.Duration) *Backend {
	t.Helper()
	server := script(t, answering("200 OK")).Server
	server.MaxInFlight = 1
	return failing(t, func(cfg *config.Backend) { cfg.Queue = config.Queue{Length: length, Timeout: timeout} }, server)
}

// waits is true as soon as so many requests wait.
func waits(t *testing.T, b *Backend, n int64) {
	t.Helper()
	require.Eventually(t, func() bool { return b.shared.queue.waiting.Load() == n }, patience, time.Millisecond)
}

// Requests get a free place in the order in which they came, and none that comes later is before them.
func TestTheQueueIsFirstComeFirstServed(t *testing.T) {
	b := queueing(t, 5, patience)
	_, held := asked(t, b)
	const n = 5
	served := make(chan int, n+1)
	ask := func(i int) {
		x := asking(t)
		go func() {
			if err := b.Do(x); err != nil {
				t.Error(err)
			}
			served <- i
			x.Finish()
		}()
	}
	for i := range n {
		ask(i)
		waits(t, b, int64(i+1))
	}
	full := b.Do(asking(t))
	require.Equal(t, cause.Full, causeOf(t, full), "one too many")
	require.Positive(t, full.(*cause.Error).RetryAfter) //nolint:errorlint // it always is one
	held.Finish()
	for i := range n {
		require.Equal(t, i, <-served)
	}
	waits(t, b, 0)
	require.Eventually(t, func() bool { return b.members[0].InFlight() == 0 }, patience, time.Millisecond)
}

// Who has waited for too long is told so, and when to come back.
func TestTheQueueHasATimeout(t *testing.T) {
	b := queueing(t, 5, 50*time.Millisecond)
	_, held := asked(t, b)
	err := b.Do(asking(t))
	require.Equal(t, cause.QueueTimeout, causeOf(t, err))
	failure := err.(*cause.Error) //nolint:errorlint // it always is one
	require.True(t, failure.Unsent)
	require.Positive(t, failure.RetryAfter)
	held.Finish()
	_, x := asked(t, b)
	x.Finish()
}

// A server with as many connections as it may have is full: nothing is sent, and it is no failure of its.
func TestMaxConnectionsIsFull(t *testing.T) {
	server := script(t, answering("200 OK"))
	server.MaxConnections = 1
	b := failing(t, nil, server.Server)
	_, held := asked(t, b)
	x := asking(t)
	require.Equal(t, cause.Full, causeOf(t, b.Do(x)))
	require.Empty(t, x.Attempts())
	require.EqualValues(t, 1, server.requests.Load())
	require.Equal(t, 1, b.members[0].Connections())
	held.Finish()
	_, next := asked(t, b)
	next.Finish()
	require.Equal(t, 1, b.members[0].Connections())
	_, failures := counts(b.members[0])
	require.Zero(t, failures)
}

// A retry that finds its place taken waits for another as a first attempt does, and what must not be sent twice never is. A bug had such a retry end
// the request, though the queue had room.
func TestARetryThatFindsItsPlaceTakenWaits(t *testing.T) {
	var came sync.Map // how often each came
	count := func(body string) {
		n, _ := came.LoadOrStore(body, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	}
	closing := script(t, func(_ *net.TCPConn, body string) bool { count(body); return false })
	good := script(t, func(c *net.TCPConn, body string) bool { count(body); return answering("200 OK")(c, body) })
	good.MaxConnections = 1
	b := failing(t, func(cfg *config.Backend) {
		cfg.Policy, cfg.Queue, cfg.Eject.After, cfg.Retry.Budget = "least_loaded", config.Queue{Length: 1000, Timeout: patience}, 0, 100
	}, closing.Server, good.Server)
	const workers, requests = 16, 100
	ask := func(id string, isPost bool) {
		x := asking(t)
		head := "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strconv.Itoa(len(id)) + "\r\n\r\n"
		if isPost {
			head, x.Repeatable = strings.Replace(head, "PUT", "POST", 1), false
		}
		x.Out, x.Head = []byte(head+id), len(head)
		err := b.Do(x)
		if err == nil {
			x.Finish()
			return
		}
		if got := err.(*cause.Error).Cause; !isPost || got != cause.ServerClosed { //nolint:errorlint // it always is one
			t.Error(got, tried(x))
		}
	}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range requests {
				ask(fmt.Sprint(w, " ", i), i%4 == 0)
			}
		})
	}
	all.Wait()
	for w := range workers {
		for i := 0; i < requests; i += 4 {
			n, _ := came.Load(fmt.Sprint(w, " ", i))
			require.EqualValues(t, 1, n.(*atomic.Int64).Load(), "a POST was sent twice")
		}
	}
}

// A request that a kept connection has taken is sent elsewhere as a retry alone, also where its server has no place for a fresh one.
func TestWhatWasTakenIsRetriedAsAllowed(t *testing.T) {
	var taken, kept sync.Map
	var twice atomic.Int64
	took := func(body, server string) {
		if before, again := taken.LoadOrStore(body, server); again && before != server {
			twice.Add(1)
		}
	}
	closing := script(t, func(c *net.TCPConn, body string) bool {
		took(body, "closing")
		_, isKept := kept.LoadOrStore(c, true)
		return !isKept && answering("200 OK")(c, body)
	})
	good := script(t, func(c *net.TCPConn, body string) bool { took(body, "good"); return answering("200 OK")(c, body) })
	closing.MaxConnections, good.MaxConnections = 1, 1
	b := failing(t, func(cfg *config.Backend) {
		cfg.Policy, cfg.Queue, cfg.Eject.After = "least_loaded", config.Queue{Length: 1000, Timeout: patience}, 0
		cfg.Retry.Retries, cfg.Retry.Budget = 0, 0
	}, closing.Server, good.Server)
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 100 {
				id := fmt.Sprint(w, " ", i)
				x := asking(t)
				head := "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strconv.Itoa(len(id)) + "\r\n\r\n"
				x.Out, x.Head = []byte(head+id), len(head)
				if err := b.Do(x); err == nil {
					x.Finish()
				} else if got := causeOf(t, err); got != cause.ServerClosed {
					t.Error(got)
				}
			}
		})
	}
	all.Wait()
	require.Zero(t, twice.Load(), "sent to both, with no retries allowed")
}

// Who waits for a connection waits no longer than the queue allows. A bug had it pick the full server again and again, at once and for ever.
func TestTheQueueForConnectionsHasATimeout(t *testing.T) {
	server := script(t, answering("200 OK"))
	server.MaxConnections = 1
	b := failing(t, func(cfg *config.Backend) { cfg.Queue = config.Queue{Length: 5, Timeout: 100 * time.Millisecond} }, server.Server)
	_, held := asked(t, b)
	ended := make(chan error, 1)
	x := asking(t)
	go func() { ended <- b.Do(x) }()
	select {
	case err := <-ended:
		require.Equal(t, cause.QueueTimeout, causeOf(t, err))
	case <-time.After(2 * time.Second):
		t.Error("it waits for ever")
		held.Finish()
		require.NoError(t, <-ended)
		x.Finish()
		return
	}
	held.Finish()
}

// A request whose client has gone waits no longer, and is nobody's failure.
func TestWhoHasGoneWaitsNoLonger(t *testing.T) {
	b := queueing(t, 5, 0)
	_, held := asked(t, b)
	x, far := streaming(t, 0)
	ended := make(chan error, 1)
	go func() { ended <- b.Do(x) }()
	waits(t, b, 1)
	require.NoError(t, far.SetLinger(0))
	require.NoError(t, far.Close())
	select {
	case err := <-ended:
		require.Equal(t, cause.ClientGone, causeOf(t, err))
	case <-time.After(patience):
		t.Error("it waits although nobody is there to answer")
	}
	waits(t, b, 0)
	held.Finish()
}

// The line is in the order in which the requests came. Who found its place taken goes back to where it was, and its time goes on. A bug had
// those who had met a dead server in between come back in reverse.
func TestWhoWaitsAgainKeepsItsPlaceAndTime(t *testing.T) {
	q := &queue{}
	q.configure(config.Queue{Length: 2, Timeout: time.Minute})
	var requests []*Request
	for i := range 4 {
		at := time.Duration(i+1) * time.Hour
		requests = append(requests, &Request{started: at, at: at})
	}
	one, two := q.join(requests[0]), q.join(requests[1])
	require.Nil(t, q.join(requests[2]), "it is full")
	q.leave(one, true)
	q.leave(two, true)
	three, four := q.join(requests[2]), q.join(requests[3])
	requests[0].at += time.Second
	one = q.join(requests[0])
	require.NotNil(t, one, "it is full, but for who has waited already")
	two = q.join(requests[1])
	require.Equal(t, time.Hour+time.Minute, requests[0].patience)
	for _, w := range []*waiter{one, two, three, four} {
		require.True(t, q.isFirst(w))
		q.leave(w, true)
	}
	require.Nil(t, q.last)
}

// Time in the queue counts towards what all attempts together may take.
func TestTheQueueIsWithinTheTimeForARequest(t *testing.T) {
	server := script(t, answering("200 OK")).Server
	server.MaxInFlight = 1
	cfg := section(server)
	cfg.Queue = config.Queue{Length: 5}
	bounded := options
	bounded.Request = 50 * time.Millisecond
	b := New("b", cfg, newRegistry(), bounded)
	b.Activate()
	defer b.Close()
	_, held := asked(t, b)
	require.Equal(t, cause.QueueTimeout, causeOf(t, b.Do(asking(t))))
	held.Finish()
}

// A config that comes to nothing changes nothing of the queue in force. A bug had it take the new bounds before the config was in force.
func TestARefusedConfigLeavesTheQueue(t *testing.T) {
	registry := newRegistry()
	cfg := section(script(t, answering("200 OK")).Server)
	cfg.Queue = config.Queue{Length: 5, Timeout: time.Minute}
	b := activated(t, registry, cfg, nil)
	defer b.Close()
	cfg.Queue = config.Queue{}
	New("b", cfg, registry, options).Close()
	require.Equal(t, 5, b.shared.queue.length)
	require.Equal(t, time.Minute, b.shared.queue.timeout)
}
