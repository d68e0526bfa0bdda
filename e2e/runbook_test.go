package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runbook is the commands of docs/operations.md, without their remarks.
func runbook(t *testing.T) (lines []string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(content), "\n## Runbook\n")
	require.True(t, found)
	parts := strings.SplitN(section, "```\n", 3)
	require.Len(t, parts, 3)
	for _, line := range strings.Split(strings.TrimSpace(parts[1]), "\n") {
		command, _, _ := strings.Cut(line, "#")
		lines = append(lines, strings.TrimSpace(command))
	}
	return lines
}

// TestTheRunbook follows docs/operations.md line by line: each command does what it should, in the order in which they stand.
func TestTheRunbook(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	before := text(listenAnywhere, "backends: {example.com: {servers: ["+servers[0].address+"]}}")
	after := text(listenAnywhere, "backends: {example.com: {servers: ["+servers[0].address+", "+servers[1].address+"]}}")
	control := filepath.Join(socketFolder(t), "admin.sock")
	env := []string{"L7_ADMIN__SOCKET=" + control, "GORACE=atexit_sleep_ms=20"}
	var l *dynasty
	replace := func(line string) string {
		if l != nil {
			line = strings.ReplaceAll(line, "/etc/l7/l7.yml", l.file)
			line = strings.ReplaceAll(line, "PID", strconv.Itoa(l.pid(len(l.log("upgraded; the new process serves")))))
		}
		return strings.ReplaceAll(line, "10.0.0.4:80", servers[0].address)
	}
	shell := func(line string) string {
		t.Helper()
		line = replace(line)
		cmd := exec.Command("/bin/sh", "-ec", line)
		cmd.Env = append([]string{"PATH=" + filepath.Dir(built.l7) + ":" + os.Getenv("PATH")}, env...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", line, out)
		return string(out)
	}
	expected := map[string]func(out string){
		"l7 status":                             func(out string) { assert.Contains(t, out, servers[0].address) },
		"l7 reload":                             func(out string) { assert.Contains(t, out, "backend example.com: +http://"+servers[1].address) },
		"l7 events":                             func(out string) { assert.Contains(t, out, "reloaded") },
		"l7 why 10.0.0.4:80":                    func(out string) { assert.Contains(t, out, "available") },
		"l7 explain --live http://example.com/": func(out string) { assert.Contains(t, out, "picked by least_loaded") },
		"l7 drain example.com 10.0.0.4:80 --wait": func(string) {
			for range 10 {
				l.get("http://example.com/").from("b")
			}
		},
		"l7 undrain example.com 10.0.0.4:80": func(string) {
			assert.Len(t, l.serverNames("http://example.com/", 10), 2, "it joins level with the others")
		},
		"cp /etc/l7/l7.yml.good /etc/l7/l7.yml && l7 reload": func(out string) { assert.Contains(t, out, "-http://"+servers[1].address) },
		"l7 diff /etc/l7/l7.yml": func(out string) {
			assert.Contains(t, out, "backend example.com: +http://"+servers[1].address)
			assert.Len(t, l.serverNames("http://example.com/", 10), 1, "a diff changes nothing")
		},
		"kill -USR2 PID": func(string) {
			l.awaitLog("upgraded; the new process serves", 1)
			newClient(t, l.addr).get("http://example.com/").from("a")
		},
		"kill -TERM PID": func(string) { require.Zero(t, l.exit()) },
	}
	for _, line := range runbook(t) {
		switch {
		case strings.HasPrefix(line, "l7 check"):
			got := command(t, "check", "--config", writeFile(t, before))
			assert.Zero(t, got.code, got.stderr)
		case strings.HasPrefix(line, "l7 --config"):
			l = startDynasty(t, run{config: before, env: env})
		default:
			out := shell(line)
			if check := expected[line]; check != nil {
				check(out)
				delete(expected, line)
			}
			if strings.HasPrefix(line, "cp ") && strings.HasSuffix(line, ".good") {
				l.rewrite(after)
			}
		}
	}
	assert.Empty(t, expected, "these are not in the runbook any more")
}
