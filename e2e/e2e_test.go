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
	"sync"
	"testing"
)

// version is what the binary under test was stamped with.
const version = "v0.0.0-e2e"

// built are the binaries under test. TestMain sets it once, before all tests.
var built struct {
	dir, l7, upstream string
	released          func() (string, error) // l7 without the race detector, made when it is first asked for
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "l7-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	built.dir, built.l7, built.upstream = dir, filepath.Join(dir, "l7"), filepath.Join(dir, "upstream")
	built.released = sync.OnceValues(released)
	if err := buildAll(); err != nil {
		panic(err)
	}
	m.Run()
}

// buildAll makes l7 as it is released, or with the race detector where the tests themselves have it.
func buildAll() error {
	var err error
	if raceEnabled {
		err = build(nil, built.l7, "l7", "-race", "-ldflags", stamp)
	} else {
		err = buildReleased(built.l7)
	}
	if err != nil {
		return err
	}
	return build(nil, built.upstream, "l7/e2e/upstream")
}

const stamp = "-X main.version=" + version

func buildReleased(binary string) error {
	return build([]string{"CGO_ENABLED=0"}, binary, "l7", "-trimpath", "-ldflags", "-s -w "+stamp)
}

// released is the binary without the race detector.
func released() (string, error) {
	if !raceEnabled {
		return built.l7, nil
	}
	binary := filepath.Join(built.dir, "l7-released")
	return binary, buildReleased(binary)
}

func build(env []string, binary, pkg string, args ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", binary}, args...), pkg)...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
