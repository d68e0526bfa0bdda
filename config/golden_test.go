package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden loads every testdata/good/*.yml and compares its dump with origins, and every
// testdata/bad/*.yml and compares its problems.
func TestGolden(t *testing.T) {
	for _, name := range glob(t, "testdata/*/*.yml") {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yml"), func(t *testing.T) {
			got := outcome(t, name)
			if strings.Contains(got, "hunter2") {
				t.Errorf("a secret is shown:\n%s", got)
			}
			golden := strings.TrimSuffix(name, ".yml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s\n(go test ./config -update writes it anew)", got, want)
			}
		})
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return names
}

// outcome is what Load makes of a file: the dump, behind the warnings, or the problems.
func outcome(t *testing.T, name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Contains(name, "/bad/")
	loaded, err := loadText(data)
	if (err != nil) != bad {
		t.Errorf("error is %v", err)
	}
	if err != nil {
		return err.Error() + "\n"
	}
	var out bytes.Buffer
	for _, warning := range loaded.Warnings {
		out.WriteString("# warning: " + warning.Error() + "\n")
	}
	if err := loaded.Dump(&out, true); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// loadText loads a file l7.yml of the given text, with nothing around it.
func loadText(data []byte) (*Loaded, error) {
	return load(Args{File: "l7.yml"}, nil, func(string) ([]byte, error) { return data, nil })
}
