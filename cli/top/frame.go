package top

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"l7/admin/api"
	"l7/cli/words"
)

const (
	// leastWidth and leastHeight are what a terminal must have.
	leastWidth  = 40
	leastHeight = 8
	// roomy is the height from which on all of the header is shown, and what there is to know about the selected row.
	roomy = 16
	// eventful is the height from which on events keep a place of their own; below, they get what the rows leave.
	eventful    = 24
	fewEvents   = 3
	mostEvents  = 8
	keptInFrame = 2 // the line of titles and the line of keys
)

// layout is how the height is divided.
type layout struct {
	header, detail, body, events int // events: lines of them, under a title where there are any
}

func (l layout) fixed() int { return l.header + l.detail + keptInFrame }

func (m *Model) layout() layout {
	l := layout{header: 3}
	if m.once || m.height >= roomy {
		l.header, l.detail = 4, 2
	}
	if m.once {
		l.detail = 0
	}
	space := max(0, m.height-l.fixed())
	if m.showEvents && len(m.events) > 0 {
		least := 0
		if m.height >= eventful {
			least = fewEvents
		}
		l.events = max(least, min(mostEvents, space-len(m.rows)-1))
		l.events = max(0, min(l.events, len(m.events)))
	}
	l.body = space - l.events
	if l.events > 0 {
		l.body-- // their title
	}
	return l
}

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.frame(), "\n"))
	v.AltScreen = true
	return v
}

// frame is the lines on the screen. None is wider than the screen.
func (m *Model) frame() []string {
	switch {
	case m.width == 0 || m.status == nil:
		return nil // the terminal has not said how large it is
	case m.width < leastWidth || m.height < leastHeight:
		return []string{cut(fmt.Sprintf("l7 top needs %d columns and %d lines", leastWidth, leastHeight), m.width)}
	}
	l := m.layout()
	lines := m.header(l)
	if m.helping {
		lines = append(lines, m.helpLines(m.height-l.header-1)...)
		return append(lines, cut("any key goes back", m.width))
	}
	g := gridOf(m.width, m.names)
	lines = append(lines, m.head(g))
	lines = append(lines, m.body(g, l.body)...)
	if l.events > 0 {
		lines = append(lines, m.eventLines(l.events)...)
	}
	if m.once {
		return lines
	}
	if l.detail > 0 {
		lines = append(lines, m.detail()...)
	}
	return append(lines, m.footer())
}

func (m *Model) header(l layout) []string {
	s := m.status
	state := m.look.paint(cmp.Or(words.OfState(s.State), words.Green), s.State)
	paused, upgrading := "", ""
	if s.Upgrading {
		upgrading = m.look.paint(words.Yellow, "upgrading")
	}
	if m.paused {
		paused = m.look.paint(words.Yellow, "PAUSED")
	}
	lines := []string{
		fit(m.width, m.look.paint(words.Bold, "l7 "+words.Plain(s.Version)), paused, state, upgrading, fmt.Sprintf("pid %d", s.PID), "up "+words.Age(s.Time.Sub(s.Started)), fmt.Sprintf("generation %d", s.Generation)),
		m.newsLine(),
		m.trafficLine(),
	}
	if l.header > len(lines) {
		lines = append(lines, m.chartLine())
	}
	return lines
}

// newsLine is what matters most of: the process is lost, the last reload was refused, where the config is from.
func (m *Model) newsLine() string {
	s := m.status
	config := "config from arguments and environment"
	if s.ConfigFile != "" {
		config = "config " + words.Plain(s.ConfigFile)
	}
	switch {
	case m.lost != nil:
		text := fmt.Sprintf("! connection lost, retrying (%s): %s", words.Age(m.lost.now.Sub(m.lost.since)), reasonOf(m.lost.err))
		return m.look.paint(words.Red, cut(text, m.width))
	case s.Reload == nil:
		return fit(m.width, "not reloaded yet", config)
	case s.Reload.Failed():
		text := fmt.Sprintf("! reload refused %s ago: %s", words.Age(s.Time.Sub(s.Reload.Time)), firstOf(s.Reload.Problems))
		return m.look.paint(words.Red, cut(text, m.width))
	}
	return fit(m.width, "reload ok "+words.Age(s.Time.Sub(s.Reload.Time))+" ago", config)
}

func (m *Model) trafficLine() string {
	s, t := m.status, m.status.Total
	errors := perSecond(t.ErrorRate) + " errors/s"
	if t.ErrorRate > 0 {
		errors = m.look.paint(words.Red, errors)
	}
	dropped := ""
	if s.LogDropped > 0 {
		dropped = m.look.paint(words.Red, fmt.Sprintf("! %d log lines dropped", s.LogDropped))
	}
	rate := perSecond(t.Rate) + " req/s"
	if m.width < common {
		return fit(m.width, rate, errors, "p99 "+millis(t.P99), dropped, fmt.Sprintf("conns %d", s.Connections))
	}
	return fit(m.width, rate, errors, "p50 "+millis(t.P50), "p99 "+millis(t.P99), dropped, words.Count(s.Connections, "connection"), fmt.Sprintf("%d in flight", t.InFlight))
}

// chartLine is the last minute: requests, and errors where there is room for both.
func (m *Model) chartLine() string {
	t := &m.status.Total
	if m.width < common {
		return "req/s " + m.look.paint(words.Green, sparkline(rates(t), min(minute, m.width-6)))
	}
	each := min(minute, (m.width-17)/2)
	return "req/s " + m.look.paint(words.Green, sparkline(rates(t), each)) + "  errors/s " + m.look.paint(words.Red, sparkline(errorRates(t), each))
}

// body is the rows on the screen, and nothing below the last.
func (m *Model) body(g grid, height int) []string {
	first := m.first
	if m.once {
		first, height = 0, len(m.rows)
	}
	lines := make([]string, 0, height)
	for i := first; i < min(first+height, len(m.rows)); i++ {
		lines = append(lines, m.line(m.rows[i], g, !m.once && i == m.cursor))
	}
	if len(m.rows) == 0 && height > 0 {
		text := "there are no backends"
		if m.filter != "" {
			text = "nothing has " + m.filter
		}
		lines = append(lines, cut(strings.Repeat(" ", gutter)+text, m.width))
	}
	for !m.once && len(lines) < height {
		lines = append(lines, "")
	}
	return lines
}

// eventLines are the last events, the newest first.
func (m *Model) eventLines(n int) []string {
	lines := []string{m.look.paint(words.Bold, "EVENTS")}
	for i := len(m.events) - 1; i >= len(m.events)-n; i-- {
		e := &m.events[i]
		subject := e.Kind
		if e.Backend != "" {
			subject = words.Plain(e.Backend)
		}
		if e.Server != "" {
			subject += " " + words.Plain(strings.TrimPrefix(e.Server, "http://"))
		}
		text := pad(words.Age(m.status.Time.Sub(e.Time))+" ago", 10, true) + "  " + subject + " " + e.State
		if e.Reason != "" {
			text += ": " + words.Plain(e.Reason)
		}
		lines = append(lines, m.look.paint(words.OfEvent(e.State), cut(text, m.width)))
	}
	return lines
}

// detail is two lines about the selected row: the errors of its backend by cause, and what its columns have no room for.
func (m *Model) detail() []string {
	at := m.selected()
	if at == nil {
		return []string{"", ""}
	}
	causes := errorsOf(at.backend)
	about := backendDetail(at.backend)
	if at.server != nil {
		about = fmt.Sprintf("%s: %s", words.Plain(at.server.Address), stateOf(at.server))
		if why := whyOf(at.server, m.status.Time); why != "" {
			about += " for " + why
		}
	}
	return []string{cut(causes, m.width), cut(about, m.width)}
}

// errorsOf is what has gone wrong at a backend. What its servers have answered themselves has no cause, so it is counted by status.
func errorsOf(b *api.Backend) string {
	parts := largest(b.Traffic.Causes)
	if n := b.Traffic.Statuses["5xx"]; n > 0 {
		parts = append([]string{fmt.Sprintf("answers 5xx %d", n)}, parts...)
	}
	if len(parts) == 0 {
		parts = []string{"none"}
	}
	return fmt.Sprintf("errors of %s since the start: %s", words.Plain(b.Name), strings.Join(parts, ", "))
}

func backendDetail(b *api.Backend) string {
	parts := []string{words.Plain(b.Name) + ": " + b.Policy, words.Count(len(b.Servers), "server")}
	for _, class := range slices.Sorted(maps.Keys(b.Traffic.Statuses)) {
		parts = append(parts, fmt.Sprintf("%s %d", class, b.Traffic.Statuses[class]))
	}
	return strings.Join(append(parts, fmt.Sprintf("retries %d", b.Retries), fmt.Sprintf("waiting %d", b.Waiting)), ", ")
}

// largest are counts with their names, the largest first.
func largest(counts map[string]uint64) []string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, counts[name])
	}
	return names
}

// footer is what is being asked, said or typed; otherwise the keys.
func (m *Model) footer() string {
	switch {
	case m.question != nil:
		return m.look.paint(words.Bold, cut(m.question.text, m.width))
	case m.typing:
		return cutLeft("filter: "+m.filter+"_", m.width)
	case m.note.bad:
		return m.look.paint(words.Red, cut("! "+m.note.text, m.width))
	case m.note.text != "":
		return cut(m.note.text, m.width)
	}
	filter := ""
	if m.filter != "" {
		filter = m.look.paint(words.Yellow, "filter: "+m.filter+" (esc)")
	}
	sort := "s sort: " + m.order.String()
	if m.reversed {
		sort += " reversed"
	}
	return fit(m.width, filter, "? help", "q quit", sort, "/ filter", "d drain", "u undrain", "r reload", "e events", "p pause")
}

// helpLines are the keys, as many as there is room for.
func (m *Model) helpLines(height int) []string {
	var lines []string
	for _, b := range bindings() {
		lines = append(lines, cut("  "+m.look.paint(words.Bold, pad(b.name, 13, false))+b.text, m.width))
	}
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines[:max(0, height)]
}
