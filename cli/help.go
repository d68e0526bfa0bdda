package cli

import (
	"github.com/urfave/cli/v2"

	"l7/config"
)

// helpCommand is what people type who do not know of --help.
func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "print this help, or that of a command",
		ArgsUsage: "[COMMAND]",
		Action: func(c *cli.Context) error {
			if err := countArguments(c, 0, 1, "one COMMAND"); err != nil {
				return err
			}
			name := c.Args().First()
			switch {
			case name == "":
				return cli.ShowAppHelp(c)
			case c.App.Command(name) == nil:
				return usagef("there is no command %s%s", config.ShownArgument(name), config.DidYouMean(name, commandNames(c.App)))
			}
			return cli.ShowCommandHelp(c, name)
		},
	}
}
