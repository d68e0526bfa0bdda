package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// upgrades is how many follow one another under load.
const upgrades = 10

// dynasty is an l7 and all that replaced it, one after the other. They write into the same log.
type dynasty struct {
	*l7
	binary string // a file of its own, which may be replaced
}

// startDynasty starts an l7 from a binary of its own and waits until it listens.
func startDynasty(t *testing.T, r run) *dynasty {
	t.Helper()
	d := launchDynasty(t, r)
	d.client = newClient(t, d.listening(1)[0])
	return d
}

// activation makes descriptors known as systemd does; it knows the process number that l7 will have.
const activation = `LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s exec "$0" "$@"`

// launchDynasty waits for nothing. Unlike with other processes, the end of its output is that of the last of them.
func launchDynasty(t *testing.T, r run) *dynasty {
	t.Helper()
	d := &dynasty{binary: filepath.Join(t.TempDir(), "l7")}
	d.replace(t, built.l7)
	l := &l7{t: t}
	if r.config != "" {
		l.file = writeFile(t, r.config)
		r.args = append([]string{"--config", l.file}, r.args...)
	}
	cmd := exec.Command(d.binary, r.args...)
	if n := len(r.sockets); n > 0 {
		script := fmt.Sprintf(activation, n, strings.Join(slices.Repeat([]string{"l7.socket"}, n), ":"))
		cmd = exec.Command("/bin/sh", append([]string{"-c", script, d.binary}, r.args...)...)
		r.env = append(r.env, "L7_ADMIN__SOCKET="+filepath.Join(socketFolder(t), "admin.sock"))
	}
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=20"}, r.env...)
	cmd.ExtraFiles, cmd.SysProcAttr = r.sockets, orphans()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = writer, writer
	require.NoError(t, cmd.Start())
	require.NoError(t, writer.Close())
	l.process = &process{t: t, cmd: cmd, ended: make(chan struct{})}
	d.l7 = l
	go func() {
		_, _ = io.Copy(&l.stderr, reader)
		_ = cmd.Wait() // the exit code is in ProcessState
		close(l.ended)
	}()
	t.Cleanup(func() {
		for n := range len(l.log("upgraded; the new process serves")) + 1 {
			_ = syscall.Kill(d.pid(n), syscall.SIGKILL) // it fails for those that have ended
		}
		<-l.ended
		l.checkOutput(false)
		if t.Failed() {
			t.Logf("they wrote:\n%s", l.stderr.String())
		}
	})
	return d
}

// pid is the process number of the n-th process, from 0.
func (d *dynasty) pid(n int) int {
	if n == 0 {
		return d.cmd.Process.Pid
	}
	pid, _ := d.log("upgraded; the new process serves")[n-1]["pid"].(float64)
	return int(pid)
}

// upgrade has the last process replaced.
func (d *dynasty) upgrade() {
	d.t.Helper()
	n := len(d.log("upgraded; the new process serves"))
	require.NoError(d.t, syscall.Kill(d.pid(n), syscall.SIGUSR2))
	d.awaitLog("upgraded; the new process serves", n+1)
}

// replace puts a copy of a file in the binary's place, at once.
func (d *dynasty) replace(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	d.write(t, content)
}

func (d *dynasty) write(t *testing.T, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock() // a process that is forked meanwhile would hold the file open for writing, and it could not be run
	err := os.WriteFile(d.binary+".next", content, 0o700)
	syscall.ForkLock.RUnlock()
	require.NoError(t, err)
	require.NoError(t, os.Rename(d.binary+".next", d.binary))
}

// stop ends the last process, and with it all.
func (d *dynasty) stop() {
	d.t.Helper()
	require.NoError(d.t, syscall.Kill(d.pid(len(d.log("upgraded; the new process serves"))), syscall.SIGTERM))
	require.Zero(d.t, d.exit())
}

// startLasting is like startLoad, but who is told to close a connection goes on over another.
func startLasting(t *testing.T, addr, url string) *load {
	t.Helper()
	d := &load{}
	for i := range clients {
		c := newClient(t, addr)
		d.running.Go(func() {
			for number := i; !d.stop.Load() && !d.idle(); number += clients {
				d.client(c, number, url)
			}
			d.dials.Add(c.dials.Load())
		})
	}
	return d
}

func TestTenUpgradesUnderLoadLoseNoRequest(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	l := startDynasty(t, run{config: text(listenAnywhere, "backends: {example.com: {servers: ["+servers[0].address+", "+servers[1].address+"]}}")})
	d := startLasting(t, l.addr, "http://example.com/")

	for n := 1; n <= upgrades; n++ {
		before := d.sent.Load()
		eventually(t, "requests are answered between two upgrades", func() bool { return d.sent.Load() > before+5*clients || d.idle() })
		l.upgrade()
	}
	before := d.sent.Load()
	eventually(t, "requests are answered after the last", func() bool { return d.sent.Load() > before+5*clients || d.idle() })
	d.end()

	d.requireNothingLost(t, servers)
	l.stop()
	assert.Len(t, l.log("drained"), upgrades+1)
	for _, line := range l.log("listening") {
		assert.Equal(t, l.addr, line.field("address"))
	}
	t.Logf("%d requests over %d connections, %d of them POST, %d upgrades", d.sent.Load(), d.dials.Load(), d.posted.Load(), upgrades)
}

func TestUpgradeThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	lines := []string{listenAnywhere, "backends: {example.com: {servers: [" + server.address + "]}}"}
	l := startDynasty(t, run{config: text(lines...)})
	kept := l.connect()
	kept.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a")

	f := func(words ...string) {
		t.Helper()
		n := len(l.log("cannot upgrade; this process goes on"))
		l.signal(syscall.SIGUSR2)
		got := l.awaitLog("cannot upgrade; this process goes on", n+1).field("error")
		for _, word := range words {
			assert.Contains(t, got, word)
		}
		assert.False(t, kept.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a").Close)
		l.get("http://example.com/").from("a")
	}
	l.write(t, []byte("\x7fELF, and then nothing"))
	f("cannot start", "exec format error")
	l.write(t, []byte("#!/bin/sh\nexit 3\n"))
	f("ended before it was ready", "exit status 3")
	require.NoError(t, os.Remove(l.binary))
	f("cannot start", "no such file")
	l.replace(t, built.l7)
	l.rewrite("backnds: {}")
	f("exit status 1", "l7.yml:1:1", "did you mean")
	l.rewrite(append(lines, "admin: {listen: '"+server.address+"'}")...)
	f("exit status 1", "address already in use")

	assert.Equal(t, "nothing", l.reload(lines...))
	l.upgrade()
	l.get("http://example.com/").from("a")
	l.stop()
}

func TestUpgradeWhileTheOneBeforeStillDrains(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	l := startDynasty(t, run{config: text(listenAnywhere, "backends: {example.com: {servers: ["+server.address+"]}}")})
	idle := l.connect()
	idle.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").from("a")
	first := l.begin(call{url: "http://example.com/?delay=3s"})
	server.awaitInFlight(1)
	l.upgrade()
	second := newClient(t, l.addr).begin(call{url: "http://example.com/?delay=3s"})
	server.awaitInFlight(2)
	l.upgrade()
	_, err := idle.reader.ReadByte()
	require.ErrorIs(t, err, io.EOF, "an idle connection is to be closed in order")
	assert.Equal(t, 2, server.stats().InFlight, "a slow request is over too early to prove anything")
	newClient(t, l.addr).get("http://example.com/").from("a")
	assert.True(t, first.wait(t).from("a").Close)
	assert.True(t, second.wait(t).from("a").Close)
	l.awaitLog("drained", 2)
	l.stop()
}

// TestProbesDuringUpgrades: whoever asks whether l7 is ready hears nothing else, and is hung up on by nobody.
func TestProbesDuringUpgrades(t *testing.T) {
	t.Parallel()
	server, port := startUpstream(t, "a"), freePort(t)
	l := startDynasty(t, run{config: text(
		listenAnywhere,
		"admin: {socket: 'off', listen: '127.0.0.1:"+port+"'}",
		"backends: {example.com: {servers: ["+server.address+"]}}")})
	stop := make(chan struct{})
	var failed sync.Map
	var asked atomic.Int64
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			probe := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
			for path := []string{"/readyz", "/healthz"}[i%2]; ; asked.Add(1) {
				select {
				case <-stop:
					return
				default:
				}
				got, err := probe.Get("http://127.0.0.1:" + port + path) //nolint:noctx // the client has a timeout
				if err != nil {
					failed.Store(err.Error(), true)
					return
				}
				body, _ := io.ReadAll(got.Body)
				_ = got.Body.Close()
				if got.StatusCode != http.StatusOK {
					failed.Store(got.Status+": "+string(body), true)
				}
			}
		})
	}
	for range upgrades {
		l.upgrade()
	}
	close(stop)
	group.Wait()
	failed.Range(func(what, _ any) bool { t.Error(what); return true })
	assert.Greater(t, asked.Load(), int64(upgrades))
	l.stop()
}

// TestSignalsDuringAnUpgrade has a new binary that waits before it is l7.
func TestSignalsDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	config := func(i int) []string {
		return []string{listenAnywhere, "backends: {example.com: {servers: [" + servers[i].address + "]}}"}
	}
	l := startDynasty(t, run{config: text(config(0)...)})
	gate := filepath.Join(t.TempDir(), "gate")
	require.NoError(t, syscall.Mkfifo(gate, 0o600))
	l.write(t, fmt.Appendf(nil, "#!/bin/sh\necho 'at the gate' >&2\nread line < '%s'\nexec '%s' \"$@\"\n", gate, built.l7))

	l.signal(syscall.SIGUSR2)
	l.awaitText("at the gate")
	l.signal(syscall.SIGUSR2)
	l.awaitLog("an upgrade is under way already", 1)
	l.rewrite(config(1)...)
	l.signal(syscall.SIGHUP) // for whoever is there afterwards
	l.get("http://example.com/").from("a")
	require.NoError(t, os.WriteFile(gate, []byte("go\n"), 0o600))
	l.awaitLog("upgraded; the new process serves", 1)
	l.awaitLog("reloaded", 1)
	newClient(t, l.addr).get("http://example.com/").from("b")

	l.stop()
}

// TestStopDuringAnUpgrade: nobody wants the new process any more.
func TestStopDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	l := startDynasty(t, run{config: text(listenAnywhere, "backends: {example.com: {servers: ['127.0.0.1:1']}}")})
	l.write(t, []byte("#!/bin/sh\necho 'at the gate' >&2\nexec sleep 60\n"))
	l.signal(syscall.SIGUSR2)
	l.awaitText("at the gate")
	l.signal(syscall.SIGTERM)
	assert.Zero(t, l.exit()) // and the sleeper is gone: it has the log open too
}

func TestUpgradeKeepsUnixSockets(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	dir := socketFolder(t)
	path, control := filepath.Join(dir, "l7.sock"), filepath.Join(dir, "admin.sock")
	l := startDynasty(t, run{config: text(
		"listen: ['unix:"+path+"']",
		"admin: {socket: '"+control+"'}",
		"backends: {example.com: {servers: ["+server.address+"]}}")})
	for n := 1; n <= 2; n++ {
		l.upgrade()
		l.awaitLog("drained", n)
		newClient(t, path).get("http://example.com/").from("a")
		assert.Equal(t, l.pid(n), statusOf(t, control).PID)
	}
	l.stop()
	assert.NoFileExists(t, path)
	assert.NoFileExists(t, control)
}

// status is what the admin socket says of a process.
type status struct {
	PID      int `json:"pid"`
	Backends []struct {
		Servers []struct {
			Address string `json:"address"`
			Drained bool   `json:"drained"`
		} `json:"servers"`
	} `json:"backends"`
}

func statusOf(t *testing.T, control string) (s status) {
	t.Helper()
	got := command(t, "status", "--json", "--admin", control)
	require.Zero(t, got.code, got.stderr)
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &s), got.stdout)
	return s
}

// TestUpgradeKeepsWhatWasSaidAndPromised: servers that were taken out stay out, and the cookies of before are good.
func TestUpgradeKeepsWhatWasSaidAndPromised(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 3)
	control, port := filepath.Join(socketFolder(t), "admin.sock"), freePort(t)
	l := startDynasty(t, run{config: text(
		listenAnywhere,
		"admin: {socket: '"+control+"', listen: '127.0.0.1:"+port+"'}",
		"backends:",
		"  example.com:",
		"    sticky: {cookie: l7}",
		"    servers: ["+servers[0].address+", "+servers[1].address+", "+servers[2].address+"]")})
	got := command(t, "drain", "--admin", control, "example.com", servers[0].address)
	require.Zero(t, got.code, got.stderr)
	first := l.get("http://example.com/").is(http.StatusOK)
	cookie, name := first.Cookies()[0], first.server()

	for range 2 {
		l.upgrade()
		ready := newClient(t, "127.0.0.1:"+port)
		ready.get("http://127.0.0.1/readyz").is(http.StatusOK)
		asked := newClient(t, l.addr)
		for range 10 {
			raw := asked.raw("GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\nCookie: l7=" + cookie.Value + "\r\n\r\n").from(name)
			assert.Empty(t, raw.Cookies())
			assert.NotEqual(t, "a", asked.get("http://example.com/").is(http.StatusOK).server(), "a drained server has new work")
		}
		drained := 0
		for _, s := range statusOf(t, control).Backends[0].Servers {
			if s.Drained {
				drained++
				assert.Contains(t, s.Address, servers[0].address)
			}
		}
		assert.Equal(t, 1, drained)
	}
	l.stop()
}

// TestUpgradeWithRequiredChecksLosesNoRequest: what the process before has found well serves until the new one has checked for itself.
func TestUpgradeWithRequiredChecksLosesNoRequest(t *testing.T) {
	t.Parallel()
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			time.Sleep(200 * time.Millisecond) // a check takes its time
		}
	})
	l := startDynasty(t, run{config: text(listenAnywhere,
		"backends: {example.com: {servers: ['"+address+"'], health: {path: /healthz, interval: 300ms, rise: 1, required: true}}}")})
	eventually(t, "the server is well", func() bool { return l.get("http://example.com/").StatusCode == http.StatusOK })
	d := startLasting(t, l.addr, "http://example.com/")
	for range 3 {
		before := d.sent.Load()
		eventually(t, "requests are answered", func() bool { return d.sent.Load() > before+100 || d.idle() })
		l.upgrade()
	}
	before := d.sent.Load()
	eventually(t, "requests are answered", func() bool { return d.sent.Load() > before+100 || d.idle() })
	d.end()
	d.mu.Lock()
	defer d.mu.Unlock()
	assert.Empty(t, d.lost)
}

// TestSocketActivation starts l7 as systemd would: the variables name the process, and the socket is there before it.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	socket := listenTCP(t)
	file, err := socket.File()
	require.NoError(t, err)
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=l7.socket exec "$0" "$@"`, built.l7, "example.com="+server.address)
	cmd.Env = []string{"L7_LISTEN=" + socket.Addr().String(), "GORACE=atexit_sleep_ms=20"}
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = orphans()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	require.NoError(t, cmd.Start())
	go func() {
		_ = cmd.Wait() // the exit code is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(p.kill)

	newClient(t, socket.Addr().String()).get("http://example.com/").from("a")
	p.signal(syscall.SIGTERM)
	assert.Zero(t, p.exit(), p.stderr.String())
	assert.NotContains(t, p.stderr.String(), "inherited socket")
}

// TestWhatSystemdHears follows a service through its life.
func TestWhatSystemdHears(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	m := newManager(t)
	config := []string{listenAnywhere, "backends: {example.com: {servers: [" + server.address + "]}}"}
	l := startDynasty(t, run{config: text(config...), env: []string{"NOTIFY_SOCKET=" + m.address, "WATCHDOG_USEC=400000"}})
	m.hears("^READY=1$")
	m.hears("^WATCHDOG=1$")
	m.hears("^WATCHDOG=1$")
	l.reload(config...)
	m.hears(`^RELOADING=1\nMONOTONIC_USEC=\d+\n$`)
	m.hears("^READY=1$")
	l.upgrade()
	pid := m.hears(`^MAINPID=(\d+)\n`)[1]
	assert.Equal(t, strconv.Itoa(l.pid(1)), pid)
	l.awaitLog("drained", 1)
	m.hears("^WATCHDOG=1$") // of the new one
	l.stop()
	m.hears("^STOPPING=1$")
}

// hears waits for a message, the watchdog's apart, and returns what its expression matches.
func (m *manager) hears(expression string) []string {
	m.t.Helper()
	wanted := regexp.MustCompile(expression)
	for {
		message := m.next()
		if found := wanted.FindStringSubmatch(message); found != nil {
			return found
		}
		require.Equal(m.t, "WATCHDOG=1", message, "instead of %s", expression)
	}
}

// TestUnitsAreValid has systemd read deploy/systemd. Its version may not know all of the keys that it is written for.
func TestUnitsAreValid(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	require.NoError(t, err, "this test asks systemd itself: apt-get install -y systemd")
	dir := t.TempDir()
	args := []string{"verify"}
	for _, name := range []string{"l7.service", "l7.socket"} {
		unit, err := os.ReadFile(filepath.Join("..", "deploy", "systemd", name))
		require.NoError(t, err)
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, bytes.ReplaceAll(unit, []byte("/usr/bin/l7 "), []byte(built.l7+" ")), 0o600))
		args = append(args, file)
	}
	out, err := exec.Command(analyze, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) && !strings.Contains(line, "notify-reload") { // systemd before 253 takes it for Type=simple
			t.Error(line)
		}
	}
}
