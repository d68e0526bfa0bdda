// Package cli is the command line: flags and arguments in, text and an exit code out.
//
// A file per command. What the commands do is in the packages below.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"l7/admin/api"
	"l7/app"
	"l7/config"
)

// Exit codes.
const (
	exitFine        = 0
	exitWrong       = 1 // the config or the asked-for thing is wrong
	exitUsage       = 2
	exitUnreachable = 3 // the running process cannot be reached
)

// Process is what a command may touch of the process it runs in.
type Process struct {
	Version string // as stamped by the build, may be empty
	Environ []string
	Stdin   *os.File
	Stdout  io.Writer
	Stderr  io.Writer

	argv []string // as Run was given it
}

// Run runs the command line and returns the exit code. argv[0] is the program's name.
func Run(argv []string, p Process) int {
	p.argv = argv
	command := newApp(p)
	if len(argv) > 1 && argv[len(argv)-1] == completionFlag {
		complete(command, argv[1:len(argv)-1], p.Stdout)
		return exitFine
	}
	args, err := flagsFirst(command, argv)
	if err == nil {
		err = command.Run(args)
	}
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, new(usageError)):
		fmt.Fprintf(p.Stderr, "l7: %v\nSee `%s`.\n", err, helpOf(command, args))
		return exitUsage
	}
	fmt.Fprintln(p.Stderr, describe(err))
	if errors.As(err, new(*api.UnreachableError)) {
		return exitUnreachable
	}
	return exitWrong
}

// helpOf is what to type for the help of a command line: "l7 diff --help", or "l7 --help" without a command. That of help is the list of commands.
func helpOf(a *cli.App, args []string) string {
	switch {
	case len(args) < 2 || a.Command(args[1]) == nil:
		return "l7 --help"
	case args[1] == "help":
		return "l7 help"
	}
	return "l7 " + args[1] + " --help"
}

// describe is an error's text as a person reads it: the problems of a config a line each.
func describe(err error) string {
	var own config.Problems
	var told problems
	var gone *api.UnreachableError
	switch {
	case errors.As(err, &own):
		return own.Error()
	case errors.As(err, &told):
		return told.Error()
	case errors.As(err, &gone):
		return "l7: " + err.Error() + "\n" + advice(gone)
	}
	return "l7: " + err.Error()
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func newApp(p Process) *cli.App {
	serve := serveCommand(p)
	command := &cli.App{
		Name:            "l7",
		Usage:           "spread HTTP/1.1 requests over servers",
		UsageText:       usageText,
		Version:         app.Version(p.Version),
		Flags:           append(configFlags(), cli.HelpFlag), // the library leaves it out where there is a command help
		Action:          serve.Action,
		Reader:          p.Stdin,
		Writer:          p.Stdout,
		ErrWriter:       p.Stderr,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {}, // Run decides
		OnUsageError:    onUsageError,
		Commands: []*cli.Command{
			serve, checkCommand(p), dumpCommand(p), explainCommand(p), demoCommand(p),
			passwdCommand(p), schemaCommand(p), completionCommand(p), versionCommand(p),
			statusCommand(p), reloadCommand(p), diffCommand(p), drainCommand(p), undrainCommand(p),
			rollCommand(p), whyCommand(p), eventsCommand(p), topCommand(p), helpCommand(),
		},
	}
	for _, c := range command.Commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
		if c.ArgsUsage == "" {
			c.Before = noArguments
		}
	}
	return command
}

const usageText = `l7 [--port N] [--config FILE] [--user LOGIN:PASSWORD]... [HOST[/PREFIX]=ADDRESS ...]
   l7 COMMAND [flags] [arguments]

   l7 example.com=127.0.0.1:8081 example.com=127.0.0.1:8082     two servers behind one host
   l7 --port 8080 '*=10.0.0.4:80'                               any host
   l7 --config /etc/l7/l7.yml                                   all from a file`

func onUsageError(_ *cli.Context, err error, _ bool) error { return usageError{err} }

// configFlags are the flags of every command that reads a config.
func configFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "port", Aliases: []string{"p"}, Usage: "listen on `PORT`, IPv4 and IPv6 (default: 80) [$L7_PORT]"},
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "read the YAML `FILE` [$L7_CONFIG]"},
		&cli.GenericFlag{Name: "user", Value: &list{}, Usage: "let `LOGIN:PASSWORD` pass; may be repeated [$L7_USERS]"},
		&cli.BoolFlag{Name: "debug", Aliases: []string{"d"}, Usage: "log details [$L7_DEBUG]"},
	}
}

// list collects a repeated flag as given: the library's own splits values at commas, and a password may hold one.
type list []string

// Set implements cli.Generic.
func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// String implements cli.Generic. It is printed in the help, so it shows no value.
func (l *list) String() string { return "" }

// source is where the config of a command comes from.
func source(c *cli.Context, p Process) (app.Source, error) {
	users, servers := usersOf(c), c.Args().Slice()
	// The password may be among the arguments, so they are not even read.
	if i := slices.IndexFunc(users, isLoginAlone); i >= 0 && len(servers) > 0 {
		return app.Source{}, usagef("--user number %d has no password; want LOGIN:PASSWORD in one word, as in alice:secret", i+1)
	}
	if i := slices.IndexFunc(servers, isNoServer); i >= 0 {
		return app.Source{}, noServer(c.App, servers[i], len(users) > 0)
	}
	return configSource(c, p, servers), nil
}

func isLoginAlone(user string) bool {
	_, password, _ := strings.Cut(user, ":")
	return password == ""
}

// isNoServer is true for an argument that cannot be HOST[/PREFIX]=ADDRESS.
func isNoServer(arg string) bool { return !strings.Contains(arg, "=") }

// noServer is what is wrong with an argument that is no server. Beside users it could be the rest of a password, and is not shown.
func noServer(a *cli.App, arg string, users bool) error {
	const form = "neither a command nor a server (HOST[/PREFIX]=ADDRESS, as in example.com=127.0.0.1:8081)"
	switch {
	case isAddress(arg):
		return usagef("%q has no host before it; for any host write '*=%[1]s'", arg)
	case users && !strings.Contains(arg, ":"):
		return usagef("an argument is %s; a user is one word, as in --user alice:secret", form)
	}
	return usagef("%s is %s%s", config.ShownArgument(arg), form, config.DidYouMean(arg, commandNames(a)))
}

// isAddress is true for what can be nothing but the address of a server. LOGIN:1234 could be a user, and so a name needs its scheme.
func isAddress(arg string) bool {
	address, err := config.ParseAddress(arg)
	return err == nil && (!address.IsName() || strings.Contains(arg, "//"))
}

func commandNames(a *cli.App) []string {
	names := make([]string, len(a.Commands))
	for i, c := range a.Commands {
		names[i] = c.Name
	}
	return names
}

// configFile is the file that --config names; '-' is standard input.
func configFile(c *cli.Context) string {
	if name := c.String("config"); name != "-" {
		return name
	}
	return "/dev/stdin"
}

// configSource is where the config comes from, with servers from arguments.
func configSource(c *cli.Context, p Process, servers []string) app.Source {
	args := config.Args{
		File:    configFile(c),
		Port:    c.String("port"),
		Users:   usersOf(c),
		Debug:   c.Bool("debug"),
		Servers: servers,
	}
	return app.Source{Args: args, Environ: p.Environ, Version: p.Version}
}

func usersOf(c *cli.Context) []string {
	if users, ok := c.Generic("user").(*list); ok {
		return *users
	}
	return nil
}

// newLog writes to standard error: for people on a terminal, as JSON lines otherwise.
func newLog(w io.Writer) zerolog.Logger {
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).With().Timestamp().Logger()
}
