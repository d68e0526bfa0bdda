// Package systemd tells the service manager how the process is doing (sd_notify(3)). Where none has started it, all of this does nothing.
package systemd

import (
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Ready says that the process serves, at its start and after a reload.
func Ready() error { return notify(daemon.SdNotifyReady) }

// Reloading says that a reload has begun. Ready is to follow, whatever comes of it.
func Reloading() error {
	return notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that the process is about to end.
func Stopping() error { return notify(daemon.SdNotifyStopping) }

// Alive says that the process is not stuck. It is wanted every Heartbeat.
func Alive() error { return notify(daemon.SdNotifyWatchdog) }

// Replaced says that the service goes on in another process, which serves.
func Replaced(pid int) error {
	return notify(fmt.Sprintf("MAINPID=%d\n%s\n%s", pid, daemon.SdNotifyReady, daemon.SdNotifyWatchdog))
}

// Heartbeat is how often Alive is wanted: twice in the time after which the process counts as stuck. Zero means never.
func Heartbeat() (time.Duration, error) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("cannot read what the watchdog of systemd wants: %w", err)
	}
	return limit / 2, nil
}

// OwnVariable is a variable of the environment that is meant for one process alone, and must not be passed on to the next.
const OwnVariable = "WATCHDOG_PID"

func notify(state string) error {
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fmt.Errorf("cannot notify systemd: %w", err)
	}
	return nil
}
