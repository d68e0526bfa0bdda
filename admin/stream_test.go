package admin

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

// nextMessage reads one event of a stream, without its empty line.
func nextMessage(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var message strings.Builder
	for {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		if line == "\n" {
			return message.String()
		}
		message.WriteString(line)
	}
}

func TestStream(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket})
	response := ask(t, unixAddr(socket), http.MethodGet+" "+api.PathStream, "", nil)
	assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	r := bufio.NewReader(response.Body)
	assert.Contains(t, nextMessage(t, r), "event: status\ndata: {\"time\":")
	p.happen(fakeEvent(9))
	for {
		message := nextMessage(t, r)
		if strings.HasPrefix(message, "event: status\n") {
			continue
		}
		assert.Contains(t, message, "event: event\ndata: {\"id\":9,")
		break
	}
	s.Close() // the reader is still there
	_, err := r.ReadString(0)
	assert.Error(t, err)
	assert.Zero(t, p.following())
	assert.Empty(t, s.streams)
}

// The client of the commands understands what is sent.
func TestFollow(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	settle(t, s, Settings{Socket: socketIn(t)})
	var got []api.Event
	done := make(chan error)
	client := api.NewClient(s.SocketPath())
	go func() {
		done <- client.Follow(t.Context(), func(e api.Event) bool {
			got = append(got, e)
			return len(got) < 2
		})
	}()
	<-p.followed
	p.happen(fakeEvent(1))
	p.happen(fakeEvent(2))
	require.NoError(t, <-done)
	assert.Equal(t, []api.Event{fakeEvent(1), fakeEvent(2)}, got)
}

func TestAcceptsStream(t *testing.T) {
	f := func(accept string, want bool) {
		t.Helper()
		assert.Equal(t, want, wantsStream(&http.Request{Header: http.Header{"Accept": {accept}}}), accept)
	}
	f("text/event-stream", true)
	f("application/json, Text/Event-Stream;q=0.5", true)
	f("application/json", false)
	f("*/*", false)
	f("", false)
	f("text/event-streams", false)
}

func TestTooManyStreams(t *testing.T) {
	s := newRoom(t, newFake())
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket})
	for range maxStreams {
		s.streams <- struct{}{}
	}
	for _, path := range []string{api.PathStream, api.PathEvents} {
		stream := func(r *http.Request) { r.Header.Set("Accept", "text/event-stream") }
		response := ask(t, unixAddr(socket), http.MethodGet+" "+path, "", stream)
		assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		assert.Equal(t, "5", response.Header.Get("Retry-After"))
		assert.Contains(t, text(t, response), "64")
	}
	<-s.streams
	response := ask(t, unixAddr(socket), http.MethodGet+" "+api.PathStream, "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	for range maxStreams - 1 {
		<-s.streams
	}
}

// streamed runs a stream of a door for a while, on a clock of its own, and returns what it has sent. It has ended by itself when ended is true.
func streamed(d *door, r *http.Request, withStatus bool, while time.Duration) (sent string, ended bool) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	recorder, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		d.server.stream(d, recorder, r.WithContext(ctx), withStatus)
	}()
	time.Sleep(while) // of the bubble's time
	synctest.Wait()
	select {
	case <-done:
		return recorder.Body.String(), true
	default:
	}
	cancel()
	<-done
	return recorder.Body.String(), false
}

func TestPace(t *testing.T) {
	f := func(withStatus bool, while time.Duration, statuses, heartbeats int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			d := &door{trusted: true}
			d.init(newRoom(t, newFake()))
			sent, ended := streamed(d, httptest.NewRequest(http.MethodGet, api.PathStream, nil), withStatus, while)
			assert.False(t, ended)
			assert.Equal(t, statuses, strings.Count(sent, "event: status\n"))
			assert.Equal(t, heartbeats, strings.Count(sent, ":\n\n"))
		})
	}
	f(true, 0, 1, 0)
	f(true, 10*time.Second, 11, 0)
	f(true, 31*time.Second, 32, 2)
	f(false, 31*time.Second, 0, 2)
}

// A stream that a login has opened ends when a reload has taken the login away.
func TestStreamOfAFormerUser(t *testing.T) {
	f := func(logins map[string]string, want bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			d := &door{}
			d.init(newRoom(t, newFake()))
			d.access.Store(&access{users: usersOf(t, logins)})
			r := httptest.NewRequest(http.MethodGet, api.PathStream, nil)
			r.SetBasicAuth("bob", "sesame")
			_, ended := streamed(d, r, true, time.Minute)
			assert.Equal(t, want, ended)
		})
	}
	f(map[string]string{"bob": "sesame", "eve": "x"}, false)
	f(map[string]string{"eve": "x"}, true)
	f(map[string]string{"bob": "another"}, true)
}

// A reader that takes nothing does not keep a door from closing.
func TestCloseWithASlowReader(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket})
	ask(t, unixAddr(socket), http.MethodGet+" "+api.PathStream, "", nil)
	for range 8 {
		p.happen(fakeEvent(1))
	}
	s.Close()
	assert.Zero(t, p.following())
}
