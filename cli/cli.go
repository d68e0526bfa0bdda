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
	err := command.Run(flagsFirst(command, argv))
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, new(usageError)):
		fmt.Fprintf(p.Stderr, "l7: %v\nSee `l7 --help`.\n", err)
		return exitUsage
	}
	fmt.Fprintln(p.Stderr, describe(err))
	if errors.As(err, new(*api.UnreachableError)) {
		return exitUnreachable
	}
	return exitWrong
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
		Name:                 "l7",
		Usage:                "spread HTTP/1.1 requests over servers",
		UsageText:            usageText,
		Version:              app.Version(p.Version),
		Flags:                serve.Flags,
		Action:               serve.Action,
		Reader:               p.Stdin,
		Writer:               p.Stdout,
		ErrWriter:            p.Stderr,
		EnableBashCompletion: true,
		HideHelpCommand:      true,
		Suggest:              true,
		ExitErrHandler:       func(*cli.Context, error) {}, // Run decides
		OnUsageError:         onUsageError,
		Commands: []*cli.Command{
			serve, checkCommand(p), dumpCommand(p), explainCommand(p), demoCommand(p),
			passwdCommand(p), schemaCommand(p), completionCommand(p), versionCommand(p),
			statusCommand(p), reloadCommand(p), diffCommand(p), drainCommand(p), undrainCommand(p),
			rollCommand(p), whyCommand(p), eventsCommand(p), topCommand(p),
		},
	}
	for _, c := range command.Commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
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
	servers := c.Args().Slice()
	if i := slices.IndexFunc(servers, isNoServer); i >= 0 {
		return app.Source{}, usagef("%q is neither a command nor a server (HOST[/PREFIX]=ADDRESS)%s", servers[i], didYouMean(c.App, servers[i]))
	}
	return configSource(c, p, servers), nil
}

// configSource is where the config comes from, with servers from arguments.
func configSource(c *cli.Context, p Process, servers []string) app.Source {
	users, _ := c.Generic("user").(*list)
	args := config.Args{
		File:    c.String("config"),
		Port:    c.String("port"),
		Debug:   c.Bool("debug"),
		Servers: servers,
	}
	if users != nil {
		args.Users = *users
	}
	return app.Source{Args: args, Environ: p.Environ, Version: p.Version}
}

func didYouMean(a *cli.App, word string) string {
	if rest, ok := strings.CutPrefix(cli.SuggestCommand(a.Commands, word), "Did"); ok {
		return "; did" + rest
	}
	return ""
}

// newLog writes to standard error: for people on a terminal, as JSON lines otherwise.
func newLog(w io.Writer) zerolog.Logger {
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).With().Timestamp().Logger()
}
