package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"l7/app"
	"l7/cli/words"
)

func checkCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "read the config as serve would, and print every mistake in it",
		ArgsUsage: "[HOST[/PREFIX]=ADDRESS ...]",
		Description: `l7 check --config /etc/l7/l7.yml
l7 check --config - < new.yml       standard input; names of files in it have to be absolute`,
		Flags: configFlags(),
		Action: func(c *cli.Context) error {
			src, err := source(c, p)
			if err != nil {
				return err
			}
			plan, err := app.Prepare(src, app.NewParts(app.Ignore))
			if err != nil {
				return err
			}
			defer plan.Snapshot.Close()
			for _, warning := range plan.Warnings {
				fmt.Fprintln(p.Stderr, "warning: "+warning)
			}
			_, err = fmt.Fprintf(p.Stdout, "fine: %s\n", words.Count(len(plan.Loaded.Config.Backends), "backend"))
			return err
		},
	}
}
