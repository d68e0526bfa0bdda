package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlagsFirst(t *testing.T) {
	f := func(argv, want []string) {
		t.Helper()
		require.Equal(t, append([]string{"l7"}, want...), flagsFirst(newApp(Process{}), append([]string{"l7"}, argv...)))
	}
	words := func(w ...string) []string { return w }
	f(words("a=1", "--port", "80"), words("--port", "80", "--", "a=1"))
	f(words("a=1", "--port=80", "b=2", "-d"), words("--port=80", "-d", "--", "a=1", "b=2"))
	f(words("check", "a=1", "-c", "x.yml"), words("check", "-c", "x.yml", "--", "a=1"))
	f(words("dump", "a=1", "--origin"), words("dump", "--origin", "--", "a=1"))
	f(words("--user", "-x:y", "a=1"), words("--user", "-x:y", "--", "a=1"))
	f(words("a=1", "--", "-p=1"), words("--", "a=1", "-p=1"))
	f(words("a=1", "--config"), words("--config"))
	f(words("--port", "80"), words("--port", "80"))
	f(words("--po", "--generate-bash-completion"), words("--po", "--generate-bash-completion"))
	f(words("--help"), words("--help"))
	f(words("--port", "80", "check", "a=1"), words("check", "--port", "80", "--", "a=1"))
	f(words("-d", "dump", "--origin"), words("dump", "-d", "--origin"))
	f(words(), words())
}
