package e2e

import (
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var captureTop = flag.String("capture-top", "", "write a screen of l7 top into this `file`, for the docs")

// TestTop sits in front of a real terminal: looks, filters, drains, resizes, loses the process and finds it again, and leaves.
func TestTop(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 3)
	socket := filepath.Join(socketFolder(t), "admin.sock")
	config := run{env: []string{"L7_ADMIN__SOCKET=" + socket}, config: text(
		"listen: 127.0.0.1:0", "backends:",
		"  example.com: {servers: ['"+servers[0].address+"', '"+servers[1].address+"']}",
		"  other.example.com: {servers: ['"+servers[2].address+"']}",
	)}
	l := config.start(t)
	awaitSocket(t, socket)
	screen := startTerminal(t, 100, 24)
	screen.run(viewer(t) + " top --interval 100ms --admin " + socket)
	screen.awaits("BACKEND", "example.com", "up 2/2", servers[0].address, servers[2].address, "generation 1", fmt.Sprint("pid ", l.cmd.Process.Pid))
	screen.watch("the screen shows the requests and the errors", func(screen string) bool {
		l.get("http://example.com/")
		l.get("http://other.example.com/?status=503")
		return strings.Contains(screen, "█") && !strings.Contains(screen, " 0 errors/s")
	})
	if *captureTop != "" {
		require.NoError(t, os.WriteFile(*captureTop, []byte(screen.capture()), 0o644))
	}

	screen.keys("/", "other", "Enter")
	screen.awaitsNot(servers[0].address)
	screen.awaits("filter: other", servers[2].address)
	screen.keys("Escape")
	screen.awaits(servers[0].address)

	screen.keys("Home", "j", "d")
	screen.awaits("drain http://" + servers[0].address + " of example.com? y/n")
	screen.keys("y")
	screen.awaits("up 1/2", "draining")
	assert.Contains(t, command(t, "status", "--admin", socket).stdout, "draining")
	screen.keys("u")
	screen.awaits("up 2/2")
	screen.keys("r", "y")
	screen.awaits("generation 2")

	screen.resize(50, 12)
	screen.awaitsNot("INFLIGHT")
	screen.awaits("ERR/S", servers[1].address)
	screen.resize(100, 24)
	screen.awaits("INFLIGHT")

	l.signal(syscall.SIGTERM)
	screen.awaits("connection lost, retrying", servers[0].address)
	l = config.start(t)
	screen.awaitsNot("connection lost")
	screen.awaits(fmt.Sprint("pid ", l.cmd.Process.Pid))

	screen.keys("q")
	screen.isRestored()
}

// viewer is the binary that shows l7 top. It is without the race detector: at its end bubbletea waits half a second for its reader of keys, and
// closes the terminal under one that a busy machine has kept from ending.
func viewer(t *testing.T) string {
	t.Helper()
	binary, err := built.released()
	require.NoError(t, err)
	return binary
}

// TestTopRestoresTheTerminalWhenItIsKilled by a signal that it can mind.
func TestTopRestoresTheTerminalWhenItIsKilled(t *testing.T) {
	t.Parallel()
	folder := socketFolder(t)
	socket, pid := filepath.Join(folder, "admin.sock"), filepath.Join(folder, "pid")
	startAsked(t, socket)
	screen := startTerminal(t, 80, 24)
	screen.run("sh -c 'echo $$ >" + pid + "; exec " + viewer(t) + " top --admin " + socket + "'")
	screen.awaits("BACKEND", "127.0.0.1:1")
	outside(t, "kill -TERM $(cat "+pid+")")
	screen.awaits("l7: interrupted")
	screen.isRestored()
}

// TestTopWithoutATerminal: the error names what to use instead, one frame is plain text, and a process that is not there is said so.
func TestTopWithoutATerminal(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(socketFolder(t), "admin.sock")
	got := command(t, "top", "--admin", socket)
	assert.Equal(t, 2, got.code)
	assert.Contains(t, got.stderr, "`l7 top --once` and `l7 status`")
	assert.Equal(t, 2, command(t, "top", "--json", "--admin", socket).code)
	assert.Equal(t, 2, command(t, "top", "--once", "--interval", "1ms", "--admin", socket).code)
	assert.Equal(t, 3, command(t, "top", "--once", "--admin", socket).code)

	startAsked(t, socket)
	got = command(t, "top", "--once", "--admin", socket)
	require.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "127.0.0.1:1 ")
	assert.NotContains(t, got.stdout, "\x1b")
	assert.Contains(t, command(t, "top", "--once", "--json", "--admin", socket).stdout, `"backends": [`)
}

// TestNoLibraryThatStartsSlowly: each of these would cost every l7 something at its start, also one that serves. lipgloss runs
// `tmux info`; go-runewidth fills 2 MB of tables, 50 ms of CPU, at least in v0.0.27. Measure before another version comes in:
// GODEBUG=inittrace=1 l7 version
func TestNoLibraryThatStartsSlowly(t *testing.T) {
	t.Parallel()
	info, err := buildinfo.ReadFile(built.l7)
	require.NoError(t, err)
	require.NotEmpty(t, info.Deps)
	for _, m := range info.Deps {
		slow := strings.Contains(m.Path, "lipgloss") || m.Path == "github.com/mattn/go-runewidth" && m.Version != "v0.0.24"
		assert.False(t, slow, "%s %s is part of l7", m.Path, m.Version)
	}
}

// startAsked starts an l7 that can be asked at a socket.
func startAsked(t testing.TB, socket string) {
	t.Helper()
	run{args: []string{"example.com=127.0.0.1:1"}, env: []string{loopback, "L7_ADMIN__SOCKET=" + socket}}.start(t)
	awaitSocket(t, socket)
}

// awaitSocket waits until l7 can be asked.
func awaitSocket(t testing.TB, socket string) {
	t.Helper()
	eventually(t, "there is an admin socket", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
}

// terminal is a shell in a tmux of its own, whose screen can be read.
type terminal struct {
	t              testing.TB
	folder, before string // before: the settings of the terminal at first
}

func startTerminal(t testing.TB, width, height int) *terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		require.FailNow(t, "there is no tmux to test l7 top in; install it: apt-get install -y tmux")
	}
	s := &terminal{t: t, folder: socketFolder(t)}
	s.tmux("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), "env PS1='$ ' sh")
	t.Cleanup(func() { _ = s.command("kill-server").Run() }) // fails where a test has failed to start it
	s.awaits("$")
	s.run("echo before; stty -g >" + s.folder + "/settings")
	s.before = s.settings()
	return s
}

func (s *terminal) command(args ...string) *exec.Cmd {
	cmd := exec.Command("tmux", append([]string{"-u", "-S", filepath.Join(s.folder, "tmux")}, args...)...)
	cmd.Env = append(os.Environ(), "TMUX=", "GORACE=atexit_sleep_ms=20")
	return cmd
}

func (s *terminal) tmux(args ...string) string {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	require.NoError(s.t, err, "%q: %s", args, out)
	return string(out)
}

// keys types keys by the names that tmux has for them.
func (s *terminal) keys(names ...string) {
	s.t.Helper()
	s.tmux(append([]string{"send-keys"}, names...)...)
}

// run types a command line.
func (s *terminal) run(line string) {
	s.t.Helper()
	s.tmux("send-keys", "-l", line)
	s.keys("Enter")
}

// outside runs a command line outside of the terminal.
func outside(t testing.TB, line string) {
	t.Helper()
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	require.NoError(t, err, string(out))
}

func (s *terminal) resize(width, height int) {
	s.t.Helper()
	s.tmux("resize-window", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height))
}

// capture is the text on the screen.
func (s *terminal) capture() string {
	s.t.Helper()
	return s.tmux("capture-pane", "-p")
}

// awaits waits until all the words are on the screen.
func (s *terminal) awaits(words ...string) {
	s.t.Helper()
	s.watch("the screen shows "+strings.Join(words, ", "), func(screen string) bool { return containsAll(screen, words) })
}

// awaitsNot waits until a word is no longer on the screen.
func (s *terminal) awaitsNot(word string) {
	s.t.Helper()
	s.watch("the screen does not show "+word, func(screen string) bool { return !strings.Contains(screen, word) })
}

func (s *terminal) watch(what string, holds func(screen string) bool) {
	s.t.Helper()
	screen := ""
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the screen:\n%s", screen)
		}
	}()
	eventually(s.t, what, func() bool {
		screen = s.capture()
		return holds(screen)
	})
}

// settings waits for what stty has written, and takes it away.
func (s *terminal) settings() string {
	s.t.Helper()
	name, text := filepath.Join(s.folder, "settings"), ""
	eventually(s.t, "stty says its settings", func() bool {
		content, _ := os.ReadFile(name)
		text = string(content)
		return strings.HasSuffix(text, "\n")
	})
	require.NoError(s.t, os.Remove(name))
	return text
}

// isRestored waits until the shell has its screen back, and compares the settings of the terminal with those at first.
func (s *terminal) isRestored() {
	s.t.Helper()
	s.awaits("before")
	s.awaitsNot("BACKEND")
	flags := func() string {
		return s.tmux("display-message", "-p", "#{alternate_on}#{cursor_flag}#{mouse_any_flag}#{keypad_cursor_flag}")
	}
	eventually(s.t, "the screen is the first one, with a cursor", func() bool { return flags() == "0100\n" })
	s.run("stty -g >" + s.folder + "/settings")
	assert.Equal(s.t, s.before, s.settings(), "the settings of the terminal")
}
