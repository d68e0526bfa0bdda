package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wordReady is what a new process says when it serves; anything else is why it does not.
const wordReady = "ready"

// maxWords is how much of a new process's last words is kept.
const maxWords = 4 << 10

// Program is what to start.
type Program struct {
	Path string
	Args []string // without the program's name
	Env  []string
}

// Offer is a listening socket to be passed on, with the address that it was opened for.
type Offer struct {
	Network, Address string
	Listener         net.Listener
}

// name is what the socket is passed on as. One that was not opened by l7 keeps its name, whatever address it serves now.
func (o Offer) name() string {
	if n, ok := o.Listener.(named); ok && !isOwn(n.Name()) {
		return n.Name()
	}
	return nameOf(o.Network, o.Address)
}

// Child is a process that was started to take the place of this one.
type Child struct {
	cmd   *exec.Cmd
	said  chan string // what it had to say, when it has said it
	ready *os.File    // our end of the pipe
	ended chan struct{}
}

// Start starts a process with copies of the listening sockets, and with a state, which nobody else can see. Standard input, output and
// error are this process's own. What this process does with its sockets, short of shutting them down, does not matter to the other.
func Start(p Program, offers []Offer, state []byte) (*Child, error) {
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	defer func() { closeAll(cmd.ExtraFiles) }()
	names := make([]string, 0, len(offers))
	for _, o := range offers {
		file, err := duplicate(o.Listener)
		if err != nil {
			return nil, fmt.Errorf("cannot pass the socket of %q on: %w", o.Address, err)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
		names = append(names, o.name())
	}
	cmd.Env = append(p.Env, varCount+"="+strconv.Itoa(len(offers)), varNames+"="+strings.Join(names, ":"), varUpgrade+"=1")
	return start(cmd, state)
}

// start adds the two pipes to a command and starts it.
func start(cmd *exec.Cmd, state []byte) (*Child, error) {
	ready, readyFar, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stateFar, stateNear, err := os.Pipe()
	if err != nil {
		closeAll([]*os.File{ready, readyFar})
		return nil, err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, readyFar, stateFar)
	if err := cmd.Start(); err != nil {
		closeAll([]*os.File{ready, stateNear})
		return nil, err
	}
	c := &Child{cmd: cmd, said: make(chan string, 1), ready: ready, ended: make(chan struct{})}
	go func() {
		_, _ = stateNear.Write(state) // who does not read it will not be ready
		_ = stateNear.Close()
	}()
	go c.listen()
	go func() {
		_ = cmd.Wait() // the outcome is in ProcessState
		close(c.ended)
	}()
	return c, nil
}

// duplicate copies a listener's descriptor. The copy shares its mode, and nothing here may make that blocking: (*net.TCPListener).File would.
func duplicate(l net.Listener) (*os.File, error) {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return nil, errors.New("it is not a socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, failed := -1, error(nil)
	if err := raw.Control(func(original uintptr) { fd, failed = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	return os.NewFile(uintptr(fd), l.Addr().String()), nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // a copy, or a pipe that was not used
	}
}

// listen hears what the child has to say.
func (c *Child) listen() {
	reader := bufio.NewReader(io.LimitReader(c.ready, maxWords))
	line, err := reader.ReadString('\n')
	if err == nil && line != wordReady+"\n" {
		rest, _ := io.ReadAll(reader)
		line += string(rest)
	}
	c.said <- strings.TrimSpace(line)
}

// PID is the child's process number.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Signal sends a signal to the child.
func (c *Child) Signal(sig os.Signal) error { return c.cmd.Process.Signal(sig) }

// Wait returns nil when the child serves. When it ends before, or the context does, the child is gone afterwards, and the error says why. It
// is to be called once.
func (c *Child) Wait(ctx context.Context) error {
	defer c.ready.Close()
	var words string
	select {
	case words = <-c.said:
		if words == wordReady {
			return nil
		}
	case <-c.ended:
		return c.failure(c.lastWords())
	case <-ctx.Done():
		return c.kill(ctx)
	}
	select {
	case <-c.ended:
		return c.failure(words)
	case <-ctx.Done():
		return c.kill(ctx)
	}
}

// lastWords are those of a child that has ended. A process that it has left behind may still hold the pipe, and say nothing.
func (c *Child) lastWords() string {
	_ = c.ready.SetReadDeadline(time.Now().Add(time.Second)) // a pipe has deadlines
	return <-c.said
}

func (c *Child) failure(words string) error {
	if words == "" || words == wordReady {
		return fmt.Errorf("the new process ended before it was ready: %s", c.cmd.ProcessState)
	}
	return fmt.Errorf("the new process ended before it was ready: %s: %s", c.cmd.ProcessState, strings.ReplaceAll(words, "\n", "; "))
}

func (c *Child) kill(ctx context.Context) error {
	_ = c.cmd.Process.Kill() // it fails where the child has ended
	<-c.ended
	return fmt.Errorf("the new process was not ready in time, and was ended: %w", context.Cause(ctx))
}
