//go:build linux

// Compare measures l7 beside nginx and HAProxy: CPU per request, in plain and in TLS, and per TLS handshake, memory per idle connection,
// memory while streaming.
//
// All contestants stand in front of the same server on the same machine and are measured in turn, again and again, so that
// what disturbs one disturbs all of them; what counts is the ratio. See ../README.md for how to run it and how to read it.
// It is no load generator (that is wrk) and measures nothing over a real network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options is what the flags say.
type options struct {
	l7     binaries
	rivals string
	dir    string
	limit  time.Duration
	json   string

	mem, stream, tls bool

	rounds      int
	duration    time.Duration
	connections int
	only        string
	forwarding  bool

	idle     int
	settle   time.Duration
	transfer int
}

// binaries are the versions of l7 to compare: NAME=PATH, or PATH alone for "l7".
type binaries []binary

type binary struct{ name, path string }

// String is what flag prints as the default.
func (b *binaries) String() string { return "" }

// Set takes one more version.
func (b *binaries) Set(value string) error {
	name, path, named := strings.Cut(value, "=")
	if !named {
		name, path = "l7", value
	}
	for _, other := range *b {
		if other.name == name {
			return fmt.Errorf("a second l7 with the name %q; give NAME=PATH", name)
		}
	}
	*b = append(*b, binary{name, path})
	return nil
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "origin" {
		if err := serveOrigin(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "compare origin:", err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2) // the flag package has said why
	}
	// Hang-up too: whoever closes the terminal wants no load left behind.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not done after -limit %s", o.limit))
	defer cancel()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	fs.Var(&o.l7, "l7", "`[NAME=]PATH` of an l7 binary; may be repeated; without it l7 is built from this module")
	fs.StringVar(&o.rivals, "rivals", "nginx,haproxy", "which of nginx and haproxy to measure beside; \"\" for none: the first l7 is then the measure")
	fs.StringVar(&o.dir, "dir", "", "where to make the temporary directory (default /dev/shm, else the system's)")
	fs.DurationVar(&o.limit, "limit", 30*time.Minute, "give up after this long")
	fs.StringVar(&o.json, "json", "", "write every single measurement to this `FILE`")
	fs.BoolVar(&o.mem, "mem", false, "measure memory per idle connection instead of CPU per request")
	fs.BoolVar(&o.stream, "stream", false, "measure memory while streaming instead of CPU per request")
	fs.BoolVar(&o.tls, "tls", false, "measure with TLS towards the clients, and handshakes")

	fs.IntVar(&o.rounds, "rounds", 5, "rounds per scenario; in each, every contestant is measured once")
	fs.DurationVar(&o.duration, "duration", 3*time.Second, "length of one measurement, whole seconds")
	fs.IntVar(&o.connections, "c", 64, "connections of wrk")
	fs.StringVar(&o.only, "only", "", "comma-separated scenarios instead of the usual: "+strings.Join(scenarioNames(), ","))
	fs.BoolVar(&o.forwarding, "forwarding", false, "let nginx and HAProxy add X-Forwarded-For, -Proto and -Host, as l7 always does")

	fs.IntVar(&o.idle, "idle", 10000, "connections of -mem")
	fs.DurationVar(&o.settle, "settle", 5*time.Second, "how long -mem and -stream let a contestant rest before its memory is read")
	fs.IntVar(&o.transfer, "transfer", 1024, "MiB that -stream sends each way")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if bad := o.bad(fs.Arg(0)); bad != "" {
		fmt.Fprintln(fs.Output(), "compare:", bad)
		return o, errors.New(bad)
	}
	return o, nil
}

// bad says what is wrong with the options, if anything is. No argument may be left behind them.
func (o options) bad(left string) string {
	switch {
	case left != "":
		return fmt.Sprintf("unexpected argument %q", left)
	case o.rounds < 1 || o.idle < 1 || o.transfer < 1 || o.connections < wrkThreads:
		return "-rounds, -idle, -transfer and -c want a positive number (-c at least 2)"
	case (o.mem || o.stream) && o.tls || o.mem && o.stream:
		return "-mem, -stream and -tls exclude each other"
	case o.duration < time.Second || o.duration%time.Second != 0:
		return "-duration wants whole seconds" // wrk knows no other
	}
	return ""
}

// run sets everything up, measures, prints, and takes everything down again.
func run(ctx context.Context, o options, w io.Writer) (err error) {
	l, err := newLab(o.dir)
	if err != nil {
		return err
	}
	defer func() {
		l.close()
		if ctx.Err() != nil { // the errors of what was killed would only hide it
			err = fmt.Errorf("stopped: %w", context.Cause(ctx))
		}
	}()
	field, err := l.contestants(ctx, o)
	if err != nil {
		return err
	}
	describeMachine(ctx, w, field)
	var result any
	switch {
	case o.mem:
		result, err = l.measureIdle(ctx, o, field, w)
	case o.stream:
		result, err = l.measureStreams(ctx, o, field, w)
	default:
		result, err = l.measureCPU(ctx, o, field, w)
	}
	fmt.Fprintf(w, "\nload after %s\n", loadAverage())
	if o.json != "" && result != nil {
		err = errors.Join(err, writeJSON(o.json, result))
	}
	return err
}
