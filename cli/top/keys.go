package top

import (
	"fmt"
	"slices"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"l7/admin/api"
	"l7/cli/words"
)

// binding is what some keys do.
type binding struct {
	keys       []string // as bubbletea calls them
	name, text string   // for the help
	do         func(m *Model) tea.Cmd
}

// bindings are all keys, in the order of the help, which a low terminal cuts.
func bindings() []binding {
	bind := func(do func(m *Model) tea.Cmd, name, text string, keys ...string) binding {
		return binding{keys, name, text, do}
	}
	return []binding{
		bind(func(*Model) tea.Cmd { return tea.Quit }, "q ctrl-c", "quit", "q", "ctrl+c"),
		bind(move(-1), "up k", "the row above", "up", "k"),
		bind(move(1), "down j", "the row below", "down", "j"),
		bind(page(-1), "pgup ctrl-b", "a page up", "pgup", "ctrl+b"),
		bind(page(1), "pgdn ctrl-f", "a page down", "pgdown", "ctrl+f"),
		bind(func(m *Model) tea.Cmd { return m.goTo(0) }, "home g", "the first row", "home", "g"),
		bind(func(m *Model) tea.Cmd { return m.goTo(len(m.rows) - 1) }, "end G", "the last row", "end", "G"),
		bind((*Model).fold, "enter space", "hide or show the servers of a backend", "enter", "space"),
		bind((*Model).nextOrder, "s", "sort by the next: name, req/s, p99, errors, in flight", "s"),
		bind((*Model).turn, "S", "turn the order round", "S"),
		bind((*Model).startTyping, "/", "filter: words of backend, server or state", "/"),
		bind((*Model).escape, "esc", "take the note or the filter away", "esc"),
		bind((*Model).askDrain, "d", "drain the server: no new requests", "d"),
		bind((*Model).askUndrain, "u", "undrain the server", "u"),
		bind((*Model).askReload, "r", "reload the config", "r"),
		bind((*Model).toggleEvents, "e", "show or hide the events", "e"),
		bind((*Model).pause, "p", "pause, and go on", "p"),
		bind((*Model).help, "?", "this help", "?"),
		bind(func(*Model) tea.Cmd { return tea.Suspend }, "ctrl-z", "suspend; fg comes back", "ctrl+z"),
	}
}

// press does what a key is for at this moment.
func (m *Model) press(msg tea.KeyPressMsg) tea.Cmd {
	switch {
	case msg.String() == "ctrl+c":
		return tea.Quit
	case m.question != nil:
		return m.answer(msg)
	case m.typing:
		return m.typed(msg)
	case m.helping:
		m.helping = false
		return nil
	}
	for _, b := range bindings() {
		if slices.Contains(b.keys, msg.String()) {
			return b.do(m)
		}
	}
	return nil
}

// answer does what was asked for on y, and nothing on any other key.
func (m *Model) answer(msg tea.KeyPressMsg) tea.Cmd {
	q := m.question
	m.question = nil
	if s := msg.String(); s != "y" && s != "Y" {
		m.note = note{text: "nothing done", looks: noteLooks}
		return nil
	}
	m.note = note{text: q.busy, looks: noteLooks}
	return q.do
}

// typed changes the filter by a key.
func (m *Model) typed(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "esc":
		m.typing = false
		m.setFilter("")
	case "enter":
		m.typing = false
	case "backspace", "ctrl+h":
		_, size := utf8.DecodeLastRuneInString(m.filter)
		m.setFilter(m.filter[:len(m.filter)-size])
	case "ctrl+u":
		m.setFilter("")
	default:
		m.setFilter(m.filter + words.Plain(msg.Text))
	}
	return nil
}

func (m *Model) setFilter(text string) {
	m.filter = text
	m.arrange()
}

func (m *Model) goTo(i int) tea.Cmd {
	m.cursor = max(0, min(i, len(m.rows)-1))
	return nil
}

func move(by int) func(*Model) tea.Cmd {
	return func(m *Model) tea.Cmd { return m.goTo(m.cursor + by) }
}

func page(by int) func(*Model) tea.Cmd {
	return func(m *Model) tea.Cmd { return m.goTo(m.cursor + by*max(1, m.layout().body-1)) }
}

// fold hides or shows the servers of the selected backend. The selection goes to the backend, which stays visible. A filter shows
// what it finds in any case, so there is nothing to fold while there is one.
func (m *Model) fold() tea.Cmd {
	at := m.selected()
	if at == nil || m.filter != "" {
		return nil
	}
	name := at.backend.Name
	m.collapsed[name] = !m.collapsed[name]
	for m.cursor > 0 && m.rows[m.cursor].server != nil {
		m.cursor--
	}
	m.arrange()
	return nil
}

func (m *Model) nextOrder() tea.Cmd {
	m.order = (m.order + 1) % orders
	m.arrange()
	return nil
}

func (m *Model) turn() tea.Cmd {
	m.reversed = !m.reversed
	m.arrange()
	return nil
}

func (m *Model) startTyping() tea.Cmd {
	m.typing = true
	return nil
}

func (m *Model) escape() tea.Cmd {
	if m.note.text != "" {
		m.note = note{}
		return nil
	}
	m.setFilter("")
	return nil
}

// place is the selected server, as the process wants it named. Without one, a note says what is missing.
func (m *Model) place(verb string) (r api.DrainRequest, ok bool) {
	at := m.selected()
	if at == nil || at.server == nil {
		m.note = note{text: "select a server to " + verb, looks: noteLooks}
		return r, false
	}
	return api.DrainRequest{Backend: at.backend.Name, Server: at.server.Address}, true
}

func (m *Model) askDrain() tea.Cmd {
	r, ok := m.place("drain")
	switch {
	case !ok:
	case m.selected().server.Drained:
		m.note = note{text: words.Plain(r.Server) + " is drained already", looks: noteLooks}
	default:
		m.question = &question{
			text: fmt.Sprintf("drain %s of %s? y/n", words.Plain(r.Server), words.Plain(r.Backend)),
			busy: "draining " + words.Plain(r.Server), do: m.drain(r),
		}
	}
	return nil
}

// askUndrain undrains without a question: it takes nothing from anybody.
func (m *Model) askUndrain() tea.Cmd {
	r, ok := m.place("undrain")
	switch {
	case !ok:
		return nil
	case !m.selected().server.Drained:
		m.note = note{text: words.Plain(r.Server) + " is not drained", looks: noteLooks}
		return nil
	}
	m.note = note{text: "undraining " + words.Plain(r.Server), looks: noteLooks}
	return m.undrain(r)
}

func (m *Model) askReload() tea.Cmd {
	m.question = &question{text: "reload the config? y/n", busy: "reloading", do: m.reload()}
	return nil
}

func (m *Model) toggleEvents() tea.Cmd {
	m.showEvents = !m.showEvents
	return nil
}

func (m *Model) pause() tea.Cmd {
	m.paused = !m.paused
	return nil
}

func (m *Model) help() tea.Cmd {
	m.helping = true
	return nil
}
