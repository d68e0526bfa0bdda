package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"l7/admin/api"
)

func reloadCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:  "reload",
		Usage: "have the running process load its config anew, and wait for what comes of it",
		Description: `Prints what has changed. A config that is wrong changes nothing: every mistake is printed, and the exit code is 1.

l7 reload
l7 reload --json | jq .generation`,
		Flags: remoteFlags(),
		Action: remotely(p, func(ctx context.Context, c *cli.Context, r *remote) error {
			result, err := r.Reload(ctx) // names are looked up, so it takes as long as it takes
			if err != nil {
				return r.failure(ctx, err)
			}
			if err := printReload(p, result, c.Bool("json"), "nothing changed"); err != nil || c.Bool("json") {
				return err
			}
			_, err = fmt.Fprintf(p.Stdout, "generation %d\n", result.Generation)
			return err
		}),
	}
}

// printReload prints what a reload has changed, or would. Its error is what is wrong with the config, or that it cannot be printed.
func printReload(p Process, result *api.Reload, asJSON bool, nothing string) error {
	if asJSON {
		if err := printJSON(p.Stdout, result); err != nil {
			return err
		}
	}
	for _, warning := range result.Warnings {
		fmt.Fprintln(p.Stderr, "warning: "+warning)
	}
	switch {
	case result.Failed():
		return problems(result.Problems)
	case asJSON:
		return nil
	}
	_, err := fmt.Fprintln(p.Stdout, cmp.Or(strings.Join(result.Changes, "\n"), nothing))
	return err
}
