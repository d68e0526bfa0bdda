package cli

import (
	"github.com/urfave/cli/v2"

	"l7/app"
)

func dumpCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "dump",
		Usage:     "print the config that serve would run, every default filled in, passwords masked",
		ArgsUsage: "[HOST[/PREFIX]=ADDRESS ...]",
		Flags: append(configFlags(),
			&cli.BoolFlag{Name: "origin", Usage: "say behind each value where it came from"}),
		Action: func(c *cli.Context) error {
			src, err := source(c, p)
			if err != nil {
				return err
			}
			plan, err := app.Build(src, app.NewParts(app.Ignore))
			if err != nil {
				return err
			}
			defer plan.Snapshot.Close()
			return plan.Loaded.Dump(p.Stdout, c.Bool("origin"))
		},
	}
}
