package handover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 20 * time.Second

// role makes this test binary a new process: what it is to do with its inheritance.
const role = "HANDOVER_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		m.Run()
		return
	}
	if err := child(os.Getenv(role)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3) //nolint:forbidigo // this is the main of a process of its own
	}
}

// child is the new process.
func child(role string) error {
	in, rest, err := Inherit(os.Environ())
	if err != nil {
		return err
	}
	word, address, _ := strings.Cut(role, " ")
	switch word {
	case "fail":
		in.Failed(errors.New("line one\nline two"))
		return errors.New("to standard error")
	case "end":
		return nil
	case "hang":
		select {}
	}
	network, address, _ := strings.Cut(address, " ")
	l := in.Take(network, address)
	if l == nil {
		return fmt.Errorf("there is no socket for %s %q", network, address)
	}
	left := in.CloseRest()
	state := in.State()
	in.Ready()
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c, "state %s, left %d, variables %q", state, len(left), leaked(rest))
	return errors.Join(err, c.Close())
}

func leaked(environ []string) (found []string) {
	for _, v := range environ {
		if strings.HasPrefix(v, "LISTEN_") || strings.HasPrefix(v, varUpgrade) {
			found = append(found, v)
		}
	}
	return found
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func startChild(t *testing.T, role string, offers []Offer, state string) *Child {
	t.Helper()
	binary, err := os.Executable()
	must(t, err)
	c, err := Start(Program{Path: binary, Env: append(os.Environ(), "HANDOVER_TEST_ROLE="+role, "GORACE=atexit_sleep_ms=20")}, offers, []byte(state))
	must(t, err)
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

func limited(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// A client that was in the queue while the old process closed its socket is served by the new one.
func TestSocketGoesOn(t *testing.T) {
	t.Parallel()
	f := func(network, address string) {
		t.Helper()
		l := listen(t, network, address)
		other := listen(t, "tcp", "127.0.0.1:0")
		offers := []Offer{{"tcp", "127.0.0.1:1", other}, {network, address, l}}
		c := startChild(t, "serve "+network+" "+address, offers, strings.Repeat("s", 100_000))
		must(t, c.Wait(limited(t, patience)))
		Leave(l)
		must(t, l.Close())
		client, err := net.Dial(network, l.Addr().String())
		must(t, err)
		defer client.Close()
		must(t, client.SetDeadline(time.Now().Add(patience)))
		got, err := io.ReadAll(client)
		must(t, err)
		want := "state " + strings.Repeat("s", 100_000) + ", left 1, variables []"
		if string(got) != want {
			t.Errorf("%s %s: the new process says %.200q", network, address, got)
		}
	}
	f("tcp", "127.0.0.1:0") // by the address that was asked for
	f("unix", filepath.Join(t.TempDir(), "s"))
}

// To make a copy blocking would make the socket itself blocking: a goroutine in Accept would then hold a thread, and Close would wait for it.
func TestSocketStaysNonBlocking(t *testing.T) {
	t.Parallel()
	l := listen(t, "tcp", "127.0.0.1:0")
	c := startChild(t, "end", []Offer{{"tcp", "127.0.0.1:0", l}}, "")
	if c.Wait(limited(t, patience)) == nil {
		t.Error("a process that ends at once is ready")
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		must(t, err)
		if flags&unix.O_NONBLOCK == 0 {
			t.Error("the socket is blocking")
		}
	}))
}

func TestChildThatIsNotReady(t *testing.T) {
	t.Parallel()
	f := func(role string, limit time.Duration, want ...string) {
		t.Helper()
		c := startChild(t, role, nil, "{}")
		err := c.Wait(limited(t, limit))
		if err == nil {
			t.Fatalf("%s: it is ready", role)
		}
		for _, word := range want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v; want %q", role, err, word)
			}
		}
		if c.cmd.Process.Signal(syscall.Signal(0)) == nil {
			t.Errorf("%s: the process is still there", role)
		}
	}
	f("fail", patience, "exit status 3", "line one; line two")
	f("end", patience, "exit status 0")
	f("hang", 300*time.Millisecond, "not ready in time", "deadline")
	f("serve tcp 127.0.0.1:1", patience, "exit status 3")
}

func TestProgramThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := Start(Program{Path: missing}, nil, nil); err == nil {
		t.Error("a missing program was started")
	}
	broken := filepath.Join(t.TempDir(), "broken")
	must(t, os.WriteFile(broken, []byte("\x7fELF and then nothing"), 0o700))
	if _, err := Start(Program{Path: broken}, nil, nil); err == nil {
		t.Error("a broken program was started")
	}
}

func TestNothingInherited(t *testing.T) {
	t.Parallel()
	f := func(environ ...string) {
		t.Helper()
		in, rest, err := Inherit(append(environ, "A=b"))
		must(t, err)
		if in.IsUpgrade() || in.Take("tcp", ":80") != nil || in.State() != nil || len(in.CloseRest()) > 0 {
			t.Errorf("%v: something was inherited", environ)
		}
		if len(rest) != 1 || rest[0] != "A=b" {
			t.Errorf("%v: the rest is %v", environ, rest)
		}
		in.Ready()
		in.Failed(errors.New("nobody listens"))
	}
	f()
	f("LISTEN_PID=1", "LISTEN_FDS=7", "LISTEN_FDNAMES=a:b") // meant for another process
	f("LISTEN_FDS=7")
	var none *Inherited
	if none.Take("tcp", ":80") != nil || none.CloseRest() != nil || none.IsUpgrade() {
		t.Error("a nil one is not empty")
	}
}

// Descriptor 900 is none: somebody else has set the variable.
func TestMarkerWithoutPipes(t *testing.T) {
	t.Parallel()
	if _, _, err := Inherit([]string{varUpgrade + "=1", "LISTEN_FDS=x"}); err == nil {
		t.Error("x is a number")
	}
	if err := (&Inherited{}).adoptPipes(900); err == nil || !strings.Contains(err.Error(), varUpgrade) {
		t.Errorf("%v; want a word about the variable", err)
	}
}

// adopted is what a process makes of copies of these listeners under the names that systemd gave them.
func adopted(t *testing.T, named map[string]net.Listener) *Inherited {
	t.Helper()
	in := &Inherited{}
	for name, l := range named {
		file, err := duplicate(l)
		must(t, err)
		fd, err := unix.Dup(int(file.Fd()))
		must(t, err)
		must(t, file.Close())
		in.adopt(fd, name)
	}
	t.Cleanup(func() { in.CloseRest() })
	return in
}

func TestTakeGoesByTheRealAddress(t *testing.T) {
	t.Parallel()
	f := func(opened, wanted func(port string) string, found bool) {
		t.Helper()
		l, err := net.Listen("tcp", opened("0"))
		if err != nil {
			t.Skip(err) // no IPv6
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		in := adopted(t, map[string]net.Listener{"l7.socket": l})
		got := in.Take("tcp", wanted(port))
		if (got != nil) != found {
			t.Errorf("%s for %s: %v", l.Addr(), wanted(port), got)
		}
		if got == nil {
			return
		}
		defer got.Close()
		if in.Take("tcp", wanted(port)) != nil {
			t.Errorf("%s was given twice", l.Addr())
		}
	}
	on := func(host string) func(string) string { return func(port string) string { return host + ":" + port } }
	f(on(""), on(""), true)
	f(on("[::]"), on(""), true)
	f(on("0.0.0.0"), on(""), true)
	f(on("0.0.0.0"), on("0.0.0.0"), true)
	f(on("127.0.0.1"), on("127.0.0.1"), true)
	f(on("[::1]"), on("[::1]"), true)
	f(on("127.0.0.1"), on("localhost"), true)
	f(on("127.0.0.1"), on(""), false)
	f(on(""), on("127.0.0.1"), false)
	f(on("127.0.0.1"), on("127.0.0.2"), false)
	f(on("127.0.0.1"), func(string) string { return "127.0.0.1:0" }, false)
}

func TestUnixSocketOfSystemdStays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	in := adopted(t, map[string]net.Listener{"l7.socket": listen(t, "unix", path)})
	l := in.Take("unix", path)
	if l == nil {
		t.Fatal("there is no socket")
	}
	Own(l)
	if got := (Offer{"unix", path, l}).name(); got != "l7.socket" {
		t.Errorf("it is passed on as %q", got)
	}
	if l.(interface{ Lost() bool }).Lost() {
		t.Error("it is lost")
	}
	must(t, l.Close())
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestOwnUnixSocketGoes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	f := func(then func(net.Listener), stays bool) {
		t.Helper()
		first := listen(t, "unix", path)
		in := adopted(t, map[string]net.Listener{nameOf("unix", path): first})
		Leave(first)
		must(t, first.Close())
		l := in.Take("unix", path)
		then(l)
		must(t, l.Close())
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%v; want it to be there: %v", err, stays)
		}
		_ = os.Remove(path)
	}
	f(func(net.Listener) {}, true)
	f(Own, false)
	f(func(l net.Listener) { Own(l); Leave(l) }, true)
}

// The file that stands where a socket's was may be that of another process, which somebody has started there: it was once removed.
func TestFileOfAnotherStays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	first := listen(t, "unix", path)
	in := adopted(t, map[string]net.Listener{nameOf("unix", path): first})
	Leave(first)
	must(t, first.Close())
	l := in.Take("unix", path)
	isLost := l.(interface{ Lost() bool }).Lost
	if isLost() {
		t.Error("it is lost while its file is there")
	}
	must(t, os.Remove(path))
	if !isLost() {
		t.Error("it is not lost without its file")
	}
	listen(t, "unix", path)
	if !isLost() {
		t.Error("it is not lost when its file is another's")
	}
	Own(l)
	must(t, l.Close())
	if c, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
}

// An upgrade left the files behind of addresses that the new config does not have.
func TestFilesOfTheRestGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, replaced, systemds := filepath.Join(dir, "own"), filepath.Join(dir, "replaced"), filepath.Join(dir, "systemd")
	in := adopted(t, map[string]net.Listener{
		nameOf("unix", own): passed(t, own), nameOf("unix", replaced): passed(t, replaced), "l7.socket": passed(t, systemds),
	})
	must(t, os.Remove(replaced))
	must(t, os.WriteFile(replaced, nil, 0o600))
	if got := in.CloseRest(); len(got) != 3 {
		t.Errorf("%d warnings: %v", len(got), got)
	}
	if _, err := os.Stat(own); err == nil {
		t.Errorf("%s is still there", own)
	}
	for _, path := range []string{replaced, systemds} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// passed is a unix socket of a process that passes it on.
func passed(t *testing.T, path string) net.Listener {
	t.Helper()
	l := listen(t, "unix", path)
	Leave(l)
	return l
}

func TestWhatIsNoListenerIsToldOf(t *testing.T) {
	t.Parallel()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(pair[1])
	in := adopted(t, map[string]net.Listener{"extra": listen(t, "tcp", "127.0.0.1:0")})
	in.adopt(pair[0], "odd")
	warnings := strings.Join(in.CloseRest(), "\n")
	for _, word := range []string{"odd", "does not listen", "extra", "nothing in the config"} {
		if !strings.Contains(warnings, word) {
			t.Errorf("%q is not in %q", word, warnings)
		}
	}
}

// The library turns probes on for connections of a listener that it has not made itself.
func TestInheritedConnectionsAreNotProbed(t *testing.T) {
	t.Parallel()
	first := listen(t, "tcp", "127.0.0.1:0")
	in := adopted(t, map[string]net.Listener{"x": first})
	l := in.Take("tcp", first.Addr().String())
	must(t, first.Close())
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer client.Close()
	c, err := l.Accept()
	must(t, err)
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) {
		if on, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE); err != nil || on != 0 {
			t.Errorf("keep-alive is %d, %v", on, err)
		}
	}))
}

// Nothing of the state may be seen by who lists processes.
func TestStateIsNotInTheEnvironment(t *testing.T) {
	t.Parallel()
	c := startChild(t, "hang", nil, "hunter2")
	for _, file := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.PID(), file))
		if errors.Is(err, os.ErrNotExist) {
			t.Skip("there is no /proc")
		}
		must(t, err)
		if bytes.Contains(text, []byte("hunter2")) {
			t.Errorf("the state is in %s", file)
		}
	}
}
