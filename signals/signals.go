// Package signals turns the operating system's signals into the few things that l7 does on them.
//
// It does none of them itself.
package signals

import (
	"os"
	"os/signal"
	"syscall"
)

// Asked is what signals have asked for and nobody has begun to do. Each action has a channel of its own, so that however many signals of
// one kind come, none of another is lost.
type Asked struct {
	Drain <-chan os.Signal // TERM and INT, each of them: a further one means that it is urgent

	// These are pending or they are not: what was asked for again before it was begun is done once. What is asked for after that is pending anew.

	Reload  <-chan os.Signal // HUP
	Dump    <-chan os.Signal // USR1
	Upgrade <-chan os.Signal // USR2
}

// impatience is how many requests to drain are kept. By then the process has been asked to end at once, whatever it does.
const impatience = 4

// Notify delivers what signals ask for from now on; what comes before the receiver is ready waits. A reader of ours that goes away (PIPE) does not
// end the process any more: the write fails. After stop all signals have their default effect again.
func Notify() (asked Asked, stop func()) {
	drain, reload, dump, upgrade := make(chan os.Signal, impatience), make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(drain, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(reload, syscall.SIGHUP)
	signal.Notify(dump, syscall.SIGUSR1)
	signal.Notify(upgrade, syscall.SIGUSR2)
	signal.Ignore(syscall.SIGPIPE)
	return Asked{drain, reload, dump, upgrade}, func() {
		for _, c := range []chan os.Signal{drain, reload, dump, upgrade} {
			signal.Stop(c)
		}
		signal.Reset(syscall.SIGPIPE)
	}
}
