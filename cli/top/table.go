package top

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"l7/admin/api"
	"l7/cli/words"
)

const (
	// full is the least width that shows every column, common the least one that shows why.
	full   = 100
	common = 80
	// leastName and leastLast are how wide the first and the last column are at least.
	leastName = 14
	leastLast = 12
	// gutter is for the marks before a name: of the selection, of trouble, and of a backend whose servers are hidden.
	gutter = 4
)

// column is one column of figures. Its texts are those of a server and of a backend.
type column struct {
	title   string
	wide    int
	right   bool
	sort    order
	server  func(s *api.Server) string
	backend func(b *api.Backend) string
	least   int // the width of the terminal from which on it is shown
}

// columns are those between the name and the last, which says why. In a narrow terminal the less important are left out.
func columns(wide int) []column {
	state := min(len("available, backup"), max(len("unhealthy"), (wide-40)/4))
	all := []column{
		{"STATE", state, false, byName, stateOf, backendState, 0},
		{"WEIGHT", 6, true, byName, func(s *api.Server) string { return strconv.Itoa(s.Weight) }, func(*api.Backend) string { return "" }, full},
		{"INFLIGHT", 8, true, byInFlight, func(s *api.Server) string { return strconv.Itoa(s.InFlight) }, func(b *api.Backend) string { return strconv.Itoa(b.Traffic.InFlight) }, 60},
		{"REQ/S", 6, true, byRate, func(s *api.Server) string { return perSecond(s.Rate) }, func(b *api.Backend) string { return perSecond(b.Traffic.Rate) }, 0},
		{"P50", 6, true, byName, func(s *api.Server) string { return millis(s.P50) }, func(b *api.Backend) string { return millis(b.Traffic.P50) }, full},
		{"P99", 6, true, byP99, func(s *api.Server) string { return millis(s.P99) }, func(b *api.Backend) string { return millis(b.Traffic.P99) }, 56},
		{"ERR/S", 6, true, byErrors, func(s *api.Server) string { return perSecond(s.ErrorRate) }, func(b *api.Backend) string { return perSecond(b.Traffic.ErrorRate) }, 0},
	}
	shown := all[:0]
	for _, c := range all {
		if wide >= c.least {
			shown = append(shown, c)
		}
	}
	return shown
}

func stateOf(s *api.Server) string {
	if s.Backup {
		return s.State + ", backup"
	}
	return s.State
}

// backendState says how many of the servers get requests.
func backendState(b *api.Backend) string {
	available := 0
	for i := range b.Servers {
		if b.Servers[i].State == "available" {
			available++
		}
	}
	return fmt.Sprintf("%s %d/%d", b.State, available, len(b.Servers))
}

// nameOf is what a row is called. That most servers are spoken to by http:// goes without saying.
func nameOf(r row) string {
	if r.server == nil {
		return words.Plain(r.backend.Name)
	}
	return words.Plain(strings.TrimPrefix(r.server.Address, "http://"))
}

// grid is the widths of a table in a terminal.
type grid struct {
	columns    []column
	name, last int // 0: there is no last column
	indent     int // of servers, within the name
}

// gridOf divides a width. The first column gets what its names need, up to three fifths of what the figures leave, the last one the rest.
func gridOf(wide, names int) grid {
	g := grid{columns: columns(wide)}
	left := wide - gutter
	for _, c := range g.columns {
		left -= 1 + c.wide
	}
	if wide < common {
		g.name = left
		return g
	}
	g.indent = 2
	g.name = min(max(g.indent+names, leastName), left-1-max(leastLast, left*2/5))
	g.last = left - 1 - g.name
	return g
}

// nameCell is the first column of a row. Servers of one backend differ at the end, backends at the beginning.
func (g grid) nameCell(r row) string {
	if r.server == nil {
		return pad(nameOf(r), g.name, false)
	}
	return strings.Repeat(" ", g.indent) + pad(cutLeft(nameOf(r), g.name-g.indent), g.name-g.indent, false)
}

// head is the line of titles, with a mark at the one that the rows are sorted by.
func (m *Model) head(g grid) string {
	line := strings.Repeat(" ", gutter) + pad("BACKEND", g.name, false)
	for _, c := range g.columns {
		title := c.title
		if c.sort != byName && c.sort == m.order && len(title) < c.wide {
			title += map[bool]string{false: "↓", true: "↑"}[m.reversed]
		}
		line += " " + pad(title, c.wide, c.right)
	}
	if g.last > 0 {
		line += " " + cut("MINUTE / WHY", g.last)
	}
	return m.look.paint(words.Bold, line)
}

// line is a row on the screen. A selected one is reversed as a whole and has a mark of its own, for terminals without colours.
func (m *Model) line(r row, g grid, selected bool) string {
	paint := m.look.paint
	mark := " "
	if selected {
		mark, paint = ">", func(_, text string) string { return text }
	}
	state, colour := m.state(r)
	warning := " "
	if isOut(r) {
		warning = "!"
	}
	line := mark + paint(colour, warning) + m.folded(r) + " " + paint(map[bool]string{true: words.Bold}[r.server == nil], g.nameCell(r))
	for i, c := range g.columns {
		text := state
		if i > 0 {
			text = textOf(c, r)
		}
		line += " " + paint(map[bool]string{true: colour}[i == 0], pad(text, c.wide, c.right))
	}
	if g.last > 0 {
		line += " " + paint(m.lastColour(r), pad(m.lastOf(r, g.last), g.last, false))
	}
	if selected {
		return m.look.paint(words.Reverse, line)
	}
	return strings.TrimRight(line, " ")
}

func textOf(c column, r row) string {
	if r.server == nil {
		return c.backend(r.backend)
	}
	return c.server(r.server)
}

// isOut is true for a server that gets no new requests, and for a backend that is down.
func isOut(r row) bool {
	if r.server == nil {
		return r.backend.State == "down"
	}
	return r.server.State != "available"
}

// state is the state of a row and its colour, which is empty for what is well.
func (m *Model) state(r row) (text, colour string) {
	if r.server == nil {
		return backendState(r.backend), words.OfState(r.backend.State)
	}
	if r.server.IsFailing() {
		return stateOf(r.server), words.Yellow
	}
	return stateOf(r.server), words.OfState(r.server.State)
}

func (m *Model) folded(r row) string {
	switch {
	case r.server != nil:
		return " "
	case m.collapsed[r.backend.Name] && m.filter == "":
		return "▸"
	}
	return "▾"
}

// lastOf is the requests of the last minute for a backend, or what is wrong with it, and for a server since when it is so, and why.
func (m *Model) lastOf(r row, wide int) string {
	if r.server == nil {
		waiting := ""
		if n := r.backend.Waiting; n > 0 {
			waiting = fmt.Sprintf(" %d waiting", n)
		}
		line := min(wide-len(waiting), minute)
		if r.backend.Problem != "" {
			return cut(words.Plain(r.backend.Problem), wide-len(waiting)) + waiting
		}
		return sparkline(rates(&r.backend.Traffic), line) + waiting
	}
	return cut(whyOf(r.server, m.status.Time), wide)
}

func (m *Model) lastColour(r row) string {
	switch {
	case r.server != nil:
		return words.Faint
	case r.backend.Problem == "":
		return words.Green
	case r.backend.State == "down":
		return words.Red
	}
	return words.Yellow
}

// whyOf is what came of the last attempt where that failed, or for how long a server is in its state, and why.
func whyOf(s *api.Server, now time.Time) string {
	if s.IsFailing() {
		return "failed " + words.Age(now.Sub(s.LastFailure.Time)) + " ago: " + words.Plain(s.LastFailure.Reason)
	}
	if s.Changed.IsZero() {
		return words.Plain(s.Reason)
	}
	return strings.TrimSpace(words.Age(now.Sub(s.Changed))+" "+words.Plain(s.Reason)) + words.Undrained(s.DrainedUntil, now)
}

// minute is how many points of history there are to show.
const minute = 60

func rates(t *api.Traffic) []float64 {
	return series(t, func(p api.Point) float64 { return p.Rate })
}

func errorRates(t *api.Traffic) []float64 {
	return series(t, func(p api.Point) float64 { return p.ErrorRate })
}

// series is one figure of the last minute.
func series(t *api.Traffic, of func(api.Point) float64) []float64 {
	points := t.History[max(0, len(t.History)-minute):]
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = of(p)
	}
	return values
}
