package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSizeReadsNumbersWithUnits(t *testing.T) {
	f := func(text string, want Size, canonical string) {
		t.Helper()
		var s Size
		require.NoError(t, s.UnmarshalText([]byte(text)))
		require.Equal(t, want, s)
		require.Equal(t, canonical, s.String())
		var again Size
		require.NoError(t, again.UnmarshalText([]byte(canonical)))
		require.Equal(t, want, again)
	}
	f("0", 0, "0")
	f("0B", 0, "0")
	f("1B", 1, "1B")
	f("16KiB", 16<<10, "16KiB")
	f("16 KiB", 16<<10, "16KiB")
	f("1024KiB", 1<<20, "1MiB")
	f("1500B", 1500, "1500B")
	f("2MB", 2e6, "2000000B")
	f("3GiB", 3<<30, "3GiB")
}

func TestSizeRefusesWhatCanBeMisread(t *testing.T) {
	f := func(text, message string) {
		t.Helper()
		var s Size
		require.ErrorContains(t, s.UnmarshalText([]byte(text)), message)
	}
	f("", "is not a size")
	f("16", "has no unit")
	f("+1B", "is not a size")
	f("-1KiB", "is not a size")
	f("1.5MiB", "is not a size")
	f("16kib", "is not a size")
	f("KiB", "is not a size")
	f("9223372036854775807GiB", "is too large")
}
