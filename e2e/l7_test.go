package e2e

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// loopback has l7 listen on a port that the system chooses.
const loopback = "L7_LISTEN=127.0.0.1:0"

// l7 is a running l7.
type l7 struct {
	t testing.TB
	*process
	*client        // of its first listener; nil until it listens
	file    string // of its config, empty for none
}

// run is how l7 is to be started.
type run struct {
	args   []string
	env    []string
	config string // the text of a file, which --config then names
	binary string // instead of the one under test

	sockets []*os.File // that it has from descriptor 3 on, as from systemd; for a dynasty alone
}

// launch starts l7 and waits for nothing.
func (r run) launch(t testing.TB) *l7 {
	t.Helper()
	l := &l7{t: t}
	if r.config != "" {
		l.file = writeFile(t, r.config)
		r.args = append([]string{"--config", l.file}, r.args...)
	}
	if r.binary == "" {
		r.binary = built.l7
	}
	l.process = start(t, program{path: r.binary, args: r.args, env: r.env})
	return l
}

// start starts l7 and waits until it listens.
func (r run) start(t testing.TB) *l7 {
	t.Helper()
	l := r.launch(t)
	l.client = newClient(t, l.listening(1)[0])
	return l
}

// startArgs starts l7 with these arguments on a port that the system chooses.
func startArgs(t testing.TB, args ...string) *l7 {
	t.Helper()
	return run{args: args, env: []string{loopback}}.start(t)
}

// startFile starts l7 with a config file.
func startFile(t testing.TB, lines ...string) *l7 {
	t.Helper()
	return run{config: text(lines...)}.start(t)
}

// logLine is one line of the log.
type logLine map[string]any

// field returns the text of a field, empty if there is none.
func (l logLine) field(name string) string {
	value, _ := l[name].(string)
	return value
}

// log returns the lines with the given message. Every line must be JSON.
func (l *l7) log(message string) []logLine {
	l.t.Helper()
	var found []logLine
	for _, text := range l.stderr.lines() {
		var line logLine
		if !strings.HasPrefix(text, "{") {
			continue // the last word of a process that gives up is for people
		}
		require.NoError(l.t, json.Unmarshal([]byte(text), &line), text)
		if line.field("message") == message {
			found = append(found, line)
		}
	}
	return found
}

// awaitLog waits for the n-th line with the given message, from 1.
func (l *l7) awaitLog(message string, n int) logLine {
	l.t.Helper()
	l.await("log line "+message, func() bool { return len(l.log(message)) >= n })
	return l.log(message)[n-1]
}

// awaitText waits until a complete line of the log holds all the words, and returns it.
func (l *l7) awaitText(words ...string) string {
	l.t.Helper()
	var found string
	l.await("log line with "+strings.Join(words, ", "), func() bool {
		for _, line := range l.stderr.lines() {
			if containsAll(line, words) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

func containsAll(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// listening waits until l7 has begun to listen n times, and returns where.
func (l *l7) listening(n int) []string {
	l.t.Helper()
	l.awaitLog("listening", n)
	var addrs []string
	for _, line := range l.log("listening") {
		addrs = append(addrs, line.field("address"))
	}
	return addrs
}

// rewrite puts another text in the place of the config file, at once.
func (l *l7) rewrite(lines ...string) {
	l.t.Helper()
	next := l.file + ".next"
	require.NoError(l.t, os.WriteFile(next, []byte(text(lines...)), 0o600))
	require.NoError(l.t, os.Rename(next, l.file))
}

// reload puts a config in force and returns what the log says of it.
func (l *l7) reload(lines ...string) string {
	l.t.Helper()
	l.rewrite(lines...)
	before := len(l.log("reloaded"))
	l.signal(syscall.SIGHUP)
	return l.awaitLog("reloaded", before+1).field("changes")
}

// outcome is what a command that has ended left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// command runs l7 to its end.
func command(t testing.TB, args ...string) outcome {
	t.Helper()
	return program{path: built.l7, args: args}.run(t)
}

func (p program) run(t testing.TB) outcome {
	t.Helper()
	s := start(t, p)
	code := s.exit()
	return outcome{code, s.stdout.String(), s.stderr.String()}
}

// text makes a text of lines.
func text(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

// writeFile writes an l7.yml into a folder of its own.
func writeFile(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

var lastPort atomic.Int32

// freePort is a port that nothing listens on, and that the system gives to nobody who asks for just any: those are higher.
func freePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := 20000 + (int32(os.Getpid())*61+lastPort.Add(1))%10000
		address := net.TCPAddr{Port: int(port)}
		if socket, err := net.ListenTCP("tcp", &address); err == nil {
			require.NoError(t, socket.Close())
			_, text, _ := net.SplitHostPort(socket.Addr().String())
			return text
		}
	}
	require.FailNow(t, "there is no free port")
	return ""
}

// socketFolder is a folder whose name is short enough for the sockets in it.
func socketFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "l7")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// hashOf is a hash of a password that costs little to verify.
func hashOf(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	require.NoError(t, err)
	return string(hash)
}

func stdin(text string) io.Reader { return strings.NewReader(text) }
