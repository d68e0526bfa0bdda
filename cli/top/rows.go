package top

import (
	"cmp"
	"slices"
	"strings"

	"l7/admin/api"
)

// row is a line of the table: a backend, or one of its servers.
type row struct {
	backend *api.Backend
	server  *api.Server // nil for the backend itself
}

// order is what the rows are sorted by.
type order int

const (
	byName order = iota
	byRate
	byP99
	byErrors
	byInFlight
	orders // how many there are
)

func (o order) String() string {
	return [...]string{"name", "req/s", "p99", "errors", "in flight"}[o]
}

// figures is what there is to sort by.
type figures struct {
	rate, p99, errors float64
	inFlight          int
}

func (o order) of(f figures) float64 {
	return [...]float64{0, f.rate, f.p99, f.errors, float64(f.inFlight)}[o]
}

func backendFigures(b *api.Backend) figures {
	t := &b.Traffic
	return figures{t.Rate, t.P99, t.ErrorRate, t.InFlight}
}

func serverFigures(s *api.Server) figures {
	return figures{s.Rate, s.P99, s.ErrorRate, s.InFlight}
}

// arrange makes the rows anew. What is selected stays so, wherever it goes to; when it is gone, the place stays.
func (m *Model) arrange() {
	if m.status == nil {
		return
	}
	before := m.selected()
	m.rows, m.names = m.rows[:0:0], 0
	words := strings.Fields(strings.ToLower(m.filter))
	for _, b := range sorted(m.status.Backends, backendFigures, m.order, m.reversed) {
		m.addBackend(b, words)
	}
	for _, r := range m.rows {
		m.names = max(m.names, cells(nameOf(r)))
	}
	m.reselect(before)
}

// addBackend adds a backend and its servers, or what of them the words are in.
func (m *Model) addBackend(b *api.Backend, words []string) {
	var servers []row
	for _, s := range sorted(b.Servers, serverFigures, m.order, m.reversed) {
		if has(words, b.Name, s.Address, s.State) {
			servers = append(servers, row{b, s})
		}
	}
	if len(servers) == 0 && !has(words, b.Name, b.State) {
		return
	}
	m.rows = append(m.rows, row{backend: b})
	if len(words) > 0 || !m.collapsed[b.Name] {
		m.rows = append(m.rows, servers...)
	}
}

// has is true when each word is in one of the texts. The words are in lower case.
func has(words []string, texts ...string) bool {
	if len(words) == 0 {
		return true
	}
	text := strings.ToLower(strings.Join(texts, "\n"))
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
}

// sorted is the list with the largest first, and those that are equal as the process lists them: backends by name, servers as the
// config has them, which is also what "by name" means. The list itself, which belongs to the status, stays as it is.
func sorted[T any](list []T, of func(*T) figures, by order, reversed bool) []*T {
	out := make([]*T, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	slices.SortStableFunc(out, func(a, b *T) int { return cmp.Compare(by.of(of(b)), by.of(of(a))) })
	if reversed {
		slices.Reverse(out)
	}
	return out
}

// selected is the row under the cursor, nil when there is none.
func (m *Model) selected() *row {
	if m.once || m.cursor < 0 || m.cursor >= len(m.rows) {
		return nil
	}
	r := m.rows[m.cursor]
	return &r
}

func (m *Model) reselect(before *row) {
	same := func(r row) bool {
		if before == nil || r.backend.Name != before.backend.Name || (r.server == nil) != (before.server == nil) {
			return false
		}
		return r.server == nil || r.server.Address == before.server.Address
	}
	if i := slices.IndexFunc(m.rows, same); i >= 0 {
		m.cursor = i
	}
	m.cursor = max(0, min(m.cursor, len(m.rows)-1))
}

// scroll moves the rows on the screen as little as brings the selected one into sight.
func (m *Model) scroll() {
	body := max(1, m.layout().body)
	m.first = min(m.first, m.cursor, max(0, len(m.rows)-body))
	m.first = max(m.first, m.cursor-body+1, 0)
}
