package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/signal" //nolint:depguard // signals turns signals into what serve does on them; here they only end a wait, and HUP keeps its default
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"l7/admin/api"
	"l7/cli/words"
	"l7/config"
)

const (
	// patience is how long a command waits for an answer that the running process has at hand.
	patience = 10 * time.Second
	// pollEvery is how often a command that waits for something looks again.
	pollEvery = 200 * time.Millisecond
)

// errInterrupted is what ends a command that was told to stop before it was done.
var errInterrupted = errors.New("interrupted")

// problems are what is wrong with a config as the running process tells it, a line each.
type problems []string

// Error implements error.
func (p problems) Error() string { return strings.Join(p, "\n") }

// remote is the running process as a command has found it.
type remote struct {
	*api.Client
	p        Process
	socket   string
	flags    []string // with which a further command finds the same process
	patience time.Duration
}

// remoteFlags are the flags of every command that talks to the running process.
func remoteFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "admin", Usage: "ask the process behind the admin `SOCKET`"},
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "ask the process whose config `FILE` this is, by its admin.socket [$L7_CONFIG]"},
		&cli.BoolFlag{Name: "json", Usage: "print JSON"},
	}, more...)
}

// remotely makes an action of a function that asks the running process. Its context ends on INT and TERM; a second one of them has
// its default effect.
func remotely(p Process, f func(context.Context, *cli.Context, *remote) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		r, err := findRemote(c, p)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop)
		return f(ctx, c, r)
	}
}

// findRemote finds the admin socket. It does not connect to it.
func findRemote(c *cli.Context, p Process) (*remote, error) {
	r := &remote{p: p, patience: patience, socket: c.String("admin")}
	switch file := c.String("config"); {
	case r.socket != "":
		r.flags = []string{"--admin", r.socket}
	case file != "":
		r.flags = []string{"--config", file}
		fallthrough
	default:
		var err error
		if r.socket, err = socketOf(file, p); err != nil {
			return nil, err
		}
	}
	r.Client = api.NewClient(r.socket)
	return r, nil
}

// socketOf is the socket of a process with a config file, which may be empty, and this environment. The config may be wrong, as long
// as it says where the socket is: a reload that is going to fail has to reach the process too.
func socketOf(file string, p Process) (string, error) {
	// The running process may have its backends from arguments; without any the file would be wrong as a whole.
	loaded, found := config.Examine(config.Args{File: file, Servers: []string{"*=127.0.0.1:1"}}, p.Environ)
	var serious config.Problems
	for _, problem := range found {
		if hidesSocket(problem.Path) {
			serious = append(serious, problem)
		}
	}
	switch socket := loaded.Config.Admin.Socket; {
	case len(serious) > 0:
		return "", serious
	case socket == "off":
		return "", errors.New("admin.socket is off in the config, so that no command can ask the process; give it a path, and restart l7")
	case socket != "":
		return socket, nil
	}
	return api.DefaultSocket(os.Getuid(), p.getenv), nil
}

// hidesSocket is true for a problem at a path that keeps admin.socket from being known.
func hidesSocket(path []string) bool {
	return len(path) == 0 || path[0] == "admin" && (len(path) == 1 || path[1] == "socket")
}

// getenv is a variable of the process, empty where it is not set.
func (p Process) getenv(name string) (value string) {
	for _, variable := range p.Environ {
		if v, ok := strings.CutPrefix(variable, name+"="); ok {
			value = v
		}
	}
	return value
}

// advice is what to do about a process that cannot be reached.
func advice(err *api.UnreachableError) string {
	if errors.Is(err, fs.ErrPermission) {
		return "The socket is for the user that l7 runs as; be that user, or root."
	}
	return "Is it running? If its socket is elsewhere, name it with --admin SOCKET, or its config with --config FILE."
}

// soon asks the running process for what it has at hand, or can do at once.
func soon[T any](ctx context.Context, r *remote, ask func(context.Context) (T, error)) (T, error) {
	limited, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	answer, err := ask(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = &api.UnreachableError{Socket: r.socket, Err: fmt.Errorf("no answer within %s", r.patience)}
	}
	return answer, r.failure(ctx, err)
}

// failure is an error of a call, told apart: the command was told to stop, or the process is gone.
func (r *remote) failure(ctx context.Context, err error) error {
	var gone *api.UnreachableError
	var broken *url.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errInterrupted
	case !errors.As(err, &gone) && errors.As(err, &broken):
		return &api.UnreachableError{Socket: r.socket, Err: fmt.Errorf("it did not answer: %w", broken.Err)}
	}
	return err
}

// commandLine is a command about the same process, to be pasted into a shell.
func (r *remote) commandLine(words ...string) string {
	plainWord := regexp.MustCompile(`^[\w./:@%+=,-]+$`)
	line := "l7"
	for _, word := range append(append(words[:1:1], r.flags...), words[1:]...) {
		if !plainWord.MatchString(word) {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		line += " " + word
	}
	return line
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// look is what a stream can show.
type look struct {
	terminal bool // a line can be written over
	colour   bool
	width    int // in columns; 0: not known
}

func lookOf(w io.Writer, p Process) look {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) || p.getenv("TERM") == "dumb" {
		return look{}
	}
	width, _, _ := term.GetSize(int(f.Fd())) // 0 when it fails
	return look{terminal: true, colour: p.getenv("NO_COLOR") == "", width: width}
}

// paint gives text a colour, or more of a look, by the number that a terminal knows it by.
func (l look) paint(number, text string) string {
	if !l.colour {
		return text
	}
	return words.Paint(number, text)
}

// progress tells how a wait goes on: in one line that is written over on a terminal, in a line for each change elsewhere.
type progress struct {
	w       io.Writer
	look    look
	started time.Time
	last    string
}

func newProgress(p Process) *progress {
	return &progress{w: p.Stderr, look: lookOf(p.Stderr, p), started: time.Now()}
}

func (p *progress) tell(text string) {
	switch {
	case p.look.terminal:
		fmt.Fprintf(p.w, "\r\x1b[K%s (%s)", text, words.Age(time.Since(p.started)))
	case text != p.last:
		fmt.Fprintln(p.w, text)
	}
	p.last = text
}

// end takes the line away that was written over.
func (p *progress) end() {
	if p.look.terminal && p.last != "" {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// moment is a time as a person reads it.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000") }
