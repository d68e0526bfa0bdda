package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// examples are the requests that each file in examples/ answers as its comments say.
var examples = map[string][]exampleCall{
	"each-server-specified.yml": {
		{"http://example.com/", "", http.StatusOK},
		{"http://mydomain.org/", "", http.StatusOK},
		{"http://example.org/", "", http.StatusNotFound},
	},
	"dns-resolution.yml": {
		{"http://example.com/", "", http.StatusOK},
		{"http://api.example.com/", "", http.StatusOK},
	},
	"users.yml": {
		{"http://example.com/", "", http.StatusUnauthorized},
		{"http://example.com/", "alice:wonderland", http.StatusOK},
		{"http://example.com/", "bob:builder", http.StatusOK},
		{"http://example.com/", "partner:partner-key", http.StatusUnauthorized},
		{"http://partners.example.com/", "partner:partner-key", http.StatusOK},
		{"http://partners.example.com/", "alice:wonderland", http.StatusUnauthorized},
		{"http://status.example.com/", "", http.StatusOK},
		{"http://unknown.example.com/", "", http.StatusUnauthorized},
	},
	"resilient.yml": {
		{"http://shop.example.com/", "", http.StatusOK},
		{"http://shop.example.com/api/orders", "", http.StatusOK},
		{"http://unknown.example.com/", "", http.StatusNotFound},
	},
	"tls.yml": { // without its TLS, which tls_test.go is about
		{"http://example.com/", "", http.StatusOK},
		{"http://unknown.example.com/", "", http.StatusNotFound},
	},
	"behind-a-balancer.yml": { // its PROXY headers are those of proxy_test.go
		{"http://example.com/", "", http.StatusOK},
		{"http://mail.example.com/", "", http.StatusForbidden},
		{"http://unknown.example.com/", "", http.StatusNotFound},
	},
	"production.yml": {
		{"http://www.example.com/", "", http.StatusOK},
		{"http://example.com/", "", http.StatusOK},
		{"http://example.com/api/orders", "", http.StatusOK},
		{"http://www.example.com/apis", "", http.StatusOK},
		{"http://intern.example.com/", "", http.StatusUnauthorized},
		{"http://intern.example.com/", "alice:wonderland", http.StatusOK},
		{"http://intern.example.com/", "support:keep-it-secret", http.StatusUnauthorized},
		{"http://a.b.customers.example.com/", "", http.StatusUnauthorized},
		{"http://a.customers.example.com/", "support:keep-it-secret", http.StatusOK},
		{"http://customers.example.com/", "", http.StatusOK},
		{"http://anything.example/", "", http.StatusOK},
	},
}

type exampleCall struct {
	url, user string
	status    int
}

func exampleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "examples", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func TestEveryExampleIsTested(t *testing.T) {
	t.Parallel()
	for _, file := range exampleFiles(t) {
		assert.Contains(t, examples, filepath.Base(file))
	}
}

func TestCheckAcceptsEveryExampleAsItStands(t *testing.T) {
	t.Parallel()
	for _, file := range exampleFiles(t) {
		got := command(t, "check", "-c", file)
		assert.Zero(t, got.code, got.stderr)
	}
}

// TestExamplesRun starts every example with two things replaced: each server's address by that of a server of this test (those of one
// backend stay different ones), and, by L7_LISTEN, the addresses it listens on.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 3)
	for name, calls := range examples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join("..", "examples"))))
			file := filepath.Join(folder, name)
			replaceServers(t, file, servers)
			l := run{args: []string{"-c", file}, env: []string{loopback}}.start(t)
			for _, c := range calls {
				got := l.send(call{url: c.url, user: c.user})
				assert.Equal(t, c.status, got.StatusCode, "%s as %q: %s", c.url, c.user, got.body)
				assert.Equal(t, c.status == http.StatusOK, got.server() != "", "%s as %q", c.url, c.user)
			}
		})
	}
}

// replaceServers gives every backend of a file other servers, as many as it had.
func replaceServers(t *testing.T, file string, servers []*upstream) {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	var config map[string]any
	require.NoError(t, yaml.Unmarshal(content, &config))
	for name, backend := range config["backends"].(map[string]any) {
		list := backend.(map[string]any)["servers"].([]any)
		require.LessOrEqual(t, len(list), len(servers), name)
		for i := range list {
			list[i] = map[string]any{"address": servers[i].address}
		}
	}
	content, err = yaml.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, content, 0o600))
}
