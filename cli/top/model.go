package top

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	tea "charm.land/bubbletea/v2"

	"l7/admin/api"
	"l7/cli/words"
)

const (
	// patience is how long the process may take to answer before it counts as lost.
	patience = 5 * time.Second
	// noteLooks is for how many looks at the process a note stays.
	noteLooks = 15
)

// Model is the state of the view. Its methods belong to one goroutine, as bubbletea calls them.
type Model struct {
	ctx      context.Context // ends what is asked of the process
	client   Client
	interval time.Duration
	look     look
	once     bool // a frame to be printed: nothing is selected, and there are no keys

	width, height int
	status        *api.Status // nil until there is one
	events        []api.Event // the oldest first
	lost          *loss       // nil while the process answers

	paused     bool
	helping    bool
	showEvents bool
	typing     bool // keys are text of the filter
	filter     string
	order      order
	reversed   bool
	collapsed  map[string]bool // by backend
	question   *question       // waits for y or n
	note       note

	rows   []row // what passes the filter, in order
	names  int   // the width of the longest name in rows
	cursor int   // of the selected row
	first  int   // row on the screen
}

// New returns a view that has nothing to show yet. What it asks of the client ends with the context.
func New(ctx context.Context, c Client, interval time.Duration) *Model {
	return &Model{ctx: ctx, client: c, interval: interval, showEvents: true, collapsed: map[string]bool{}}
}

// loss says since when and why the process does not answer.
type loss struct {
	since, now time.Time
	err        error
}

// question is what is done on y.
type question struct {
	text string
	busy string // the note while it is being done
	do   tea.Cmd
}

// note is what came of something the user asked for.
type note struct {
	text  string
	bad   bool
	looks int // left, until it goes away
}

// The messages. Times are in them, so that Update needs no clock.
type (
	// tickMsg says that it is time to look again.
	tickMsg struct{}
	// lookMsg is what a look at the process has brought.
	lookMsg struct {
		status *api.Status
		events []api.Event // nil: not asked for, or not answered
		err    error
		at     time.Time
		extra  bool // beside those of the ticks, so no tick follows it
	}
	// doneMsg is what came of something the user asked for.
	doneMsg struct {
		text string
		err  error
	}
)

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return m.ask(false) }

// ask looks at the process.
func (m *Model) ask(extra bool) tea.Cmd {
	wantEvents := m.showEvents
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, patience)
		defer cancel()
		msg := lookMsg{extra: extra}
		msg.status, msg.err = m.client.Status(ctx)
		if msg.err == nil && wantEvents {
			msg.events, _ = m.client.Events(ctx) // the figures are worth showing without them
		}
		msg.at = time.Now()
		return msg
	}
}

func (m *Model) nextTick() tea.Cmd {
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return tickMsg{} })
}

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.update(msg)
	m.scroll()
	return m, cmd
}

func (m *Model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m.press(msg)
	case tea.PasteMsg:
		if m.typing {
			m.setFilter(m.filter + words.Plain(msg.Content))
		}
	case tickMsg:
		return m.tick()
	case lookMsg:
		return m.looked(msg)
	case doneMsg:
		m.note = note{text: msg.text, looks: noteLooks}
		if msg.err != nil {
			m.note = note{text: reasonOf(msg.err), bad: true, looks: noteLooks}
		}
		return m.ask(true)
	}
	return nil
}

// tick looks again. There is one tick, or one look that a tick follows, at any time, so that looks never pile up.
func (m *Model) tick() tea.Cmd {
	if m.note.looks--; m.note.looks <= 0 {
		m.note = note{}
	}
	if m.paused {
		return m.nextTick()
	}
	return m.ask(false)
}

func (m *Model) looked(msg lookMsg) tea.Cmd {
	switch {
	case m.paused: // what is shown stays
	case msg.err != nil && m.lost == nil:
		m.lost = &loss{since: msg.at, now: msg.at, err: msg.err}
	case msg.err != nil:
		m.lost = &loss{since: m.lost.since, now: msg.at, err: msg.err}
	default:
		m.lost = nil
		if msg.events != nil {
			m.events = msg.events
		}
		m.show(msg.status)
	}
	if msg.extra {
		return nil
	}
	return m.nextTick()
}

// show puts a status in the place of the one before.
func (m *Model) show(s *api.Status) {
	m.status = s
	m.arrange()
}

// reasonOf is an error as a person reads it, without the URL that only this program knows.
func reasonOf(err error) string {
	var call *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", patience)
	case errors.As(err, &call):
		return words.Plain(call.Err.Error())
	}
	return words.Plain(err.Error())
}

// drain asks the process to keep new work from a server.
func (m *Model) drain(r api.DrainRequest) tea.Cmd {
	return m.change(r.Server+" is drained", func(ctx context.Context) error {
		_, err := m.client.Drain(ctx, r)
		return err
	})
}

// undrain asks the process to let a server have work again.
func (m *Model) undrain(r api.DrainRequest) tea.Cmd {
	return m.change(r.Server+" is undrained", func(ctx context.Context) error {
		_, err := m.client.Undrain(ctx, r)
		return err
	})
}

func (m *Model) change(done string, do func(context.Context) error) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, patience)
		defer cancel()
		return doneMsg{text: done, err: do(ctx)}
	}
}

// reload asks the process to load its config anew. Names are looked up on the way, so it takes as long as it takes.
func (m *Model) reload() tea.Cmd {
	return func() tea.Msg {
		r, err := m.client.Reload(m.ctx)
		switch {
		case err != nil:
			return doneMsg{err: err}
		case r.Failed():
			return doneMsg{err: errors.New("reload refused: " + firstOf(r.Problems))}
		case len(r.Changes) == 0:
			return doneMsg{text: fmt.Sprintf("reloaded, nothing changed; generation %d", r.Generation)}
		}
		return doneMsg{text: fmt.Sprintf("reloaded, generation %d: %s", r.Generation, firstOf(r.Changes))}
	}
}

// firstOf is the first of some lines, with how many there are besides.
func firstOf(lines []string) string {
	if len(lines) == 1 {
		return words.Plain(lines[0])
	}
	return fmt.Sprintf("%s (and %d more)", words.Plain(lines[0]), len(lines)-1)
}
