package cli

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"l7/admin/api"
)

// fullDisk takes nothing.
type fullDisk struct{}

// Write implements io.Writer.
func (fullDisk) Write([]byte) (int, error) { return 0, unix.ENOSPC }

// TestFullDisk: some commands said that all was fine when nobody had got their answer.
func TestFullDisk(t *testing.T) {
	r := newRunning(t)
	r.looked = emptiesAll
	r.answers[api.PathHistory] = []api.History{{Backend: "web", Server: api.Server{Address: "http://10.0.0.9:80", State: "available"}}}
	r.answers[api.PathEvents] = someEvents()
	r.answers[api.PathReload] = &api.Reload{Generation: 2, Changes: []string{"a", "b"}}
	r.answers[api.PathDiff] = &api.Reload{Generation: 2}
	r.answers[api.PathExplain] = map[string]any{"request": "GET / HTTP/1.1", "status": 200}
	r.stream = someEvents()
	f := func(argv ...string) {
		t.Helper()
		stdin, err := os.Open(writeConfig(t, "hunter2\n"))
		require.NoError(t, err)
		defer stdin.Close()
		var stderr bytes.Buffer
		code := Run(append([]string{"l7"}, argv...), Process{Stdin: stdin, Stdout: fullDisk{}, Stderr: &stderr})
		assert.Equal(t, exitWrong, code, argv)
		assert.Contains(t, stderr.String(), "no space left on device", argv)
	}
	remote := func(argv ...string) {
		t.Helper()
		f(slices.Insert(argv, 1, "--admin", r.socket)...)
		f(slices.Insert(argv, 1, "--admin", r.socket, "--json")...)
	}
	f("check", "a=127.0.0.1:1")
	f("dump", "a=127.0.0.1:1")
	f("explain", "http://a/", "--config", writeConfig(t, "backends: {a: {servers: ['127.0.0.1:1']}}"))
	f("passwd")
	f("schema")
	f("version")
	f("completion", "bash")
	f("completion", "zsh")
	f("completion", "fish")
	remote("status")
	remote("reload")
	remote("diff", "/etc/l7/l7.yml")
	remote("drain", "10.0.0.1:80")
	remote("undrain", "10.0.0.1:80")
	remote("roll", "api", "--", "true")
	remote("why", "10.0.0.9:80")
	remote("events")
	remote("events", "--follow")
	remote("explain", "http://example.com/")
}
