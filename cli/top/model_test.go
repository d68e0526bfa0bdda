package top

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"

	"l7/admin/api"
)

// TestKeys types keys at the fixed status, and looks at what is selected and shown. Backends are their first letter, servers the
// place that they have in the status.
func TestKeys(t *testing.T) {
	const all = " a:0123 d:0 s:01"
	f := func(keys, at, shown string) {
		t.Helper()
		v := newView(t, 120, 30)
		v.press(strings.Fields(keys)...)
		if got := v.at(); !strings.Contains(got, at) || at == "" && got != "" {
			t.Errorf("%q selects %q, want %q", keys, got, at)
		}
		if got := v.shown(); got != shown {
			t.Errorf("%q shows%s, want%s", keys, got, shown)
		}
	}
	f("", "api.example.com", all)
	f("down", "10.0.0.9:", all)
	f("j j", "10.0.0.10:", all)
	f("j j k up", "api.example.com", all)
	f("up up", "api.example.com", all)
	f("end", "long-name-2", all)
	f("G down j", "long-name-2", all)
	f("end home", "api.example.com", all)
	f("pgdown", "long-name-2", all)
	f("pgdown pgup", "api.example.com", all)

	f("enter", "api.example.com", " a: d:0 s:01")
	f("enter enter", "api.example.com", all)
	f("j j space", "api.example.com", " a: d:0 s:01")
	f("space down", "down.example.com", " a: d:0 s:01")

	f("s", "api.example.com", " a:0123 s:10 d:0")
	f("s S", "api.example.com", " d:0 s:01 a:3210")
	f("s s", "api.example.com", " a:1023 s:01 d:0")
	f("s s s", "api.example.com", " a:1023 d:0 s:01")
	f("s s s s", "api.example.com", " a:1023 s:10 d:0")
	f("s s s s s", "api.example.com", all)
	f("S", "api.example.com", " s:10 d:0 a:3210")
	f("end s", "long-name-2", " a:0123 s:10 d:0")

	f("/ d o w n enter", "down.example.com", " d:0")
	f("/ U N H E A L", "api.example.com", " a:2")
	f("/ 1 0 . 0 . 0 . 1 1 enter enter", "api.example.com", " a:2")
	f("/ a p i space d r a i n enter", "api.example.com", " a:3")
	f("/ x y z", "", "")
	f("/ x y z esc", "api.example.com", all)
	f("/ x y z enter esc", "api.example.com", all)
	f("/ d x backspace enter j", "10.0.0.12:", " a:3 d:0")
	f("/ q enter", "", "")
	f("enter / 1 0 . 1 2 enter", "", "")
	f("enter / 0 . 1 2 enter", "api.example.com", " a:3")
	f("? j", "api.example.com", all)
	f("p e j", "10.0.0.9:", all)
}

func TestQuit(t *testing.T) {
	f := func(quits bool, keys ...string) {
		t.Helper()
		v := newView(t, 80, 24)
		v.press(keys...)
		if v.quit != quits {
			t.Errorf("%q: quit is %v", keys, v.quit)
		}
	}
	f(true, "q")
	f(true, "ctrl+c")
	f(true, "/", "ctrl+c")
	f(true, "d", "ctrl+c")
	f(false, "/", "q")
	f(false, "r", "q")
	f(false, "?", "q")
}

// TestPlaceStays: a selected server that goes away leaves its place to the next, and one that moves is followed.
func TestPlaceStays(t *testing.T) {
	v := newView(t, 80, 24)
	v.press("j", "j", "j")
	v.fake.status = fixedStatus()
	a := &v.fake.status.Backends[0]
	a.Servers = slices.Delete(a.Servers, 2, 3)
	v.look(noon)
	if got := v.at(); got != "http://10.0.0.12:8080" {
		t.Errorf("selected is %q", got)
	}
	v.fake.status = &api.Status{Time: noon}
	v.look(noon)
	if got := v.at(); got != "" {
		t.Errorf("selected is %q", got)
	}
	v.press("j", "d", "enter", "end", "u") // nothing to do, and nothing to fall over
}

func TestDrain(t *testing.T) {
	f := func(keys, calls, footer string) {
		t.Helper()
		v := newView(t, 120, 30)
		v.press(strings.Fields(keys)...)
		if got := strings.Join(v.fake.calls, ","); got != calls {
			t.Errorf("%q calls %q, want %q", keys, got, calls)
		}
		if got := v.footer(); !strings.Contains(got, footer) {
			t.Errorf("%q: the last line is %q, want %q", keys, got, footer)
		}
	}
	const place = "api.example.com http://10.0.0.9:8080"
	f("j d", "", "drain http://10.0.0.9:8080 of api.example.com? y/n")
	f("j d y", "drain "+place, "http://10.0.0.9:8080 is drained")
	f("j d n", "", "nothing done")
	f("j d esc", "", "nothing done")
	f("j d j", "", "nothing done")
	f("d", "", "select a server to drain")
	f("j j j j d", "", "is drained already")
	f("j j j j u", "undrain api.example.com http://10.0.0.12:8080", "is undrained")
	f("j u", "", "is not drained")
	f("u", "", "select a server to undrain")
	f("j d n esc", "", "? help")
}

// TestDrainTakesTheServerThatWasAskedAbout, wherever the cursor gets to until the answer.
func TestDrainTakesTheServerThatWasAskedAbout(t *testing.T) {
	v := newView(t, 120, 30)
	v.press("j", "d")
	v.fake.status = &api.Status{Time: noon}
	v.look(noon)
	v.press("y")
	if got := fmt.Sprint(v.fake.calls); got != "[drain api.example.com http://10.0.0.9:8080]" {
		t.Error(got)
	}
}

func TestReload(t *testing.T) {
	f := func(r *api.Reload, gone error, footer string) {
		t.Helper()
		v := newView(t, 120, 30)
		v.fake.reload, v.fake.gone = r, gone
		v.press("r")
		if got := v.footer(); got != "reload the config? y/n" || len(v.fake.calls) > 0 {
			t.Errorf("asked with %q, called %q", got, v.fake.calls)
		}
		v.press("y")
		if got := v.footer(); got != footer {
			t.Errorf("the last line is %q, want %q", got, footer)
		}
	}
	f(&api.Reload{Generation: 8}, nil, "reloaded, nothing changed; generation 8")
	f(&api.Reload{Generation: 8, Changes: []string{"backends.a: added", "b"}}, nil, "reloaded, generation 8: backends.a: added (and 1 more)")
	f(&api.Reload{Generation: 7, Problems: []string{"l7.yml:3:1: no such key"}}, nil, "! reload refused: l7.yml:3:1: no such key")
	f(nil, errGone, "! "+errGone.Error())
	f(nil, &url.Error{Op: "Post", URL: "http://l7/api/reload", Err: errors.New("EOF")}, "! EOF")
}

// TestLost: the view says that the process is gone, keeps the last figures, goes on asking, and comes back.
func TestLost(t *testing.T) {
	v := newView(t, 80, 24)
	v.fake.gone = errGone
	v.look(noon)
	v.look(noon.Add(12 * time.Second))
	news := v.frame()[1]
	if !strings.HasPrefix(news, "! connection lost, retrying (12s): cannot reach") {
		t.Error(news)
	}
	if v.shown() == "" {
		t.Error("the last figures are gone")
	}
	v.press("j", "j")
	if !strings.Contains(v.at(), "10.0.0.10") {
		t.Error("the keys are dead")
	}
	if _, next := v.Update(lookMsg{err: errGone, at: noon}); next == nil {
		t.Error("nobody asks again")
	}
	v.fake.gone = nil
	v.look(noon.Add(13 * time.Second))
	if news := v.frame()[1]; strings.Contains(news, "lost") {
		t.Error(news)
	}
}

// TestSlowProcess: a process that does not answer is lost after a while, and a look at it ends with the view.
func TestSlowProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := New(ctx, hanging{}, time.Second)
		began := time.Now()
		msg := m.ask(false)().(lookMsg)
		if got := reasonOf(msg.err); got != "no answer within 5s" || time.Since(began) != patience {
			t.Errorf("%q after %s", got, time.Since(began))
		}
		cancel()
		if msg := m.ask(false)().(lookMsg); !errors.Is(msg.err, context.Canceled) {
			t.Error(msg.err)
		}
	})
}

// hanging is a process that never answers.
type hanging struct{ Client }

func (hanging) Status(ctx context.Context) (*api.Status, error) {
	<-ctx.Done()
	return nil, &url.Error{Op: "Get", URL: "http://l7/api/status", Err: ctx.Err()}
}

// TestPause: nothing changes on the screen, nobody is asked, and it goes on afterwards.
func TestPause(t *testing.T) {
	v := newView(t, 80, 24)
	v.press("p")
	before := v.frame()
	if !strings.Contains(before[0], "PAUSED") {
		t.Error(before[0])
	}
	v.fake.status = &api.Status{Time: noon.Add(time.Hour)}
	v.look(noon) // was under way
	if !slices.Equal(v.frame(), before) {
		t.Error("what is shown has changed")
	}
	synctest.Test(t, func(t *testing.T) {
		if _, ok := v.tick()().(tickMsg); !ok {
			t.Error("a tick asks the process")
		}
	})
	v.press("p")
	v.send(tickMsg{})
	if v.status != v.fake.status {
		t.Error("it does not go on")
	}
}

// TestOneLookAtATime: what is asked beside the ticks has no tick of its own, or they would become more and more.
func TestOneLookAtATime(t *testing.T) {
	v := newView(t, 80, 24)
	_, next := v.Update(doneMsg{text: "done"})
	extra := next().(lookMsg)
	if _, next = v.Update(extra); next != nil {
		t.Error("a further tick")
	}
	if _, next = v.Update(v.ask(false)()); next == nil {
		t.Error("no further tick")
	}
}

// TestNotesGoAway after some looks at the process, and errors too.
func TestNotesGoAway(t *testing.T) {
	v := newView(t, 80, 24)
	v.send(doneMsg{err: errGone})
	for range noteLooks - 1 {
		v.send(tickMsg{})
	}
	if !strings.HasPrefix(v.footer(), "! cannot reach") {
		t.Errorf("gone too early: %q", v.footer())
	}
	v.send(tickMsg{})
	if !strings.HasPrefix(v.footer(), "? help") {
		t.Error(v.footer())
	}
}

// TestPaste: a text goes into the filter, without what could move the cursor, and is nothing at any other time.
func TestPaste(t *testing.T) {
	v := newView(t, 80, 24)
	v.send(tea.PasteMsg{Content: "qd"})
	v.press("/")
	v.send(tea.PasteMsg{Content: "10.\x1b"})
	if v.quit || v.filter != "10.?" {
		t.Errorf("%v %q", v.quit, v.filter)
	}
}

// TestThousands: the selected row is on the screen wherever it is, and no more rows are drawn than there is room for.
func TestThousands(t *testing.T) {
	v := newView(t, 100, 30)
	v.fake.status = manyServers(5000)
	v.look(noon)
	for _, keys := range []string{"end", "k", "pgup", "pgup", "home", "pgdown", "down"} {
		v.press(keys)
		frame := v.frame()
		if len(frame) != 30 {
			t.Fatalf("%s: %d lines", keys, len(frame))
		}
		if !slices.ContainsFunc(frame, func(line string) bool { return strings.HasPrefix(line, ">") }) {
			t.Errorf("%s: what is selected cannot be seen:\n%s", keys, strings.Join(frame, "\n"))
		}
	}
}

func manyServers(n int) *api.Status {
	s := &api.Status{Time: noon, Version: "v1", State: "serving", Backends: []api.Backend{{Name: "web", State: "up"}}}
	for i := range n {
		s.Backends[0].Servers = append(s.Backends[0].Servers, api.Server{Address: fmt.Sprintf("http://10.1.%d.%d:80", i/250, i%250), State: "available", Rate: float64(i % 7)})
	}
	return s
}

// BenchmarkKey is a key that moves the selection, and the frame after it, among 5000 servers.
func BenchmarkKey(b *testing.B) {
	m := New(b.Context(), &fake{}, time.Second)
	m.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
	m.Update(lookMsg{status: manyServers(5000), at: noon})
	b.ReportAllocs()
	for b.Loop() {
		m.Update(keyOf("down"))
		m.View()
	}
}

// BenchmarkLook is a new status of 5000 servers, and the frame after it.
func BenchmarkLook(b *testing.B) {
	m := New(b.Context(), &fake{}, time.Second)
	m.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
	status := manyServers(5000)
	b.ReportAllocs()
	for b.Loop() {
		m.Update(lookMsg{status: status, at: noon})
		m.View()
	}
}
