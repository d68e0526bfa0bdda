package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"l7/admin/api"
	"l7/cli/words"
)

func drainCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "drain",
		Usage:     "keep new requests from a server, and let those in flight finish",
		ArgsUsage: "[BACKEND] ADDRESS",
		Description: `An ADDRESS that only one backend has may stand alone. A server stays drained over reloads and upgrades, until it is undrained
or l7 is restarted.

l7 drain example.com/api http://10.0.0.4:8080 --wait    and come back when its last request is done
l7 drain 10.0.0.4:8080 --for 5m                         undrained by itself in five minutes`,
		Flags: remoteFlags(
			&cli.BoolFlag{Name: "wait", Usage: "wait until no request is in flight at the server"},
			&cli.DurationFlag{Name: "for", Usage: "undrain it by itself after the `TIME`, as in 5m"},
			&cli.DurationFlag{Name: "timeout", Value: 10 * time.Minute, Usage: "how much `TIME` --wait gives the requests; 0s: no bound"},
		),
		Action: remotely(p, func(ctx context.Context, c *cli.Context, r *remote) error {
			request, err := drainRequest(c)
			if err != nil {
				return err
			}
			before, err := soon(ctx, r, r.Status)
			if err != nil {
				return err
			}
			server, err := soon(ctx, r, func(ctx context.Context) (*api.Server, error) { return r.Drain(ctx, request) })
			if err != nil {
				return err
			}
			request.Server = server.Address
			warnOfLast(p.Stderr, before, request)
			if c.Bool("wait") {
				if server, err = r.emptied(ctx, request, c.Duration("timeout")); err != nil {
					return stillDrained(r, request, err)
				}
			}
			return printDrained(p, request, server, c.Bool("json"))
		}),
	}
}

func undrainCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "undrain",
		Usage:     "let a drained server have requests again",
		ArgsUsage: "[BACKEND] ADDRESS",
		Description: `An ADDRESS that only one backend has may stand alone.

l7 undrain example.com/api http://10.0.0.4:8080`,
		Flags: remoteFlags(),
		Action: remotely(p, func(ctx context.Context, c *cli.Context, r *remote) error {
			request, err := serverRequest(c)
			if err != nil {
				return err
			}
			server, err := soon(ctx, r, func(ctx context.Context) (*api.Server, error) { return r.Undrain(ctx, request) })
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(p.Stdout, server)
			}
			_, err = fmt.Fprintf(p.Stdout, "%s is undrained; its state is: %s\n", words.Plain(server.Address), server.State)
			return err
		}),
	}
}

// drainRequest reads the arguments and the flags of drain.
func drainRequest(c *cli.Context) (api.DrainRequest, error) {
	request, err := serverRequest(c)
	request.For = c.Duration("for").Seconds()
	if err == nil {
		err = notBelowZero(c, "for", "timeout")
	}
	return request, err
}

// serverRequest reads the arguments that name a server. An empty backend leaves it to the running process to find the one.
func serverRequest(c *cli.Context) (r api.DrainRequest, err error) {
	if err := countArguments(c, 1, 2, "a BACKEND and the ADDRESS of one of its servers"); err != nil {
		return r, err
	}
	words := c.Args().Slice()
	r.Server = words[len(words)-1]
	if len(words) == 2 {
		r.Backend = words[0]
	}
	return r, nil
}

func printDrained(p Process, request api.DrainRequest, s *api.Server, asJSON bool) error {
	if asJSON {
		return printJSON(p.Stdout, s)
	}
	text := fmt.Sprintf("%s is drained; %s in flight", words.Plain(s.Address), words.Count(s.InFlight, "request"))
	if request.For > 0 {
		text += fmt.Sprintf("; it will be undrained by itself, %s after it was drained", time.Duration(request.For*float64(time.Second)))
	}
	_, err := fmt.Fprintln(p.Stdout, text)
	return err
}

// warnOfLast tells of a backend that has nobody left to take its requests, now that a server is drained; before is how things stood until then.
func warnOfLast(w io.Writer, before *api.Status, place api.DrainRequest) {
	b, s := find(before, place)
	if s == nil || !takesRequests(*s) {
		return
	}
	other := func(o api.Server) bool { return o.Address != s.Address && takesRequests(o) }
	if !slices.ContainsFunc(b.Servers, other) {
		fmt.Fprintf(w, "warning: %s was the last server of %s that was available\n", words.Plain(s.Address), words.Plain(b.Name))
	}
}

// takesRequests is true for a server that is available, or will be as soon as it is not full any more.
func takesRequests(s api.Server) bool { return s.State == "available" || s.State == "full" }

var (
	errTimeout   = errors.New("the time is over")
	errUndrained = errors.New("it was undrained meanwhile")
	errRemoved   = errors.New("it is not in the config any more")
)

// stillDrained is the failure of a wait for a drained server, with what has become of the server.
func stillDrained(r *remote, place api.DrainRequest, err error) error {
	if errors.Is(err, errUndrained) || errors.Is(err, errRemoved) {
		return fmt.Errorf("cannot wait for %s any longer: %w", words.Plain(place.Server), err)
	}
	undrain := []string{"undrain", place.Backend, place.Server}
	if place.Backend == "" {
		undrain = []string{"undrain", place.Server}
	}
	return fmt.Errorf("%w; %s stays drained. To undrain it: %s", err, words.Plain(place.Server), r.commandLine(undrain...))
}

// emptied waits until no request of the backend is in flight at a drained server, and returns the server.
func (r *remote) emptied(ctx context.Context, place api.DrainRequest, most time.Duration) (*api.Server, error) {
	told := newProgress(r.p)
	defer told.end()
	server, err := r.await(ctx, place, most, func(s *api.Server) (bool, error) {
		if !s.Drained {
			return false, errUndrained
		}
		told.tell(fmt.Sprintf("%s: %s in flight", words.Plain(s.Address), words.Count(s.InFlight, "request")))
		return s.InFlight == 0, nil
	})
	if errors.Is(err, errTimeout) {
		err = fmt.Errorf("%s still in flight at %s after %s", words.Count(server.InFlight, "request"), words.Plain(server.Address), most)
	}
	return server, err
}

// await looks at a server again and again until over says that this is what was waited for. The error is errTimeout, beside the server
// as it was seen last, when that takes longer than most; 0 is no bound.
func (r *remote) await(ctx context.Context, place api.DrainRequest, most time.Duration, over func(*api.Server) (bool, error)) (*api.Server, error) {
	var late <-chan time.Time
	if most > 0 {
		late = time.After(most)
	}
	for {
		status, err := soon(ctx, r, r.Status)
		if err != nil {
			return nil, err
		}
		server := serverOf(status, place)
		if server == nil {
			return nil, errRemoved
		}
		if done, err := over(server); done || err != nil {
			return server, err
		}
		select {
		case <-ctx.Done():
			return server, errInterrupted
		case <-late:
			return server, errTimeout
		case <-time.After(pollEvery):
		}
	}
}

// serverOf is find for who needs the server alone.
func serverOf(s *api.Status, place api.DrainRequest) *api.Server {
	_, server := find(s, place)
	return server
}

// find finds a server by its address as the running process writes it; nil if it is not there. Without a backend it is in one alone.
func find(s *api.Status, place api.DrainRequest) (*api.Backend, *api.Server) {
	for i := range s.Backends {
		if place.Backend != "" && s.Backends[i].Name != place.Backend {
			continue
		}
		for j := range s.Backends[i].Servers {
			if server := &s.Backends[i].Servers[j]; server.Address == place.Server {
				return &s.Backends[i], server
			}
		}
	}
	return nil, nil
}
