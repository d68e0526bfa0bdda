package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"l7/admin/api"
	"l7/cli/words"
)

func whyCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "why",
		Usage:     "say what state a server is in, and what led to it",
		ArgsUsage: "ADDRESS",
		Description: `Prints the last 50 changes, the newest last, for each backend that has the server.

l7 why http://10.0.0.4:8080
l7 why 10.0.0.4:8080 --backend example.com/api`,
		Flags: remoteFlags(&cli.StringFlag{Name: "backend", Aliases: []string{"b"}, Usage: "in the backend `NAME` alone"}),
		Action: remotely(p, func(ctx context.Context, c *cli.Context, r *remote) error {
			if err := countArguments(c, 1, 1, "the ADDRESS of a server"); err != nil {
				return err
			}
			list, err := soon(ctx, r, func(ctx context.Context) ([]api.History, error) {
				return r.History(ctx, c.String("backend"), c.Args().First())
			})
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(p.Stdout, list)
			}
			var out bytes.Buffer
			for i := range list {
				if i > 0 {
					out.WriteByte('\n')
				}
				writeHistory(&out, &list[i], lookOf(p.Stdout, p))
			}
			_, err = p.Stdout.Write(out.Bytes())
			return err
		}),
	}
}

func writeHistory(w *bytes.Buffer, h *api.History, l look) {
	s := h.Server
	fmt.Fprintf(w, "%s in %s: %s", words.Plain(s.Address), words.Plain(h.Backend), l.paint(words.OfState(s.State), s.State))
	if !s.Changed.IsZero() {
		fmt.Fprintf(w, ", for %s", words.Age(time.Since(s.Changed)))
	}
	if s.Reason != "" {
		fmt.Fprintf(w, ": %s", words.Plain(s.Reason))
	}
	fmt.Fprintf(w, "%s\nweight %d, %d in flight, %s, %s\n", words.Undrained(s.DrainedUntil, time.Now()), s.Weight, s.InFlight, words.Count(int(s.Attempts), "attempt"), words.Count(int(s.Failures), "failure"))
	if s.LastFailure != nil {
		fmt.Fprintf(w, "the last attempt failed %s ago: %s\n", words.Age(time.Since(s.LastFailure.Time)), words.Plain(s.LastFailure.Reason))
	}
	if s.Check != nil {
		fmt.Fprintf(w, "last check %s ago: %s\n", words.Age(time.Since(s.Check.Time)), cmp.Or(words.Plain(s.Check.Reason), "well"))
	}
	if len(h.Changes) == 0 {
		fmt.Fprintln(w, "  its state has not changed since l7 was started")
	}
	for i := range h.Changes {
		e := &h.Changes[i]
		fmt.Fprintf(w, "  %s  %s\n", moment(e.Time), stateText(e, l))
	}
}

// stateText is what an event tells, without whom it is about.
func stateText(e *api.Event, l look) string {
	text := l.paint(words.OfEvent(e.State), e.State)
	if e.Reason != "" {
		text += ": " + words.Plain(e.Reason)
	}
	return text
}
