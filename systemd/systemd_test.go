package systemd

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// manager is a service manager that these tests can listen to.
func manager(t *testing.T) (heard func() string) {
	t.Helper()
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", address.Name)
	return func() string {
		t.Helper()
		message := make([]byte, 4096)
		_ = socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := socket.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}
}

func TestWhatTheManagerHears(t *testing.T) {
	heard := manager(t)
	f := func(told error, want string) {
		t.Helper()
		if told != nil {
			t.Fatal(told)
		}
		if got := heard(); !regexp.MustCompile(`^` + want + `$`).MatchString(got) {
			t.Errorf("the manager hears %q, want %q", got, want)
		}
	}
	f(Ready(), "READY=1")
	f(Reloading(), "RELOADING=1\nMONOTONIC_USEC=[0-9]+\n")
	f(Stopping(), "STOPPING=1")
	f(Alive(), "WATCHDOG=1")
	f(Replaced(4711), "MAINPID=4711\nREADY=1\nWATCHDOG=1")
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	f := func(told error, want bool) {
		t.Helper()
		if (told != nil) != want {
			t.Errorf("%v; want an error: %v", told, want)
		}
	}
	f(Ready(), false)
	f(Reloading(), false)
	f(Stopping(), false)
	f(Alive(), false)
	f(Replaced(1), false)

	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	f(Ready(), true)
}

func TestHeartbeat(t *testing.T) {
	f := func(limit, pid string, want time.Duration, bad bool) {
		t.Helper()
		t.Setenv("WATCHDOG_USEC", limit)
		t.Setenv(OwnVariable, pid)
		if got, err := Heartbeat(); got != want || (err != nil) != bad {
			t.Errorf("%q for %q: %v, %v", limit, pid, got, err)
		}
	}
	own := strconv.Itoa(os.Getpid())
	f("", "", 0, false)
	f("30000000", own, 15*time.Second, false)
	f("30000000", "", 15*time.Second, false) // of a process that was started by an upgrade
	f("30000000", "1", 0, false)
	f("soon", own, 0, true)
	f("0", own, 0, true)
}
