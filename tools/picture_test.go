// Package tools keeps the versions of the tools (go.mod) and proves that the import picture in .golangci.yml is drawn:
// a rule whose pattern matches nothing would let every import pass in silence.
package tools

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var lint = flag.String("lint", "../bin/golangci-lint", "the golangci-lint binary to run")

// storeys are the rooms from left to right: a room imports those of the storeys before its own, and itself.
var storeys = [][]string{
	{"config", "http1", "certs", "acme", "cause", "metrics", "accesslog", "socket", "ratelimit", "handover", "systemd", "unixsocket", "watch"},
	{"auth", "route", "exchange", "health", "discovery"},
	{"balancer"},
	{"server"},
	{"admin"},
	{"app"},
	{"cli"},
	{"."}, // main.go
}

// libraries says which rooms may import what; bench and e2e may import all of it.
var libraries = map[string][]string{
	"github.com/urfave/cli/v2":                {"cli", "."},
	"github.com/knadh/koanf/v2":               {"config"},
	"github.com/go-viper/mapstructure/v2":     {"config"},
	"go.yaml.in/yaml/v3":                      {"config"},
	"gopkg.in/yaml.v3":                        {"config"},
	"github.com/valyala/fasthttp":             {"exchange", "balancer", "server"},
	"github.com/stretchr/testify/require":     {},
	"go.uber.org/goleak":                      {},
	"pgregory.net/rapid":                      {},
	"golang.org/x/crypto/bcrypt":              {"auth"},
	"github.com/tg123/go-htpasswd":            {"auth"},
	"github.com/coreos/go-systemd/v22/daemon": {"systemd"},
	"github.com/caddyserver/certmagic":        {"acme"},
	"github.com/mholt/acmez/v3":               {"acme"},
	"go.uber.org/zap":                         {"acme"},
	"os/signal":                               {"signals"},
}

// beside are no rooms: they may import everything, and no room imports them.
var beside = []string{"bench", "e2e"}

func rooms() []string {
	return append(slices.Concat(storeys...), "signals")
}

// ours turns rooms into import paths. Nobody can import main.
func ours(rooms []string) (paths []string) {
	for _, room := range rooms {
		if room != "." {
			paths = append(paths, "l7/"+room)
		}
	}
	return paths
}

func storey(room string) int {
	return slices.IndexFunc(storeys, func(s []string) bool { return slices.Contains(s, room) })
}

// mayImport is DESIGN section 2 as a function.
func mayImport(from, pkg string) bool {
	to, inside := strings.CutPrefix(pkg, "l7/")
	switch {
	case from == to || slices.Contains(beside, from):
		return true
	case !inside:
		return slices.Contains(libraries[pkg], from)
	case from == "signals" || slices.Contains(beside, to):
		return false
	case to == "signals":
		return storey(from) >= storey("app")
	default:
		return storey(from) > storey(to)
	}
}

// TestPicture makes a module with an import for every pair of rooms, allowed or not, and expects the linter
// to report exactly those that are not.
func TestPicture(t *testing.T) {
	// The path of the module holds names of rooms: a pattern that is not tied to the root would match all of it.
	m := &module{dir: filepath.Join(t.TempDir(), "server", "config"), refused: map[finding]bool{}}
	all := slices.Concat(rooms(), beside)
	for i, from := range all {
		m.probe(t, from, "libraries", slices.Collect(maps.Keys(libraries))...)
		// Backwards only in the room itself, and one folder below it for each single import: so there is no import cycle.
		m.probe(t, from, "", ours(all[i+1:])...)
		for _, to := range ours(all) {
			m.probe(t, from, "to-"+path.Base(to), to)
		}
	}
	m.put(t, "exchange/outside_test.go", "package probe_test\nimport _ \"l7/exchange\"\nimport _ \"l7/server\"\nimport _ \"go.uber.org/goleak\"\n")
	m.finish(t)

	found := m.lint(t)
	for f := range m.refused {
		if !found[f] {
			t.Errorf("%s imports %s, and the linter says nothing", f.file, f.pkg)
		}
	}
	for f := range found {
		if !m.refused[f] {
			t.Errorf("%s may import %s, and the linter refuses it", f.file, f.pkg)
		}
	}
	t.Logf("%d imports refused, %d let pass", len(m.refused), m.imports-len(m.refused))
}

// TestEachFolderIsInThePicture fails for a new room that nobody has put into the picture.
func TestEachFolderIsInThePicture(t *testing.T) {
	known := append(slices.Concat(rooms(), beside), "tools")
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel("..", name)
		if d.IsDir() && rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || rel == "bin") {
			return filepath.SkipDir
		}
		if top, _, ok := strings.Cut(filepath.ToSlash(rel), "/"); ok && strings.HasSuffix(rel, ".go") && !slices.Contains(known, top) {
			t.Errorf("%s: add the folder %q to .golangci.yml and to storeys in this test", rel, top)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

type finding struct{ file, pkg string }

// module is a throw-away module l7 whose rooms are empty but for imports.
type module struct {
	dir     string
	imports int
	refused map[finding]bool // what the linter has to report
}

// probe writes a Go file into a folder of the room from (main has no folders: its files stand in the root),
// and notes which of its imports are to be refused.
func (m *module) probe(t *testing.T, from, folder string, imports ...string) {
	t.Helper()
	file, text := path.Join(from, folder, "probe.go"), "package probe\n"
	if from == "." {
		file, text = folder+"main.go", "package main\n"
	}
	for _, pkg := range imports {
		text += fmt.Sprintf("import _ %q\n", pkg)
		if !mayImport(from, pkg) {
			m.refused[finding{file, pkg}] = true
		}
	}
	m.imports += len(imports)
	m.put(t, file, text)
}

func (m *module) put(t *testing.T, file, text string) {
	t.Helper()
	name := filepath.Join(m.dir, file)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// finish adds the config of the linter and a go.mod in which an empty package stands for each library.
func (m *module) finish(t *testing.T) {
	config, err := os.ReadFile("../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	m.put(t, ".golangci.yml", string(config))
	mod := "module l7\n\ngo 1.26.0\n"
	for pkg := range libraries {
		if pkg == "os/signal" {
			continue
		}
		name, version := regexp.MustCompile(`/(require|bcrypt|daemon)$`).ReplaceAllString(pkg, ""), "v0.0.0"
		if major := regexp.MustCompile(`[/.](v\d+)$`).FindStringSubmatch(name); major != nil {
			version = major[1] + ".0.0"
		}
		mod += fmt.Sprintf("require %s %s\nreplace %[1]s => ./.stub/%[1]s\n", name, version)
		m.put(t, ".stub/"+name+"/go.mod", "module "+name+"\n")
		m.put(t, ".stub/"+pkg+"/stub.go", "package stub\n")
	}
	m.put(t, "go.mod", mod)
}

// lint runs depguard alone over the module.
func (m *module) lint(t *testing.T) map[finding]bool {
	t.Helper()
	bin, err := filepath.Abs(*lint)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "run", "--enable-only=depguard", "--output.json.path=stdout", "--show-stats=false", "--issues-exit-code=0", "./...")
	cmd.Dir = m.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.Bytes())
	}
	var report struct {
		Issues []struct {
			Text string
			Pos  struct{ Filename string }
		}
	}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&report); err != nil {
		t.Fatalf("cannot read the linter's report: %v\n%s%s", err, out, stderr.Bytes())
	}
	found := map[finding]bool{}
	quoted := regexp.MustCompile(`^import '([^']+)' is not allowed`)
	for _, issue := range report.Issues {
		pkg := quoted.FindStringSubmatch(issue.Text)
		if pkg == nil {
			t.Fatalf("%s: %s", issue.Pos.Filename, issue.Text)
		}
		found[finding{filepath.ToSlash(issue.Pos.Filename), pkg[1]}] = true
	}
	return found
}
