package unixsocket

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLookUpOwner(t *testing.T) {
	f := func(text string, want Owner) {
		t.Helper()
		got, err := LookUpOwner(text)
		require.NoError(t, err)
		require.Equal(t, want, *got)
	}
	f("root", Owner{0, -1})
	f("4711", Owner{4711, -1})
	f("root:4711", Owner{0, 4711})
	f(":4711", Owner{-1, 4711})
	require.Equal(t, "root:4711", Owner{0, 4711}.String())
	require.Equal(t, "4711", Owner{4711, -1}.String())
	require.Equal(t, ":4711", Owner{-1, 4711}.String())
	bad := func(text, want string) {
		t.Helper()
		_, err := LookUpOwner(text)
		require.ErrorContains(t, err, want)
	}
	bad("no-such-user", `no user "no-such-user"`)
	bad("root:no-such-group", `no group "no-such-group"`)
	bad("-1", `no user "-1"`)
	bad(strconv.FormatUint(1<<32-1, 10), "no user") // chown takes it for none
}
