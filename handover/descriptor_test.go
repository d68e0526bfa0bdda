package handover

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// passedBySystemd is what a process makes of listeners that systemd has started it with, from descriptor 3 on. The names are their units'.
func passedBySystemd(t *testing.T, unit string, listeners ...net.Listener) *Inherited {
	t.Helper()
	in := &Inherited{}
	for i, l := range listeners {
		one := adopted(t, map[string]net.Listener{foreignName(firstDescriptor+i, unit): l})
		in.sockets, in.came = append(in.sockets, one.sockets...), append(in.came, one.came...)
		one.sockets = nil
	}
	t.Cleanup(func() { in.CloseRest() })
	return in
}

// passedOn is what the next process makes of them, whose numbers are others.
func passedOn(t *testing.T, offers ...Offer) *Inherited {
	t.Helper()
	named := map[string]net.Listener{}
	for _, o := range offers {
		named[o.name()] = o.Listener
	}
	if len(named) != len(offers) {
		t.Fatalf("of %d sockets some have the same name", len(offers))
	}
	return adopted(t, named)
}

// A socket is found by its descriptor and by its address, whatever the config said in the process before, and stays systemd's.
func TestDescriptorGoesThroughUpgrades(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	tcp, file := listen(t, "tcp", "127.0.0.1:0"), listen(t, "unix", path)
	setUnlink(file, false) // systemd keeps it open
	in := passedBySystemd(t, "l7.socket", tcp, file)
	address := map[string]string{"3": tcp.Addr().String(), "4": path}
	for round, wanted := range [][2]string{{"fd", "fd"}, {"fd", "fd"}, {"tcp", "unix"}, {"fd", "unix"}, {"tcp", "fd"}} {
		var offers []Offer
		for i, network := range wanted {
			fd := fmt.Sprint(firstDescriptor + i)
			where := fd
			if network != "fd" {
				where = address[fd]
			}
			l := in.Take(network, where)
			if l == nil || l.Addr().String() != address[fd] {
				t.Fatalf("round %d: %s %s is %v", round, network, where, l)
			}
			if in.Take(network, where) != nil {
				t.Errorf("round %d: %s was given twice", round, where)
			}
			Own(l)
			offers = append(offers, Offer{network, where, l})
		}
		next := passedOn(t, offers...)
		for _, o := range offers {
			must(t, o.Listener.Close())
		}
		if u, ok := offers[1].Listener.(*unixListener); !ok || !u.Foreign() {
			t.Errorf("round %d: it is not systemd's any more", round)
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		in = next
	}
}

// The descriptors of a process that takes over are its own matter: number 3 may be any of them.
func TestDescriptorIsNotThatOfAnUpgrade(t *testing.T) {
	t.Parallel()
	own := listen(t, "tcp", "127.0.0.1:0")
	in := passedOn(t, Offer{"tcp", "127.0.0.1:0", own})
	if in.Take("fd", "3") != nil {
		t.Error("a socket of our own is taken for one of systemd")
	}
	if l := in.Take("tcp", "127.0.0.1:0"); l == nil {
		t.Error("it is gone")
	}
}

func TestWhyADescriptorIsMissing(t *testing.T) {
	t.Parallel()
	f := func(in *Inherited, descriptor string, words ...string) {
		t.Helper()
		if l := in.Take("fd", descriptor); l != nil {
			t.Errorf("there is %s", l.Addr())
		}
		got := in.Missing(descriptor).Error()
		for _, word := range words {
			if !strings.Contains(got, word) {
				t.Errorf("%q is not in %q", word, got)
			}
		}
	}
	f(nil, "3", "descriptor 3", "what came: none; ", "LISTEN_FDS", ".socket unit")
	a, b := listen(t, "tcp", "127.0.0.1:0"), listen(t, "tcp", "127.0.0.1:0")
	in := passedBySystemd(t, "web", a, b)
	f(in, "5", "descriptor 5", "what came: fd://3 web ("+a.Addr().String()+"), fd://4 web ("+b.Addr().String()+"); ")
	f(in, "33", "descriptor 33")
	taken := in.Take("tcp", a.Addr().String())
	defer taken.Close()
	in.CloseRest()
	f(in, "3", a.Addr().String(), "USR2")
	f(in, "4", b.Addr().String(), "restart")
	in = &Inherited{}
	in.adopt(900, foreignName(3, "odd"))
	f(in, "3", "descriptor 900 (fd://3 odd)", "bad file descriptor")
}

// TestDescriptorOfARealProcess starts one as systemd would: it takes descriptor 4, and not the one before it.
func TestDescriptorOfARealProcess(t *testing.T) {
	t.Parallel()
	first, second := listen(t, "tcp", "127.0.0.1:0"), listen(t, "tcp", "127.0.0.1:0")
	binary, err := os.Executable()
	must(t, err)
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=2 exec "$0"`, binary)
	cmd.Env = append(os.Environ(), role+"=serve fd 4", "GORACE=atexit_sleep_ms=20")
	for _, l := range []net.Listener{first, second} {
		file, err := duplicate(l)
		must(t, err)
		defer file.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	must(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	must(t, second.Close())
	client, err := net.Dial("tcp", second.Addr().String())
	must(t, err)
	defer client.Close()
	must(t, client.SetDeadline(time.Now().Add(patience)))
	got, err := io.ReadAll(client)
	must(t, err)
	if string(got) != "state , left 1, variables []" {
		t.Errorf("the process says %q", got)
	}
}

// The zone may be named or numbered, and the system does not tell it of every socket.
func TestSameZone(t *testing.T) {
	t.Parallel()
	loopback, err := net.InterfaceByIndex(1)
	if err != nil {
		t.Skip(err)
	}
	f := func(of, want string, same bool) {
		t.Helper()
		if sameZone(of, want) != same {
			t.Errorf("%q and %q", of, want)
		}
	}
	f(loopback.Name, loopback.Name, true)
	f(loopback.Name, "1", true)
	f("", loopback.Name, true)
	f(loopback.Name, "2", false)
	f(loopback.Name, "", false)
}
