package cli

import (
	"errors"

	"github.com/urfave/cli/v2"

	"l7/app"
	"l7/handover"
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
			inherited, environ, err := handover.Inherit(p.Environ)
			p.Environ = environ
			if err == nil {
				err = serve(c, p, inherited, asked)
			}
			if err != nil {
				inherited.Failed(errors.New(describe(err)))
			}
			return err
		},
	}
}

func serve(c *cli.Context, p Process, inherited *handover.Inherited, asked signals.Asked) error {
	if c.String("config") == "-" {
		return usagef("cannot serve standard input, which a reload could not read again; name a file")
	}
	src, err := source(c, p)
	if err != nil {
		return err
	}
	src.Self = app.Self{Binary: app.FindBinary(p.argv[0]), Args: p.argv[1:], Environ: p.Environ, Inherited: inherited}
	running, err := app.Start(src, newLog(p.Stderr), p.Stdout)
	if err != nil {
		return err
	}
	return running.Run(asked)
}
