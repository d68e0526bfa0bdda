package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

func TestReload(t *testing.T) {
	r := newRunning(t)
	f := func(want ran, answer *api.Reload, argv ...string) {
		t.Helper()
		r.answers[api.PathReload] = answer
		assert.Equal(t, want, r.ask(append([]string{"reload"}, argv...)...))
	}
	f(ran{0, "nothing changed\ngeneration 8\n", ""}, &api.Reload{Generation: 8})
	f(ran{0, "port: 80 -> 81\nbackends.a: removed\ngeneration 9\n", "warning: a plain password\n"},
		&api.Reload{Generation: 9, Changes: []string{"port: 80 -> 81", "backends.a: removed"}, Warnings: []string{"a plain password"}})
	broken := &api.Reload{Generation: 9, Problems: []string{"l7.yml:3:5: unknown key", "l7.yml:4:1: wrong"}}
	f(ran{1, "", "l7.yml:3:5: unknown key\nl7.yml:4:1: wrong\n"}, broken)
	assert.Equal(t, "POST /api/reload", r.told()[0])

	got := r.ask("reload", "--json")
	assert.Equal(t, 1, got.code)
	assert.Equal(t, "l7.yml:3:5: unknown key\nl7.yml:4:1: wrong\n", got.stderr)
	assert.JSONEq(t, `{"time":"0001-01-01T00:00:00Z","generation":9,"problems":["l7.yml:3:5: unknown key","l7.yml:4:1: wrong"]}`, got.stdout)

	r.answers[api.PathReload] = &api.Error{Message: "no, thanks"}
	assert.Equal(t, ran{1, "", "l7: no, thanks\n"}, r.ask("reload"))
}

func TestReloadInterrupted(t *testing.T) {
	r := newRunning(t)
	r.answers[api.PathReload] = interruptible(t)
	assert.Equal(t, ran{1, "", "l7: interrupted\n"}, r.ask("reload"))
}

func TestDiff(t *testing.T) {
	r := newRunning(t)
	r.answers[api.PathDiff] = &api.Reload{Generation: 7, Changes: []string{"port: 80 -> 81"}}
	assert.Equal(t, ran{0, "port: 80 -> 81\n", ""}, r.ask("diff", "new.yml"))
	here, err := os.Getwd()
	require.NoError(t, err)
	assert.Equal(t, []string{`POST /api/diff {"file":"` + filepath.Join(here, "new.yml") + `"}`}, r.told())

	r.answers[api.PathDiff] = &api.Reload{}
	assert.Equal(t, ran{0, "nothing would change\n", ""}, r.ask("diff", "/new.yml"))
	assert.JSONEq(t, `{"time":"0001-01-01T00:00:00Z","generation":0}`, r.ask("diff", "/new.yml", "--json").stdout)
	r.answers[api.PathDiff] = &api.Reload{Problems: []string{"/new.yml:1:1: wrong"}}
	assert.Equal(t, ran{1, "", "/new.yml:1:1: wrong\n"}, r.ask("diff", "/new.yml"))
}
