package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"l7/admin/api"
	"l7/cli/top"
)

const (
	// leastInterval keeps `l7 top` from being the load that it shows.
	leastInterval = 100 * time.Millisecond
	// printedWidth is how wide a printed frame is where neither the terminal nor COLUMNS says it.
	printedWidth = 120
)

func topCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "watch the running process live, and drain, undrain and reload by a key",
		Description: `Rates and times are of the last ten seconds, the charts of the last minute. A server that gets no new requests, and a backend
that is down, has a '!' before it. Press ? for the keys.

l7 top
l7 top --once                       one frame as text, for a file or a pipe
l7 top --admin /run/l7/admin.sock   another process than the usual one`,
		Flags: remoteFlags(
			&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "look again after the `TIME`"},
			&cli.BoolFlag{Name: "once", Usage: "print one frame, and end"},
		),
		Action: remotely(p, func(ctx context.Context, c *cli.Context, r *remote) error {
			terminal, err := topTerminal(c, p)
			if err != nil {
				return err
			}
			status, err := soon(ctx, r, r.Status)
			switch {
			case err != nil:
				return err
			case c.Bool("json"):
				return printJSON(p.Stdout, status)
			case c.Bool("once"):
				return printFrame(ctx, r, status)
			}
			err = top.Run(ctx, r.Client, status, terminal, c.Duration("interval"))
			if errors.Is(err, context.Canceled) {
				return errInterrupted
			}
			return err
		}),
	}
}

// topTerminal is the terminal that the view is shown on. It is empty, and may be missing, where one frame is to be printed.
func topTerminal(c *cli.Context, p Process) (t top.Terminal, err error) {
	if c.Duration("interval") < leastInterval {
		return t, usagef("--interval is %s, and the least is %s", c.Duration("interval"), leastInterval)
	}
	if c.Bool("once") {
		return t, nil
	}
	if c.Bool("json") {
		return t, usagef("top shows no JSON; see `l7 status --watch --json`, or add --once")
	}
	l := lookOf(p.Stdout, p)
	out, _ := p.Stdout.(*os.File)
	if !l.terminal || p.Stdin == nil || !isTerminal(p.Stdin) {
		return t, usagef("top needs a terminal; elsewhere there are `l7 top --once` and `l7 status`")
	}
	return top.Terminal{In: p.Stdin, Out: out, Environ: p.Environ, Colour: l.colour}, nil
}

// printFrame prints the view as it is at the moment. It says all that it can without the events.
func printFrame(ctx context.Context, r *remote, s *api.Status) error {
	events, _ := soon(ctx, r, r.Events)
	l := lookOf(r.p.Stdout, r.p)
	width := l.width
	if columns, err := strconv.Atoi(r.p.getenv("COLUMNS")); width == 0 && err == nil {
		width = columns
	}
	if width <= 0 {
		width = printedWidth
	}
	_, err := io.WriteString(r.p.Stdout, top.Once(s, events, width, l.colour))
	return err
}
