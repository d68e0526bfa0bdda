//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lab is the temporary directory and every process that was started. It is used by one goroutine.
type lab struct {
	dir     string
	running []*process
	started int // numbers the log and config files
}

// process is one started program with all that it forks: they share a process group, whose number is the pid.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string        // path of what it prints
	done chan struct{} // closed when it has ended; cmd.ProcessState then says how
}

// newLab prefers a tmpfs: neither the origin's files nor what nginx spools to disk is then a matter of the disk.
func newLab(dir string) (*lab, error) {
	if dir == "" {
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
			dir = "/dev/shm"
		}
	}
	tmp, err := os.MkdirTemp(dir, "l7-compare-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a temporary directory: %w", err)
	}
	return &lab{dir: tmp}, nil
}

func (l *lab) close() {
	for _, p := range l.running {
		p.stop()
	}
	_ = os.RemoveAll(l.dir) // nothing to be done about what stays
}

// path names a file in the lab that no other process uses.
func (l *lab) path(name string) string {
	l.started++
	return filepath.Join(l.dir, fmt.Sprintf("%03d-%s", l.started, name))
}

// write puts a file into the lab and returns its path.
func (l *lab) write(name, content string) (string, error) {
	path := l.path(name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", fmt.Errorf("cannot write %q: %w", path, err)
	}
	return path, nil
}

// start runs a program until stop, the end of ctx or our own end, whichever comes first.
func (l *lab) start(ctx context.Context, name string, argv ...string) (*process, error) {
	p := &process{name: name, log: l.path(name + ".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write the log of %s: %w", name, err)
	}
	defer out.Close() // the process has its own
	p.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), "L7_TIMEOUTS__IDLE=10m") // as for the others: see the configs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // check tells how it ended
		close(p.done)
	}()
	l.running = append(l.running, p)
	return p, nil
}

// stop kills the process and all that it forked. They hold nothing that is worth an orderly end.
func (p *process) stop() {
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // fails when it is gone already
	<-p.done
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// check is an error once the process has ended, with the last that it said.
func (p *process) check() error {
	select {
	case <-p.done:
		said, _ := os.ReadFile(p.log)
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		return fmt.Errorf("%s has ended (%s): %s", p.name, p.cmd.ProcessState, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	default:
		return nil
	}
}

// await waits until the process takes connections on addr.
func (p *process) await(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("not ready after 10s"))
	defer cancel()
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return conn.Close()
		}
		if err := p.check(); err != nil {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("cannot reach %s on %s: %w", p.name, addr, err)
		}
	}
}

// pause sleeps, but no longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// freeAddr is an address on the loopback whose port nobody listens on, at any address. It is below those that the system gives to
// outgoing connections, of which a benchmark has many. Somebody may take it before we do; the start then fails and says so.
func freeAddr() (string, error) {
	const first, last = 12000, 32000
	var failed error
	for range 100 {
		port := strconv.Itoa(first + rand.IntN(last-first))
		ln, err := net.Listen("tcp", ":"+port)
		if err == nil {
			return net.JoinHostPort("127.0.0.1", port), ln.Close()
		}
		failed = err
	}
	return "", fmt.Errorf("cannot find a free port: %w", failed)
}

// filesFor is how many files somebody needs to have open who has so many client connections: one each, and some to spare for
// the connections on the other side, which are as many as there are requests at the same time.
func filesFor(connections int) int { return connections + 2048 }

// raiseFiles raises the limit of open files, ours and that of all we start from now on.
func raiseFiles(want uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	// Set it in any case: Go hands a limit on to children only when it was set by hand.
	limit.Cur = max(limit.Cur, want)
	limit.Max = max(limit.Max, want)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("cannot raise the limit of open files to %d (ulimit -n): %w", want, err)
	}
	return nil
}
