package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"l7/config"
)

// ACME that cannot work is found by check: that there are no hosts was a warning without a place, and of the folder nothing was said.
func TestACMEThatCannotWork(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "l7.yml")
	writePair(t, folder, "a")
	prepare := func(tls, backend string) (*Plan, error) {
		yaml := "listen:\n  - ':80'\n  - {address: ':443', tls: {" + tls + "}}\nbackends: {" + backend + ": {servers: '127.0.0.1:1'}}\n"
		require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
		return Prepare(Source{Args: config.Args{File: file}}, NewParts(Ignore))
	}
	refused := func(tls, backend, want string) {
		t.Helper()
		_, err := prepare(tls, backend)
		var problems config.Problems
		require.ErrorAs(t, err, &problems)
		require.Len(t, problems, 1)
		require.ErrorContains(t, err, want)
	}
	warned := func(tls, backend string, want ...string) {
		t.Helper()
		plan, err := prepare(tls, backend)
		require.NoError(t, err)
		plan.Snapshot.Close()
		require.Len(t, plan.Warnings, len(want), plan.Warnings)
		for i := range want {
			require.Contains(t, plan.Warnings[i], want[i])
		}
	}
	refused("acme: {email: a@a.io, storage: acme}", "'*'", "l7.yml:3:29: listen[1].tls.acme: there is no host to get a certificate for, so that nobody could connect")
	warned("acme: {email: a@a.io, storage: acme, hosts: a.io}", "'*'")
	warned("acme: {email: a@a.io, storage: acme}", "a.io")
	warned("certificates: {cert: a.pem, key: a.key}, acme: {email: a@a.io, storage: acme}", "'*.a.io'",
		"l7.yml:3:70: listen[1].tls.acme: no certificate is asked for")
	refused("acme: {email: a@a.io, storage: a.pem}", "a.io", `l7.yml:3:60: listen[1].tls.acme.storage: cannot use the folder "a.pem"`)
	refused("acme: {email: a@a.io, storage: a.pem/b/c}", "a.io", `l7.yml:3:60: listen[1].tls.acme.storage: cannot use the folder "a.pem/b/c"`)
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, entries, 3, "nothing is made by looking")
	if os.Getuid() == 0 {
		return // who may write everywhere
	}
	require.NoError(t, os.Mkdir(filepath.Join(folder, "shut"), 0o500))
	warned("acme: {email: a@a.io, storage: shut/b}", "a.io", `l7.yml:3:60: listen[1].tls.acme.storage: cannot write to "shut/b"`)
}
