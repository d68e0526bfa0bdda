package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"l7/admin/api"
	"l7/cli/words"
)

func eventsCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:  "events",
		Usage: "show what has happened to servers, backends and the config",
		Description: `Prints the last events, the newest last.

l7 events
l7 events --follow                  and each further one as it happens, until Ctrl-C
l7 events --follow --json | jq .    one JSON object a line`,
		Flags: remoteFlags(&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with each event as it happens, until Ctrl-C"}),
		Action: remotely(p, func(ctx context.Context, c *cli.Context, r *remote) error {
			list, err := soon(ctx, r, r.Events)
			switch {
			case err != nil:
				return err
			case c.Bool("follow"):
				return follow(ctx, r, list, eventPrinter(p, c.Bool("json")))
			case c.Bool("json"):
				return printJSON(p.Stdout, list)
			}
			return printEvents(list, 0, eventPrinter(p, false))
		}),
	}
}

// eventPrinter prints an event in a line.
func eventPrinter(p Process, asJSON bool) func(*api.Event) error {
	if asJSON {
		encoder := json.NewEncoder(p.Stdout)
		encoder.SetEscapeHTML(false)
		return func(e *api.Event) error { return encoder.Encode(e) }
	}
	l := lookOf(p.Stdout, p)
	return func(e *api.Event) error {
		subject := e.Kind
		if e.Backend != "" {
			subject = words.Plain(e.Backend)
		}
		if e.Server != "" {
			subject += " " + words.Plain(e.Server)
		}
		_, err := fmt.Fprintf(p.Stdout, "%s  %s %s\n", moment(e.Time), subject, stateText(e, l))
		return err
	}
}

// printEvents prints the events that come after the one with a number.
func printEvents(list []api.Event, after uint64, print func(*api.Event) error) error {
	for i := range list {
		if list[i].ID <= after {
			continue
		}
		if err := print(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// follow prints the events that there are, and then each as it happens. Those between are asked for as soon as a number is missing.
func follow(ctx context.Context, r *remote, list []api.Event, print func(*api.Event) error) error {
	last := uint64(0)
	if len(list) > 0 {
		last = list[len(list)-1].ID
	}
	err := printEvents(list, 0, print)
	if err != nil {
		return err
	}
	var stopped error
	err = r.Follow(ctx, func(e api.Event) bool {
		missed := []api.Event{e}
		if e.ID > last+1 {
			if all, err := soon(ctx, r, r.Events); err == nil && len(all) > 0 && all[len(all)-1].ID >= e.ID {
				missed = all
			}
		}
		stopped = printEvents(missed, last, print)
		last = max(last, missed[len(missed)-1].ID)
		return stopped == nil
	})
	switch {
	case stopped != nil:
		return stopped
	case ctx.Err() != nil:
		return nil
	case errors.As(err, new(*api.Error)) || errors.As(err, new(*api.UnreachableError)):
		return err
	}
	return &api.UnreachableError{Socket: r.socket, Err: errors.New("the stream of events has ended")}
}
