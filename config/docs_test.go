package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"l7/app"
	"l7/config"
)

// TestDocumentedFiles puts each block of YAML in the docs through what `l7 check` does: it is right as it stands, or the docs show what
// is wrong with it. One example of an expectation asked for a password that nobody had.
func TestDocumentedFiles(t *testing.T) {
	block := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	for _, name := range []string{"../README.md", "../docs/config.md"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		blocks := block.FindAllSubmatch(text, -1)
		require.NotEmpty(t, blocks, name)
		for _, b := range blocks {
			folder := t.TempDir() + "/"
			file := filepath.Join(folder, "l7.yml")
			require.NoError(t, os.WriteFile(file, b[1], 0o600))
			plan, err := app.Prepare(app.Source{Args: config.Args{File: file}}, app.NewParts(app.Ignore))
			if err != nil {
				require.Contains(t, string(text), "\n"+strings.ReplaceAll(err.Error(), folder, "")+"\n", "%s:\n%s", name, b[1])
				continue
			}
			plan.Snapshot.Close()
		}
	}
}
