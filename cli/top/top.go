// Package top is the live view of a running l7 in a terminal: who takes how much, who is out and why, and keys to drain and reload.
//
// It shows what the admin room says and decides nothing by itself. The model (model.go, keys.go) changes on messages alone and asks
// the process in commands, so that a process that does not answer never holds up the keys; frame.go and table.go draw it, only
// what is visible. Colours are written here rather than by lipgloss: importing that package runs `tmux info` at the start of
// every l7 whose standard output is a terminal of tmux, also of one that serves.
package top

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"l7/admin/api"
)

// Client is what the view asks of the running process. *api.Client is one. The methods are called from several goroutines.
type Client interface {
	Status(ctx context.Context) (*api.Status, error)
	Events(ctx context.Context) ([]api.Event, error)
	Drain(ctx context.Context, r api.DrainRequest) (*api.Server, error)
	Undrain(ctx context.Context, r api.DrainRequest) (*api.Server, error)
	Reload(ctx context.Context) (*api.Reload, error)
}

// Terminal is where the view is shown.
type Terminal struct {
	In, Out *os.File
	Environ []string
	Colour  bool
}

// framesPerSecond bounds how often the screen is drawn; a key is seen after half a frame on average.
const framesPerSecond = 30

// Run shows the view until the user leaves it, and the terminal is then as it was before, also after an error. The first status is
// what there is to see before the process is asked again. The error is the context's when that ends first.
func Run(ctx context.Context, c Client, first *api.Status, t Terminal, interval time.Duration) error {
	m := New(ctx, c, interval)
	m.look.colour = t.Colour
	m.show(first)
	profile := colorprofile.ANSI // the 16 colours, as the user has chosen them
	if !t.Colour {
		profile = colorprofile.ASCII
	}
	program := tea.NewProgram(m,
		tea.WithContext(ctx), tea.WithoutSignalHandler(), // whoever made the context minds the signals
		tea.WithInput(t.In), tea.WithOutput(t.Out), tea.WithEnvironment(t.Environ),
		tea.WithColorProfile(profile), // the library's own search for it runs `tmux info`
		tea.WithFPS(framesPerSecond))
	_, err := program.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, tea.ErrProgramPanic):
		return errors.New("BUG: the view panicked; what it said of that is above")
	}
	return fmt.Errorf("cannot use the terminal: %w", err)
}

// Once is the view as a text: every backend and server, nothing selected, no keys.
func Once(s *api.Status, events []api.Event, width int, colour bool) string {
	m := New(context.Background(), nil, 0)
	m.look.colour = colour
	m.once = true
	m.events = events
	m.width = max(width, leastWidth)
	m.show(s)
	m.height = m.layout().fixed() + len(m.rows) + 1 + min(len(events), mostEvents)
	return strings.Join(m.frame(), "\n") + "\n"
}
