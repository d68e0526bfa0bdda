package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"l7/admin/api"
)

func someEvents() []api.Event {
	return []api.Event{
		{ID: 1, Time: at("15:00:00"), Kind: "process", State: "started"},
		{ID: 2, Time: at("15:01:00"), Kind: "server", Backend: "web", Server: "http://10.0.0.9:80", State: "unhealthy", Reason: "connect: connection refused"},
		{ID: 3, Time: at("15:01:00"), Kind: "backend", Backend: "web", State: "down"},
		{ID: 4, Time: at("15:02:00"), Kind: "reload", State: "refused", Reason: "l7.yml:1:1: wrong"},
	}
}

func eventLines() (lines []string) {
	return []string{
		moment(at("15:00:00")) + "  process started\n",
		moment(at("15:01:00")) + "  web http://10.0.0.9:80 unhealthy: connect: connection refused\n",
		moment(at("15:01:00")) + "  web down\n",
		moment(at("15:02:00")) + "  reload refused: l7.yml:1:1: wrong\n",
	}
}

func TestEvents(t *testing.T) {
	r := newRunning(t)
	r.answers[api.PathEvents] = someEvents()
	want := eventLines()
	assert.Equal(t, ran{0, want[0] + want[1] + want[2] + want[3], ""}, r.ask("events"))
	assert.Contains(t, r.ask("events", "--json").stdout, "[\n  {\n    \"id\": 1,\n")
}

// The stream begins where it begins; what has happened between the list and the stream is asked for. A stream that ends is the end of
// the process.
func TestEventsFollow(t *testing.T) {
	f := func(list, all []api.Event, stream ...api.Event) string {
		t.Helper()
		r := newRunning(t)
		r.answers[api.PathEvents] = list
		r.stream = stream
		got := r.followed(all, "events", "--follow")
		assert.Equal(t, exitUnreachable, got.code)
		assert.Contains(t, got.stderr, "the stream of events has ended")
		return got.stdout
	}
	e, want := someEvents(), eventLines()
	assert.Equal(t, want[0]+want[1]+want[2], f(e[:1], nil, e[1], e[2]))
	assert.Equal(t, want[0]+want[1]+want[2]+want[3], f(e[:1], e, e[2], e[3]), "one was missed")
	assert.Equal(t, want[0]+want[1]+want[2]+want[3], f(e[:2], e, e[3], e[3]), "and none told of twice")
	assert.Equal(t, want[0]+want[3], f(e[:1], e[:1], e[3]), "it is not to be had any more")
	assert.Equal(t, want[2], f(nil, nil, e[2]))
}

// A line was 64 KiB at most, and a longer one, of a large reload, passed for the end of the process.
func TestEventsFollowLongLine(t *testing.T) {
	r := newRunning(t)
	r.answers[api.PathEvents] = []api.Event{}
	long := strings.Repeat("backend a: +http://10.0.0.9:80; ", 30_000)
	r.stream = []api.Event{{ID: 1, Kind: "reload", State: "reloaded", Reason: long}, {ID: 2, Kind: "process", State: "last"}}
	got := r.ask("events", "--follow")
	assert.Contains(t, got.stdout, long)
	assert.Contains(t, got.stdout, "process last")
}

// followed runs a command line; from the second time on that events are asked for they are these.
func (r *running) followed(all []api.Event, argv ...string) ran {
	r.later = all
	return r.ask(argv...)
}

func TestEventsFollowJSON(t *testing.T) {
	r := newRunning(t)
	r.answers[api.PathEvents] = someEvents()[:1]
	r.stream = someEvents()[2:3]
	got := r.ask("events", "--follow", "--json")
	assert.Regexp(t, `^\{"id":1,.*\}\n\{"id":3,.*\}\n$`, got.stdout)
}

func TestEventsFollowInterrupted(t *testing.T) {
	interrupt := interruptible(t)
	r := newRunning(t)
	r.answers[api.PathEvents] = someEvents()[:1]
	r.streaming = interrupt
	assert.Equal(t, ran{0, eventLines()[0], ""}, r.ask("events", "--follow"))
}
