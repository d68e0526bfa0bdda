package e2e

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	gib      = 1 << 30
	overIdle = 64 << 20 // how much more than at rest l7 may need for a body, whatever the size of that
	stops    = 8        // of a slow reader, each until nothing moves any more
	longTime = 2 * time.Minute
)

// flow is a large body on its way.
type flow struct {
	size    int64
	in, out atomic.Int64 // bytes that have gone in, and come out at the other end

	sent, received chan struct{} // closed when that is over; what is below is then valid
	inSum, outSum  uint32
	held           int64 // the most that was on the way at a stop
}

// send writes the body.
func (f *flow) send(w io.Writer) error {
	defer close(f.sent)
	piece := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(piece)
	for f.in.Load() < f.size {
		n, err := w.Write(piece[:min(int64(len(piece)), f.size-f.in.Load())])
		f.inSum = crc32.Update(f.inSum, crc32.IEEETable, piece[:n])
		f.in.Add(int64(n))
		if err != nil {
			return err
		}
	}
	return nil
}

// receive reads the body, slowly.
func (f *flow) receive(r io.Reader) error {
	defer close(f.received)
	piece := make([]byte, 256<<10)
	for next := int64(1); ; {
		n, err := r.Read(piece)
		f.outSum = crc32.Update(f.outSum, crc32.IEEETable, piece[:n])
		if f.out.Add(int64(n)) >= next && err == nil {
			f.awaitStill()
			f.held = max(f.held, f.in.Load()-f.out.Load())
			next += f.size / stops
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// awaitStill waits until nothing more goes in, since everything on the way is full.
func (f *flow) awaitStill() {
	for before := int64(-1); before != f.in.Load(); time.Sleep(20 * time.Millisecond) { // as long as it moves
		before = f.in.Load()
	}
}

// ServeHTTP is the server's end: it takes a body, or gives one, with or without a length.
func (f *flow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		if err := f.receive(r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	if r.URL.Path == "/length" {
		w.Header().Set("Content-Length", strconv.FormatInt(f.size, 10))
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_ = f.send(w) // the client sees what is missing
}

// Both ways, a body that is larger than memory passes, and a slow reader slows the sender.
func TestLargeBodiesTakeLittleMemory(t *testing.T) {
	t.Parallel()
	var current atomic.Pointer[flow]
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/nothing" {
			current.Load().ServeHTTP(w, r)
		}
	})
	l := startReleased(t, listenAnywhere, "backends: {example.com: {servers: ['"+server+"']}}")
	l.get("http://example.com/nothing").is(http.StatusOK)
	idle := l.memory(resident)

	f := func(name string, size int64, pass func(conn *connection, f *flow)) {
		t.Helper()
		body := &flow{size: size, sent: make(chan struct{}), received: make(chan struct{})}
		current.Store(body)
		conn := l.connect()
		require.NoError(t, conn.SetDeadline(time.Now().Add(longTime)))
		l.forgetPeak()
		began := time.Now()
		pass(conn, body)
		await(t, body.sent, "the end of sending")
		await(t, body.received, "the end of receiving")
		more := l.memory(peak) - idle
		t.Logf("%s of %d MiB in %v: %d KiB over %d KiB at rest; at most %d KiB on the way", name, size>>20,
			time.Since(began).Round(10*time.Millisecond), more>>10, idle>>10, body.held>>10)
		assert.Equal(t, size, body.out.Load())
		assert.Equal(t, body.inSum, body.outSum, "other bytes have arrived")
		assert.Less(t, more, int64(overIdle), name)
		assert.Less(t, body.held, size/2, "a slow reader does not slow the sender (the system itself holds some 70 MiB)")
		assert.NotZero(t, body.held, "the reader was not slow")
	}
	upload := func(framing string, body func(conn *connection, f *flow) error) func(*connection, *flow) {
		return func(conn *connection, f *flow) {
			_, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: example.com\r\n%s\r\n\r\n", framing)
			require.NoError(t, err)
			require.NoError(t, body(conn, f))
			conn.read().is(http.StatusOK)
		}
	}
	download := func(path string) func(*connection, *flow) {
		return func(conn *connection, f *flow) {
			_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: example.com\r\n\r\n")
			require.NoError(t, err)
			response, err := http.ReadResponse(conn.reader, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, response.StatusCode)
			require.NoError(t, f.receive(response.Body))
		}
	}
	f("upload", gib, upload("Content-Length: "+strconv.Itoa(gib), func(conn *connection, f *flow) error { return f.send(conn) }))
	f("upload in chunks", gib/4, upload("Transfer-Encoding: chunked", func(conn *connection, f *flow) error {
		chunks := httputil.NewChunkedWriter(conn)
		if err := f.send(chunks); err != nil {
			return err
		}
		if err := chunks.Close(); err != nil {
			return err
		}
		_, err := io.WriteString(conn, "\r\n")
		return err
	}))
	f("download", gib, download("/length"))
	f("download in chunks", gib/4, download("/"))
}

// It runs alone, since it is about time. Other programs can still make a round late; a proxy that holds events back makes each one late.
func TestEventsArriveAtOnce(t *testing.T) {
	const (
		events = 50
		most   = 50 * time.Millisecond
		rounds = 3
	)
	left, got := make(chan time.Time, events), make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		out := http.NewResponseController(w)
		for i := range events {
			left <- time.Now()
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = out.Flush() // the client sees what is missing
			if i%2 == 0 {
				continue // the next comes while this one is under way
			}
			select {
			case <-got:
			case <-r.Context().Done():
				return
			}
		}
	})
	l := startArgs(t, "example.com="+server)
	round := func() []time.Duration {
		response, err := l.http.Get("http://example.com/")
		require.NoError(t, err)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		took := make([]time.Duration, 0, events)
		for i := range events {
			require.True(t, lines.Scan(), "event %d: %v", i, lines.Err())
			took = append(took, time.Since(<-left))
			require.Equal(t, "data: "+strconv.Itoa(i), lines.Text())
			require.True(t, lines.Scan() && lines.Text() == "", "event %d has no end", i)
			if i%2 == 1 {
				got <- struct{}{}
			}
		}
		require.False(t, lines.Scan())
		slices.Sort(took)
		return took
	}
	var latest []string
	for range rounds {
		took := round()
		latest = append(latest, fmt.Sprintf("median %v, latest %v", took[events/2], took[events-1]))
		if took[events-1] <= most && took[events/2] <= most/5 {
			t.Log(strings.Join(latest, "; "))
			return
		}
	}
	assert.Fail(t, "events are late", strings.Join(latest, "; "))
}
