package top

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"l7/admin/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestFrames compares whole screens of the fixed status with testdata/*.golden. Spaces at the end of a line are not told apart.
func TestFrames(t *testing.T) {
	f := func(name string, width, height int, change func(v *view)) {
		t.Helper()
		v := newView(t, width, height)
		change(v)
		compare(t, name, v.frame(), width, height)
	}
	nothing := func(*view) {}
	f("120x30", 120, 30, nothing)
	f("80x24", 80, 24, nothing)
	f("40x12", 40, 12, nothing)
	f("39x12", 39, 12, nothing)
	f("40x8", 40, 8, func(v *view) { v.press("end") })
	f("collapsed", 100, 20, func(v *view) { v.press("enter", "e", "s") })
	f("filter", 80, 24, func(v *view) { v.press("/", "0", ".", "1") })
	f("drain", 80, 24, func(v *view) { v.press("j", "j", "d") })
	f("help", 80, 24, func(v *view) { v.press("?") })
	f("help_small", 40, 8, func(v *view) { v.press("?") })
	f("lost", 80, 24, func(v *view) {
		v.fake.gone = errGone
		v.view(noon.Add(time.Second), noon.Add(9*time.Second))
	})
	f("refused", 80, 24, func(v *view) {
		v.fake.status.Reload.Problems = []string{"l7.yml:3:1: there is no key \"conect\"", "another"}
		v.fake.status.State, v.fake.status.LogDropped = "draining", 17
		v.view(noon)
	})
	f("empty", 80, 24, func(v *view) {
		v.fake.status = &api.Status{Time: noon, Version: "v1", State: "serving", Started: noon}
		v.view(noon)
	})
}

// view looks at the process at some times.
func (v *view) view(at ...time.Time) {
	for _, t := range at {
		v.look(t)
	}
}

func compare(t *testing.T, name string, lines []string, width, height int) {
	t.Helper()
	if len(lines) > height {
		t.Errorf("%s: %d lines on a screen of %d", name, len(lines), height)
	}
	got := ""
	for _, line := range lines {
		if n := ansi.StringWidth(line); n > width {
			t.Errorf("%s: a line has %d columns, more than %d: %q", name, n, width, line)
		}
		got += strings.TrimRight(line, " ") + "\n"
	}
	golden := "testdata/" + name + ".golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s, got:\n%s\nwant:\n%s\n(go test ./cli/top -update writes it anew)", name, got, want)
	}
}

func TestOnce(t *testing.T) {
	text := Once(fixedStatus(), fixedEvents(), 120, false)
	if strings.Contains(text, "\x1b") {
		t.Error("an escape code in plain text")
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	compare(t, "once", lines, 120, len(lines))
	if text := Once(manyServers(3000), nil, 80, true); strings.Count(text, "10.1.") != 3000 {
		t.Error("servers are missing")
	}
}

// TestEverySizeFits: whatever the terminal, no line is too long and no frame too high, in every mode and in colour.
func TestEverySizeFits(t *testing.T) {
	v := newView(t, 80, 24)
	v.Model.look.colour = true
	v.fake.status.Backends[1].Name = "日本語日本語日本語日本語日本語日本語日本語日本語日本語"
	v.view(noon)
	modes := [][]string{{}, {"end"}, {"/", "a"}, {"enter", "?"}, {"x", "s"}, {"home", "j", "d"}, {"n", "r"}}
	for _, keys := range modes {
		v.press(keys...)
		for width := 0; width < 220; width += 1 + width/12 {
			for _, height := range []int{0, 1, 7, 8, 12, 15, 16, 23, 24, 60} {
				v.send(tea.WindowSizeMsg{Width: width, Height: height})
				checkSize(t, v, fmt.Sprintf("%q at %dx%d", keys, width, height))
			}
		}
	}
}

func checkSize(t *testing.T, v *view, what string) {
	t.Helper()
	lines := v.frame()
	if len(lines) > max(1, v.height) {
		t.Fatalf("%s: %d lines", what, len(lines))
	}
	for _, line := range lines {
		if n := ansi.StringWidth(line); n > v.width {
			t.Fatalf("%s: %d columns: %q", what, n, line)
		}
	}
}

// TestNothingButText: what a server has put into a reason cannot move the cursor, and without colours there is no escape code at all.
func TestNothingButText(t *testing.T) {
	v := newView(t, 120, 30)
	if text := strings.Join(v.frame(), "\n"); strings.Contains(text, "\x1b") || !strings.Contains(text, "?[31m5 failures") {
		t.Errorf("%q", text)
	}
	v.Model.look.colour = true
	if text := strings.Join(v.frame(), "\n"); !strings.Contains(text, "\x1b[31m!\x1b[0m") || strings.Contains(text, "\x1b[31m5") {
		t.Errorf("%q", text)
	}
}

func TestSparkline(t *testing.T) {
	f := func(wide int, want string, values ...float64) {
		t.Helper()
		if got := sparkline(values, wide); got != want {
			t.Errorf("%v in %d: %q, want %q", values, wide, got, want)
		}
	}
	f(0, "", 1)
	f(3, "   ")
	f(3, "▁▁▁", 0, 0, 0)
	f(4, "  ▁█", 0, 5)
	f(8, "▁▂▃▄▅▆▇█", 0, 1, 17, 33, 50, 67, 83, 100)
	f(3, "▂▂█", 0.001, 0.001, 100)
	f(2, "█▁", 9, 0, 0, 0)
	f(2, "▁█", 0, 0, 0, 9)
	f(2, "▃█", 1, 0, 0, 9, 0)
	f(3, "▅█▁", 5, 1, 9, 9, 0, 0)
}

func TestFiguresFitTheirColumns(t *testing.T) {
	for _, n := range []float64{-1, 0, 0.001, 0.05, 0.994, 0.995, 0.999, 9.94, 9.95, 999.4, 999.5, 9949, 9950, 59_950, 99_999, 99_999.5, 999_999, 9_999_499, 9_999_500, 1e9} {
		for _, text := range []string{perSecond(n), millis(n)} {
			if len(text) > 6 && n < 1e9 {
				t.Errorf("%v is %q", n, text)
			}
		}
	}
}

// A backend that is down says why in the place of its traffic, and a server that fails how. One that gets requests has no mark, failing or not: l7 status
// has none either.
func TestWhyIsShown(t *testing.T) {
	v := newView(t, 180, 40)
	status := fixedStatus()
	status.Backends[0].Servers[0].LastFailure = &api.Failure{Time: noon.Add(-3 * time.Second), Reason: "connect_refused: \x1b[2J refused"}
	status.Upgrading = true
	status.Backends[0].Servers[3].DrainedUntil = noon.Add(4 * time.Minute)
	status.Backends[1].Problem = "no server is available"
	status.Backends[0].Problem = "web.lab: SERVFAIL for 2m5s; the addresses of before are used"
	v.fake.status = status
	v.look(noon)
	frame := strings.Join(v.frame(), "\n")
	for _, want := range []string{
		`(?m)^  +10\.0\.0\.9:8080 +available .* failed 3s ago: connect_refused: \?\[2J refused`, `!▾ down\.example\.com +down 0/1 .* no server is available`,
		` ▾ api\.example\.com +up 2/4 .* web\.lab: SERVFAIL for 2m5s; the .*3 waiting`,
		`(?m)^l7 v1.4.0  serving  upgrading  pid`, `10\.0\.0\.12:8080 +draining .* 30s drained by command; undrained in 4m00s`,
	} {
		if !regexp.MustCompile(want).MatchString(ansi.Strip(frame)) {
			t.Errorf("%s is not in\n%s", want, frame)
		}
	}
}

// TestTimesHaveOneOrder: where there was little room, p50 stood behind p99, and elsewhere before it.
func TestTimesHaveOneOrder(t *testing.T) {
	f := func(width int, want string) {
		t.Helper()
		line := newView(t, width, 24).frame()[2]
		if !strings.Contains(line, want) || strings.Index(line, "p50") > strings.Index(line, "p99") {
			t.Errorf("%d columns: %q", width, line)
		}
	}
	f(common-1, "p99")
	f(common, "p50")
}
