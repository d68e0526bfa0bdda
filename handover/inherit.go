// Package handover passes listening sockets from one process to the next, so that at no moment a client is refused: from systemd to l7
// (socket activation), and from a running l7 to the one that replaces it.
//
// Both times they come as descriptors from 3 upwards that LISTEN_FDS and LISTEN_FDNAMES tell of (sd_listen_fds(3)). What is done with the
// sockets, and when, is not known here.
package handover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What the environment says of inherited descriptors. After the sockets of an upgrade there are two more: a pipe that the new process says
// ready on, and one that it reads the state from.
const (
	varPID     = "LISTEN_PID"
	varCount   = "LISTEN_FDS"
	varNames   = "LISTEN_FDNAMES"
	varUpgrade = "L7_UPGRADE" // instead of LISTEN_PID, which nobody knows before the process is there

	firstDescriptor = 3
)

// Inherited is what a process has got from the one before it. Its methods are for one goroutine; a nil one is empty.
type Inherited struct {
	sockets []named
	came    []named  // all of them, those among them that were given or closed since
	refused []string // why a descriptor was of no use
	ready   *os.File // nil: nobody waits to hear from this process
	state   []byte
}

// Inherit collects what environ says was inherited, and returns the environ without those variables, for the config and for
// further processes. It is to be called once, before anything else is opened or started.
func Inherit(environ []string) (in *Inherited, rest []string, err error) {
	in = &Inherited{}
	rest = slices.DeleteFunc(slices.Clone(environ), isOurs)
	upgrade := lookup(environ, varUpgrade) != ""
	if !upgrade && lookup(environ, varPID) != strconv.Itoa(os.Getpid()) {
		return in, rest, nil
	}
	count := 0
	if text := lookup(environ, varCount); text != "" {
		if count, err = strconv.Atoi(text); err != nil || count < 0 {
			return in, rest, fmt.Errorf("cannot read %s=%q", varCount, text)
		}
	}
	names := strings.Split(lookup(environ, varNames), ":")
	for i := range count {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		if !upgrade {
			name = foreignName(firstDescriptor+i, name)
		}
		in.adopt(firstDescriptor+i, name)
	}
	if upgrade {
		err = in.adoptPipes(firstDescriptor + count)
	}
	return in, rest, err
}

func isOurs(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.Contains([]string{varPID, varCount, varNames, varUpgrade, "LISTEN_PIDFDID"}, name)
}

func lookup(environ []string, name string) string {
	for _, variable := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// adopt makes a listener of a descriptor.
func (in *Inherited) adopt(fd int, name string) {
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), name)
	defer file.Close() // the listener has a copy of its own
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err == nil && listening == 0 {
		err = errors.New("it does not listen")
	}
	var l net.Listener
	if err == nil {
		l, err = net.FileListener(file)
	}
	var s named
	if err == nil {
		s, err = newNamed(l, name)
	}
	if err != nil {
		in.refused = append(in.refused, fmt.Sprintf("cannot use the inherited descriptor %d (%s): %v", fd, label(name), err))
		return
	}
	in.sockets = append(in.sockets, s)
	in.came = append(in.came, s)
}

// adoptPipes takes what comes after the sockets of an upgrade. The process before has written the state, or is about to.
func (in *Inherited) adoptPipes(fd int) error {
	for i := range 2 {
		var stat unix.Stat_t
		if err := unix.Fstat(fd+i, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFIFO {
			return fmt.Errorf("%s is set, but the descriptor %d is no pipe: it is for l7's own use", varUpgrade, fd+i)
		}
		unix.CloseOnExec(fd + i)
	}
	in.ready = os.NewFile(uintptr(fd), "ready")
	state := os.NewFile(uintptr(fd+1), "state")
	defer state.Close()
	var err error
	if in.state, err = io.ReadAll(state); err != nil {
		return fmt.Errorf("cannot read the state of the process before: %w", err)
	}
	return nil
}

// IsUpgrade is true when a process waits for this one to take its place.
func (in *Inherited) IsUpgrade() bool { return in != nil && in.ready != nil }

// State is what the process before had to say, nil if there was none.
func (in *Inherited) State() []byte {
	if in == nil {
		return nil
	}
	return in.state
}

// Take returns the socket for an address in the form of net.Listen, or nil: that which was opened for this very address by the
// process before, or else one that is bound to it. Each is given once. Network "fd" is for a socket by the number that it
// had when it came from systemd, whatever its number is now; where it gives none, Missing tells why.
func (in *Inherited) Take(network, address string) net.Listener {
	if in == nil {
		return nil
	}
	i := in.index(network, address)
	if i < 0 {
		return nil
	}
	s := in.sockets[i]
	in.sockets = slices.Delete(in.sockets, i, i+1)
	return s
}

func (in *Inherited) index(network, address string) int {
	if network == networkFD {
		return slices.IndexFunc(in.sockets, cameAs(address))
	}
	name := nameOf(network, address)
	if i := slices.IndexFunc(in.sockets, func(s named) bool { return s.Name() == name }); i >= 0 {
		return i
	}
	return indexOf(in.sockets, network, address)
}

// Missing tells why there is no socket, or none any more, that came as a descriptor, and what is to be done about it.
func (in *Inherited) Missing(descriptor string) error {
	if in == nil {
		in = &Inherited{}
	}
	if i := slices.IndexFunc(in.came, cameAs(descriptor)); i >= 0 {
		return fmt.Errorf("the socket that came so, %s, serves another address of listen, and an upgrade (USR2) can change that; or "+
			"it was closed, since the config did not have it, and a restart brings it back", in.came[i].Addr())
	}
	var there []string
	for _, s := range in.came {
		if !isOwn(s.Name()) {
			there = append(there, fmt.Sprintf("%s (%s)", label(s.Name()), s.Addr()))
		}
	}
	slices.Sort(there)
	if len(there) == 0 {
		there = []string{"none"}
	}
	return fmt.Errorf("no socket came as descriptor %s; what came: %s; a .socket unit of systemd passes them on at the start, or whoever else sets %s and %s",
		descriptor, strings.Join(append(there, in.refused...), ", "), varCount, varPID)
}

// CloseRest closes what nobody has taken, and says what that was. It is for a process that serves: the files of those that l7 has opened go too.
func (in *Inherited) CloseRest() (warnings []string) {
	if in == nil {
		return nil
	}
	warnings = in.refused
	for _, s := range in.sockets {
		warnings = append(warnings, fmt.Sprintf("nothing in the config listens on the inherited socket %s (%s), so it was closed", s.Addr(), label(s.Name())))
		Own(s)
		_ = s.Close() // nothing was done with it
	}
	in.sockets, in.refused = nil, nil
	return warnings
}

// Ready tells the process before that this one serves.
func (in *Inherited) Ready() {
	if in.IsUpgrade() {
		in.say(wordReady)
	}
}

// Failed tells the process before why this one ends.
func (in *Inherited) Failed(why error) {
	if in.IsUpgrade() {
		in.say(why.Error())
	}
}

// say speaks to the process before, which may have died: then this one is on its own, and it is just as well.
func (in *Inherited) say(text string) {
	_, _ = in.ready.WriteString(text + "\n")
	_ = in.ready.Close()
	in.ready = nil
}
