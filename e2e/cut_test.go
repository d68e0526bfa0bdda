package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCutRequestsAreLogged: the access log was closed while those that drain.timeout cuts still had to be told of, and one or two of five were not.
func TestCutRequestsAreLogged(t *testing.T) {
	t.Parallel()
	for range 5 {
		server := startUpstream(t, "a")
		path := filepath.Join(t.TempDir(), "access.log")
		l := startFile(t,
			listenAnywhere, "log: {access: json, access_file: '"+path+"'}",
			"drain: {timeout: 300ms}",
			"backends: {example.com: {servers: ["+server.address+"]}}")
		var hanging []*asyncReply
		const requests = 20
		for range requests {
			hanging = append(hanging, newClient(t, l.addr).begin(call{url: "http://example.com/?delay=1m"}))
		}
		server.awaitInFlight(requests)
		l.signal(syscall.SIGTERM)
		assert.Equal(t, 1, l.exit())
		for _, h := range hanging {
			<-h.done
			assert.Error(t, h.err)
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, requests, strings.Count(string(content), "\n"))
	}
}
