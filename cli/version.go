package cli

import (
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"

	"l7/config"
)

func versionCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version and what it was built with",
		Action: func(c *cli.Context) error {
			_, err := fmt.Fprintf(p.Stdout, "l7 %s %s/%s %s\n", c.App.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return err
		},
	}
}

func schemaCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "print the JSON Schema of the config file, for editors",
		Action: func(*cli.Context) error {
			_, err := p.Stdout.Write(config.Schema())
			return err
		},
	}
}
