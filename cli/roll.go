package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"l7/admin/api"
	"l7/cli/words"
	"l7/config"
)

func rollCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "roll",
		Usage:     "run a command for each server of a backend while it is drained, one server after the other",
		ArgsUsage: "BACKEND -- COMMAND [ARGUMENT ...]",
		Description: `For each server: drain it, wait until no request is in flight there, run COMMAND, undrain it, and wait until it is available. The first
failure stops the roll and leaves that server drained.

In COMMAND {server} stands for the address as l7 status shows it, {host} and {port} for its parts. No shell is between.
A server of weight 0, or one that is drained already, is left out.

l7 roll example.com/api -- ssh {host} systemctl restart api
l7 roll example.com/api --wait-healthy 5m -- ./deploy.sh {host} {port}`,
		Flags: remoteFlags(
			&cli.DurationFlag{Name: "wait-healthy", Value: time.Minute, Usage: "how much `TIME` a server has to become available again; 0s: no bound"},
			&cli.DurationFlag{Name: "drain-timeout", Value: 5 * time.Minute, Usage: "how much `TIME` the requests in flight at a server have; 0s: no bound"},
			&cli.BoolFlag{Name: "force", Usage: "also when no other server of the backend is available"},
		),
		Action: remotely(p, func(ctx context.Context, c *cli.Context, r *remote) error {
			words := c.Args().Slice()
			if len(words) < 2 {
				return usagef("roll wants a BACKEND and a COMMAND, as in: l7 roll example.com -- ssh {host} systemctl restart app")
			}
			if err := notBelowZero(c, "wait-healthy", "drain-timeout"); err != nil {
				return err
			}
			roll := &roll{
				remote: r, backend: words[0], command: words[1:], force: c.Bool("force"),
				healthy: c.Duration("wait-healthy"), empty: c.Duration("drain-timeout"), out: p.Stdout,
			}
			if !c.Bool("json") {
				return roll.run(ctx)
			}
			roll.out = p.Stderr // standard output is the result's
			return roll.report(p.Stdout, roll.run(ctx))
		}),
	}
}

// roll is a run over the servers of a backend.
type roll struct {
	*remote
	backend string
	command []string
	force   bool
	healthy time.Duration // for a server to become available
	empty   time.Duration // for requests in flight to finish
	out     io.Writer     // where it is told, and where the output of the command goes

	drained bool  // the server whose turn it is
	unheard error // the first of telling; it is no reason to stop half-way
	result  rollResult
}

// rollResult is what became of a roll.
type rollResult struct {
	Backend string   `json:"backend"`
	Rolled  []string `json:"rolled"`
	Skipped []string `json:"skipped,omitempty"`
	Failed  string   `json:"failed,omitempty"`  // the server at which it stopped
	Drained bool     `json:"drained,omitempty"` // that one is left so
	Error   string   `json:"error,omitempty"`
}

// report prints the result as JSON, and returns the error of the roll.
func (r *roll) report(w io.Writer, err error) error {
	r.result.Backend = r.backend
	if err != nil {
		r.result.Error = err.Error()
	}
	if r.result.Rolled == nil {
		r.result.Rolled = []string{}
	}
	return errors.Join(printJSON(w, r.result), err)
}

func (r *roll) run(ctx context.Context) error {
	if program := r.command[0]; !strings.Contains(program, "{") { // or else it may be another one for each server
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("cannot run the command: %w; no server was drained", err)
		}
	}
	status, backend, err := r.look(ctx)
	if err != nil {
		return err
	}
	if n := available(backend, ""); n < 2 && !r.force {
		return fmt.Errorf("cannot roll %q: %s available, and one at a time is drained; --force does it nevertheless", r.backend, words.Count(n, "server"))
	}
	r.warnOfOthers(status, backend)
	for i := range backend.Servers {
		address := backend.Servers[i].Address
		if err := r.turn(ctx, address); err != nil {
			return r.stopped(address, err)
		}
	}
	r.tell("%s: %s rolled, %d left out", r.backend, words.Count(len(r.result.Rolled), "server"), len(r.result.Skipped))
	return r.unheard
}

// look asks for the backend as it is now.
func (r *roll) look(ctx context.Context) (*api.Status, *api.Backend, error) {
	status, err := soon(ctx, r.remote, r.Status)
	if err != nil {
		return nil, nil, err
	}
	names := make([]string, len(status.Backends))
	for i := range status.Backends {
		if names[i] = status.Backends[i].Name; names[i] == r.backend {
			return status, &status.Backends[i], nil
		}
	}
	return nil, nil, fmt.Errorf("there is no backend %q; known: %s", r.backend, words.Plain(strings.Join(names, ", ")))
}

// available counts the servers of a backend that serve, be they full, but for one.
func available(b *api.Backend, but string) (n int) {
	for i := range b.Servers {
		if takesRequests(b.Servers[i]) && b.Servers[i].Address != but {
			n++
		}
	}
	return n
}

// warnOfOthers tells of servers that get requests from other backends too, which go on.
func (r *roll) warnOfOthers(s *api.Status, rolled *api.Backend) {
	for i := range s.Backends {
		for j := range s.Backends[i].Servers {
			server := &s.Backends[i].Servers[j]
			same := func(o api.Server) bool { return o.Address == server.Address }
			if s.Backends[i].Name != r.backend && !server.Drained && slices.ContainsFunc(rolled.Servers, same) {
				fmt.Fprintf(r.p.Stderr, "warning: %s is a server of %s too, which goes on sending it requests\n", words.Plain(server.Address), words.Plain(s.Backends[i].Name))
			}
		}
	}
}

// turn is one server's turn.
func (r *roll) turn(ctx context.Context, address string) error {
	_, backend, err := r.look(ctx) // anew: somebody may have drained or reloaded meanwhile
	if err != nil {
		return err
	}
	if why := leftOut(backend, address); why != "" {
		r.result.Skipped = append(r.result.Skipped, address)
		r.tell("%s: left out, %s", address, why)
		return nil
	}
	if available(backend, address) == 0 && !r.force {
		return errors.New("no other server is available")
	}
	place := api.DrainRequest{Backend: r.backend, Server: address}
	if err := r.withdraw(ctx, place); err != nil {
		return err
	}
	if err := r.execute(ctx, address); err != nil {
		return err
	}
	if err := r.restore(ctx, place); err != nil {
		return err
	}
	r.result.Rolled = append(r.result.Rolled, address)
	return nil
}

// leftOut says why a server has no turn; empty: it has one.
func leftOut(b *api.Backend, address string) string {
	i := slices.IndexFunc(b.Servers, func(s api.Server) bool { return s.Address == address })
	switch {
	case i < 0:
		return errRemoved.Error()
	case b.Servers[i].Weight == 0:
		return "its weight is 0"
	case b.Servers[i].Drained:
		return "it is drained already"
	}
	return ""
}

// withdraw drains a server and waits for its requests.
func (r *roll) withdraw(ctx context.Context, place api.DrainRequest) error {
	r.tell("%s: draining", place.Server)
	r.drained = true // also when the answer does not get here
	err := r.order(ctx, place, r.Drain)
	var refused *api.Error
	if errors.As(err, &refused) {
		r.drained = false
	}
	if err != nil {
		return err
	}
	_, err = r.emptied(ctx, place, r.empty)
	if errors.Is(err, errUndrained) || errors.Is(err, errRemoved) {
		r.drained = false
	}
	return err
}

// upgradePatience is how long an order waits for an upgrade, which has a minute.
const upgradePatience = 90 * time.Second

// order drains or undrains a server. While an upgrade is under way neither is done, so it is asked for again.
func (r *roll) order(ctx context.Context, place api.DrainRequest, give func(context.Context, api.DrainRequest) (*api.Server, error)) error {
	told := newProgress(r.p)
	defer told.end()
	for started := time.Now(); ; {
		_, err := soon(ctx, r.remote, func(ctx context.Context) (*api.Server, error) { return give(ctx, place) })
		if !errors.As(err, new(*api.BusyError)) || time.Since(started) > upgradePatience {
			return err
		}
		told.tell(words.Plain(place.Server) + ": waiting for an upgrade to end")
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errInterrupted, err)
		case <-time.After(pollEvery):
		}
	}
}

// patienceAfterInterrupt is how long a command has to end once it was interrupted.
const patienceAfterInterrupt = 30 * time.Second

// execute runs the command for a server.
func (r *roll) execute(ctx context.Context, address string) error {
	host, port := address, ""
	if a, err := config.ParseAddress(address); err == nil && a.Network() == "tcp" {
		host, port = a.Host, strconv.Itoa(int(a.Port))
	}
	words := make([]string, len(r.command))
	fill := strings.NewReplacer("{server}", address, "{host}", host, "{port}", port)
	for i, word := range r.command {
		words[i] = fill.Replace(word)
	}
	r.tell("%s: running %s", address, strings.Join(words, " "))
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Stdout, command.Stderr = r.out, r.p.Stderr
	command.Cancel = func() error {
		if r.p.Stdin != nil && isTerminal(r.p.Stdin) {
			return nil // Ctrl-C reaches the command by itself, and many take a second one for more than they were asked
		}
		return command.Process.Signal(os.Interrupt)
	}
	command.WaitDelay = patienceAfterInterrupt
	err := command.Run()
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return fmt.Errorf("cannot run %q: %w", words[0], err)
	}
	return nil
}

// proven waits, where a server is checked, for a good check of what runs there since the command ended: what is known of it is older, and a
// quick restart may not even have been noticed. Where checks are rare it waits for two of them at least.
func (r *roll) proven(ctx context.Context, place api.DrainRequest) error {
	status, err := soon(ctx, r.remote, r.Status)
	if err != nil {
		return err
	}
	server := serverOf(status, place)
	if server == nil || server.Check == nil {
		return nil
	}
	limit := r.healthy
	if limit > 0 {
		limit = max(limit, time.Duration(2*server.Check.Interval*float64(time.Second)))
	}
	told := newProgress(r.p)
	defer told.end()
	server, err = r.await(ctx, place, limit, func(s *api.Server) (bool, error) {
		switch {
		case s.Check == nil:
			return true, nil
		case !s.Check.Time.After(status.Time):
			told.tell(words.Plain(s.Address) + ": waiting for a check")
			return false, nil
		case s.Check.Reason != "":
			told.tell(words.Plain(s.Address + ": " + s.Check.Reason))
		}
		return s.Check.Reason == "", nil
	})
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("no good check after %s, but %s", limit, cmp.Or(words.Plain(server.Check.Reason), "none at all"))
	}
	return err
}

// restore undrains a server and waits until it is available. One that does not become so is drained again, so that it does not come
// and go while somebody looks into it.
func (r *roll) restore(ctx context.Context, place api.DrainRequest) error {
	if err := r.proven(ctx, place); err != nil {
		return err
	}
	if err := r.order(ctx, place, r.Undrain); err != nil {
		return err
	}
	r.drained = false
	told := newProgress(r.p)
	server, err := r.await(ctx, place, r.healthy, func(s *api.Server) (bool, error) {
		done := takesRequests(*s)
		if !done {
			told.tell(words.Plain(s.Address + ": " + s.State))
		}
		return done, nil
	})
	told.end()
	if !errors.Is(err, errTimeout) {
		if err == nil {
			r.tell("%s: %s", place.Server, server.State)
		}
		return err
	}
	err = fmt.Errorf("not available after %s, but %s", r.healthy, words.Plain(strings.TrimSuffix(server.State+": "+server.Reason, ": ")))
	again := r.order(ctx, place, r.Drain)
	r.drained = again == nil
	return errors.Join(err, again)
}

// stopped is the end of a roll that was not finished.
func (r *roll) stopped(address string, err error) error {
	r.result.Failed, r.result.Drained = address, r.drained
	err = fmt.Errorf("the roll of %q stopped at %s: %w", r.backend, words.Plain(address), err)
	if !r.drained {
		return fmt.Errorf("%w; no server is left drained by it", err)
	}
	return fmt.Errorf("%w; it stays drained. To undrain it: %s", err, r.commandLine("undrain", r.backend, address))
}

func (r *roll) tell(format string, values ...any) {
	if _, err := fmt.Fprintln(r.out, words.Plain(fmt.Sprintf(format, values...))); r.unheard == nil {
		r.unheard = err
	}
}
