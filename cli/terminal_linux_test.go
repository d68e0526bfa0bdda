package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"l7/admin/api"
)

// runInTerminal runs a command line whose output is a terminal of 120 columns, and returns what it has written there.
func runInTerminal(t *testing.T, environ []string, argv ...string) string {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there are no terminals here: ", err)
	}
	require.NoError(t, unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 120, Row: 40}))
	var shown bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&shown, screen) // ends with an error when the terminal is closed
	}()
	code := Run(append([]string{"l7"}, argv...), Process{Environ: environ, Stdout: terminal, Stderr: terminal})
	require.NoError(t, terminal.Close())
	<-read
	require.NoError(t, screen.Close())
	assert.Zero(t, code)
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}

func TestStatusOnTerminal(t *testing.T) {
	r := newRunning(t)
	r.status.Backends[1].Servers[0].Reason = strings.Repeat("long ", 30)
	shown := runInTerminal(t, []string{"NO_COLOR="}, "status", "--admin", r.socket)
	assert.Contains(t, shown, "\x1b[31munhealthy\x1b[0m")
	for _, environ := range [][]string{{"NO_COLOR=1"}, {"TERM=dumb"}} {
		shown = runInTerminal(t, environ, "status", "--admin", r.socket)
		assert.NotContains(t, shown, "\x1b")
		assert.Contains(t, shown, "! http://10.0.0.9:80  unhealthy")
	}
	shown = runInTerminal(t, []string{"NO_COLOR=1"}, "status", "--admin", r.socket)
	for _, line := range strings.Split(shown, "\n") {
		assert.LessOrEqual(t, len(line), 120)
	}
}

func TestStatusWatchOnTerminal(t *testing.T) {
	interrupt := interruptible(t)
	r := newRunning(t)
	r.looked = func(n int, _ *api.Status) {
		if n == 2 {
			interrupt()
		}
	}
	shown := runInTerminal(t, []string{"NO_COLOR=1"}, "status", "--watch", "--admin", r.socket)
	assert.True(t, strings.HasPrefix(shown, "\x1b[Hl7 v1.2.3, pid 4242, up 3h12m, serving, generation 7\x1b[K\n"), shown)
	assert.Contains(t, shown, "refused\x1b[K\n\x1b[J")
}

func TestDrainWaitOnTerminal(t *testing.T) {
	r := newRunning(t)
	r.looked = empties(0, 0)
	shown := runInTerminal(t, nil, "drain", "--admin", r.socket, "api", "10.0.0.1:80", "--wait")
	assert.Regexp(t, `^\r\x1b\[Khttp://10\.0\.0\.1:80: 1 request in flight \(\ds\)\r\x1b\[Khttp://10\.0\.0\.1:80: 0 requests in flight \(\ds\)`+
		`\r\x1b\[Khttp://10\.0\.0\.1:80 is drained; 0 requests in flight\n$`, shown)
}
