// Package signals turns the operating system's signals into the few things that l7 does on them.
//
// It does none of them itself.
package signals

import (
	"os"
	"os/signal"
	"syscall"
)

// Action is what a signal asks for.
type Action uint8

// The actions, with their signals.
const (
	Reload  Action = iota + 1 // HUP
	Dump                      // USR1
	Drain                     // TERM, INT
	Upgrade                   // USR2
)

var actions = map[os.Signal]Action{
	syscall.SIGHUP:  Reload,
	syscall.SIGUSR1: Dump,
	syscall.SIGTERM: Drain,
	syscall.SIGINT:  Drain,
	syscall.SIGUSR2: Upgrade,
}

// String is the action's name.
func (a Action) String() string {
	return [...]string{Reload: "reload", Dump: "dump", Drain: "drain", Upgrade: "upgrade"}[a]
}

// pending is how many signals wait while an action runs. The system itself keeps one of each kind.
const pending = 16

// Notify delivers the actions that signals ask for from now on. A signal that comes before the receiver is
// ready waits. After stop the signals have their default effect again.
func Notify() (asked <-chan Action, stop func()) {
	incoming := make(chan os.Signal, pending)
	outgoing := make(chan Action, pending)
	ended := make(chan struct{})
	for sig := range actions {
		signal.Notify(incoming, sig)
	}
	go func() {
		for {
			select {
			case sig := <-incoming:
				select {
				case outgoing <- actions[sig]:
				case <-ended:
					return
				}
			case <-ended:
				return
			}
		}
	}()
	return outgoing, func() {
		signal.Stop(incoming)
		close(ended)
	}
}
