package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"l7/config"
)

// What the config finds and what only its users find is told at once, in the order of the file.
func TestPrepareTellsAllMistakesAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.WriteFile(file, []byte(`port: 80800
users: {bob: '$9$zzz', eve: '$8$yyy'}
users_file: nonexistent
backends:
  example.com/b: {servers: ['10.0.0.1'], wieght: 3}
  EXAMPLE.com/b/: {servers: ['10.0.0.1'], hosts: [a.io/x]}
  'a b': {servers: ['10.0.0.1']}
`), 0o600))
	_, err := Prepare(Source{Args: config.Args{File: file}}, NewParts(Ignore))
	var problems config.Problems
	require.ErrorAs(t, err, &problems)
	want := []struct {
		line int
		text string
	}{
		{1, "80800"},
		{2, "bob"},
		{2, "eve"},
		{3, "nonexistent"},
		{5, "unknown key"},
		{6, "same host and path"},
		{6, "has a path"},
		{7, "a b"},
	}
	require.Len(t, problems, len(want), err)
	for i, w := range want {
		require.Equal(t, w.line, problems[i].Origin.Line, problems[i].Error())
		require.Contains(t, problems[i].Error(), w.text)
		require.NotContains(t, problems[i].Error(), "zzz")
	}
}

func TestPrepareAddsTheUsersFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "l7.yml")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "htpasswd"), []byte("carol:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n"), 0o600))
	require.NoError(t, os.WriteFile(file, []byte("users_file: htpasswd\nusers: {bob: x}\nbackends: {a.io: {servers: [10.0.0.1]}}\n"), 0o600))
	plan, err := Prepare(Source{Args: config.Args{File: file}}, NewParts(Ignore))
	require.NoError(t, err)
	defer plan.Snapshot.Close()
	require.Len(t, plan.Config.Users, 2)
	require.Len(t, plan.Loaded.Config.Users, 1, "the loaded config is left as it was")
	require.Equal(t, []string{"users: -carol"}, config.Diff(plan.Config, &plan.Loaded.Config))
}
