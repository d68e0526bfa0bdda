package cli

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"
)

func diffCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "say what a reload of the running process from a file would change, without doing it",
		ArgsUsage: "FILE",
		Description: `The running process reads the file, with its own environment and arguments. The exit code is 0 whether or not anything would change,
and 1 when something is wrong with the config. Addresses are not tried: the reload fails all the same where one cannot be listened on.

l7 diff /etc/l7/l7.yml.new`,
		Flags: remoteFlags(),
		Action: remotely(p, func(ctx context.Context, c *cli.Context, r *remote) error {
			if err := countArguments(c, 1, 1, "a FILE"); err != nil {
				return err
			}
			if c.Args().First() == "-" {
				return usagef("diff wants a FILE: the running process reads it, and cannot read the standard input of this one")
			}
			file, err := filepath.Abs(c.Args().First()) // the process may have been started elsewhere
			if err != nil {
				return fmt.Errorf("cannot find the file %q: %w", c.Args().First(), err)
			}
			result, err := r.Diff(ctx, file)
			if err != nil {
				return r.failure(ctx, err)
			}
			return printReload(p, result, c.Bool("json"), "nothing would change")
		}),
	}
}
