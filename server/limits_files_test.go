//go:build unix

package server

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// fewFiles names the server that TestWithFewFiles is to stand in front of.
const fewFiles = "L7_TEST_FEW_FILES"

// TestWithFewFiles is the other process of TestAcceptOutlivesTooManyFiles: a proxy that may have few descriptors.
func TestWithFewFiles(t *testing.T) {
	server := os.Getenv(fewFiles)
	if server == "" {
		t.Skip("runs in a process of its own")
	}
	addr, err := net.ResolveTCPAddr("tcp", server)
	require.NoError(t, err)
	p := inFront(t, addr)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 40, Max: 40}))
	_, _ = os.Stdout.WriteString("\n" + p.addr + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestAcceptOutlivesTooManyFiles takes all descriptors of a proxy, and gives them back: it goes on to accept.
func TestAcceptOutlivesTooManyFiles(t *testing.T) {
	origin := answering(t, plainOK)
	cmd := exec.Command(os.Args[0], "-test.run=^TestWithFewFiles$", "-test.v")
	cmd.Env = append(os.Environ(), fewFiles+"="+origin.String())
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &proxy{t: t, addr: addressFrom(t, out)}

	var held []*peerConn
	for range 60 {
		c := p.dial()
		c.send(good)
		held = append(held, c)
	}
	require.NoError(t, held[0].readReply("GET").err) // 200, or 502 where no descriptor is left for the server
	for _, c := range held {
		c.abort()
	}
	until(t, func() bool { r := p.get("/"); return r.err == nil && r.StatusCode == 200 }, "it does not recover")
	_ = in.Close()
	require.NoError(t, cmd.Wait())
}

// addressFrom finds the line that is an address.
func addressFrom(t *testing.T, out io.Reader) string {
	t.Helper()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "127.0.0.1:") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return lines.Text()
		}
	}
	t.Fatal("the other process did not start")
	return ""
}
