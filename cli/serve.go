package cli

import (
	"github.com/urfave/cli/v2"

	"l7/app"
	"l7/signals"
)

func serveCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "run the load balancer; the default command",
		ArgsUsage: "[HOST[/PREFIX]=ADDRESS ...]",
		Flags:     configFlags(),
		Action: func(c *cli.Context) error {
			// Signals are taken from here on, so that none is lost while the config loads.
			asked, stop := signals.Notify()
			defer stop()
			src, err := source(c, p)
			if err != nil {
				return err
			}
			running, err := app.Start(src, newLog(p.Stderr), p.Stdout)
			if err != nil {
				return err
			}
			return running.Run(asked)
		},
	}
}
