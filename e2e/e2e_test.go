// Package e2e tests the real binary: l7 and the servers behind it are processes of their own, and all that is known
// of them is what a user could see.
//
// A file per story; process_test.go, l7_test.go and client_test.go are the harness.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// version is what the binary under test was stamped with.
const version = "v0.0.0-e2e"

// built are the binaries under test. TestMain sets it once, before all tests.
var built struct {
	dir, l7, upstream string
	released          func() (string, error) // builds l7 without the race detector, when that is first asked for
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "l7-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	built.dir, built.l7, built.upstream = dir, filepath.Join(dir, "l7"), filepath.Join(dir, "upstream")
	built.released = sync.OnceValues(buildReleased)
	if err := buildAll(); err != nil {
		panic(err)
	}
	m.Run()
}

func buildReleased() (string, error) {
	binary := filepath.Join(built.dir, "l7-released")
	return binary, build([]string{"CGO_ENABLED=0"}, binary, "l7", "-trimpath", "-ldflags", "-s -w")
}

func buildAll() error {
	args := []string{"-ldflags", "-X main.version=" + version}
	if hasCompiler() {
		args = append(args, "-race")
	} else {
		fmt.Fprintln(os.Stderr, "e2e: there is no C compiler, so l7 is tested without the race detector")
	}
	if err := build(nil, built.l7, "l7", args...); err != nil {
		return err
	}
	return build(nil, built.upstream, "l7/e2e/upstream")
}

// hasCompiler says that the race detector can be linked.
func hasCompiler() bool {
	out, err := exec.Command("go", "env", "CC").Output()
	compiler := strings.Fields(string(out))
	if err != nil || len(compiler) == 0 {
		return false
	}
	_, err = exec.LookPath(compiler[0])
	return err == nil
}

func build(env []string, binary, pkg string, args ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", binary}, args...), pkg)...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
