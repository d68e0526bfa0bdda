package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestServesWithoutReaders: whoever reads the log, or standard output, may end or be restarted before l7 does. It died of SIGPIPE then.
func TestServesWithoutReaders(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	control := filepath.Join(socketFolder(t), "admin.sock")
	file := writeFile(t, text(
		listenAnywhere, "admin: {socket: '"+control+"'}", "log: {access: json, access_file: '-'}",
		"backends: {example.com: {servers: ["+server.address+"]}}"))
	outReader, out, err := os.Pipe()
	require.NoError(t, err)
	logReader, log, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(built.l7, "--config", file)
	cmd.Env, cmd.SysProcAttr = []string{"GORACE=atexit_sleep_ms=20"}, orphans()
	cmd.Stdout, cmd.Stderr = out, log
	require.NoError(t, cmd.Start())
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the exit code is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	require.NoError(t, out.Close())
	require.NoError(t, log.Close())
	address := awaitAddress(t, logReader)
	require.NoError(t, outReader.Close())
	require.NoError(t, logReader.Close())

	c := newClient(t, address)
	c.get("http://example.com/").from("a")
	admin := newClient(t, control)
	p.await("the access log has lost its line", func() bool { return strings.Contains(admin.get("http://l7/api/status").body, `"log_dropped":`) })
	admin.send(call{method: http.MethodPost, url: "http://l7/api/reload"}).is(http.StatusOK) // which is logged
	p.signal(syscall.SIGUSR1)
	p.signal(syscall.SIGHUP)
	p.await("a second reload", func() bool { return strings.Contains(admin.get("http://l7/api/status").body, `"generation":3`) })
	c.get("http://example.com/").from("a")
	p.signal(syscall.SIGTERM)
	assert.Zero(t, p.exit(), cmd.ProcessState)
}

// awaitAddress reads a log until it says where l7 listens.
func awaitAddress(t *testing.T, log *os.File) string {
	t.Helper()
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line logLine
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.field("message") == "listening" {
			return line.field("address")
		}
	}
	require.FailNow(t, "it does not listen")
	return ""
}

// TestOutputThatNobodyReadsEndsACommand, without a word, as it does with every program in a pipeline.
func TestOutputThatNobodyReadsEndsACommand(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, reader.Close())
	cmd := exec.Command(built.l7, "schema")
	cmd.Env, cmd.Stdout = []string{"GORACE=atexit_sleep_ms=20"}, writer
	require.Error(t, cmd.Run())
	require.NoError(t, writer.Close())
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	assert.Equal(t, syscall.SIGPIPE, status.Signal(), cmd.ProcessState)
}
