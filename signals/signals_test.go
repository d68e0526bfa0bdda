package signals

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kill sends signals to this process, each when the one before is known to have come: the system keeps one of a kind.
func kill(t *testing.T, c <-chan os.Signal, signals ...syscall.Signal) {
	t.Helper()
	for _, sig := range signals {
		require.NoError(t, syscall.Kill(os.Getpid(), sig))
		assert.Equal(t, os.Signal(sig), <-c)
	}
}

func TestNotify(t *testing.T) {
	asked, stop := Notify()
	defer stop()
	kill(t, asked.Drain, syscall.SIGTERM, syscall.SIGINT, syscall.SIGTERM)
	kill(t, asked.Reload, syscall.SIGHUP)
	kill(t, asked.Dump, syscall.SIGUSR1)
	kill(t, asked.Upgrade, syscall.SIGUSR2)
}

// TestStorm: many of one kind kept those of another from being heard, TERM among them.
func TestStorm(t *testing.T) {
	asked, stop := Notify()
	defer stop()
	for range 100 {
		for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2} {
			require.NoError(t, syscall.Kill(os.Getpid(), sig))
		}
	}
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	assert.Equal(t, os.Signal(syscall.SIGTERM), <-asked.Drain)
	for _, c := range []<-chan os.Signal{asked.Reload, asked.Dump, asked.Upgrade} {
		<-c
		assert.LessOrEqual(t, len(c), 1, "the last ones may have come since")
	}
}
