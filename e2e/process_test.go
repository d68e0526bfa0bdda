package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long anything that has to happen may take; it is spent by failing tests only.
const patience = 20 * time.Second

// program is what to start.
type program struct {
	path  string
	args  []string
	env   []string // all of it that l7 could care about
	stdin io.Reader
	dir   string
	// hashes says that printing one is the program's purpose.
	hashes bool
}

// process is a started program and everything it wrote. It is killed and reaped when its test ends.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout output
	stderr output
	ended  chan struct{} // closed when it is reaped
}

func start(t testing.TB, p program) *process {
	t.Helper()
	cmd := exec.Command(p.path, p.args...)
	// The race detector lets a process sleep a second at its end.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=20", "L7_ADMIN__SOCKET=off"}, p.env...)
	cmd.Stdin, cmd.Dir, cmd.SysProcAttr = p.stdin, p.dir, orphans()
	cmd.WaitDelay = patience
	s := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &s.stdout, &s.stderr
	require.NoError(t, cmd.Start())
	go func() {
		_ = cmd.Wait() // the exit code is in ProcessState
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.kill()
		s.checkOutput(p.hashes)
		if t.Failed() {
			t.Logf("%s %q wrote to standard output:\n%s\nand to standard error:\n%s", p.path, p.args, s.stdout.String(), s.stderr.String())
		}
	})
	return s
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails where it has ended
	<-p.ended
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
}

// signalAgain sends a signal that is no echo of the one before.
func (p *process) signalAgain(sig syscall.Signal) {
	p.t.Helper()
	time.Sleep(150 * time.Millisecond) // what comes within 100 ms is one
	p.signal(sig)
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// exit waits for the end of the process and returns its exit code, -1 if a signal killed it.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "the process does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// newBlocked is a standard input that ends with the test, or with the test binary.
func newBlocked(t testing.TB) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = w.Close()
		_ = r.Close()
	})
	return r
}

// secret is part of every password in these tests, so that none of them can be shown unnoticed. The few
// passwords without it, those of the seed's own examples, are beside it.
const secret = "hunter2"

var (
	shownSecret = regexp.MustCompile(secret + `|mypasswd`)
	shownHash   = regexp.MustCompile(`\$2[aby]\$[0-9]{2}\$|\$apr1\$`)
	base64Word  = regexp.MustCompile(`[A-Za-z0-9+/]{8,}={0,2}`)
)

// checkOutput looks for what no process may ever write.
func (p *process) checkOutput(hashes bool) {
	p.t.Helper()
	for _, line := range append(p.stdout.lines(), p.stderr.lines()...) {
		for _, fault := range []string{"DATA RACE", "panic:", "BUG:"} {
			if strings.Contains(line, fault) {
				p.t.Errorf("a fault: %s", line)
			}
		}
		if showsSecret(line) || !hashes && shownHash.MatchString(line) {
			p.t.Errorf("a secret is shown: %s", line)
		}
	}
}

// showsSecret finds a password, also in the form that it has in a request.
func showsSecret(line string) bool {
	if shownSecret.MatchString(line) {
		return true
	}
	for _, word := range base64Word.FindAllString(line, -1) {
		decoded, _ := base64.RawStdEncoding.DecodeString(strings.TrimRight(word, "="))
		if shownSecret.Match(decoded) {
			return true
		}
	}
	return false
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// lines are the lines that are complete.
func (o *output) lines() []string {
	lines := strings.Split(o.String(), "\n")
	return lines[:len(lines)-1]
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, "this does not come true: "+what)
		}
	}
}

// await waits until a condition of a running process holds.
func (p *process) await(what string, holds func() bool) {
	p.t.Helper()
	eventually(p.t, what, func() bool {
		ended := p.hasEnded() // before the look, which then sees all it wrote
		if holds() {
			return true
		}
		if ended {
			require.FailNow(p.t, "the process ended before "+what, errors.New(p.stderr.String()))
		}
		return false
	})
}
