package server

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A buffer that was full and was to be framed did not fit into another by the two bytes that end a chunk, so that each 64 KiB
// of a stream made more than as much garbage.
func TestStreamsMakeNoGarbage(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has pools forget")
	}
	const (
		pieces = 256
		most   = 4 << 20 // for pieces MiB; a tenth of what one buffer for each read would be
	)
	piece := []byte(strings.Repeat("x", 1<<20))
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(piece), piece)
	f := func(name, head string, part []byte, end string) {
		t.Helper()
		p := inFront(t, scripted(t, func(c *peerConn) {
			c.readHead()
			c.send("HTTP/1.1 200 OK\r\n" + head + "\r\n")
			for range pieces {
				_, _ = c.Write(part)
			}
			c.send(end)
		}))
		c := p.dial()
		into := make([]byte, 1<<20)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		size := int64(0)
		for {
			n, err := c.Read(into)
			size += int64(n)
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				break
			}
		}
		runtime.ReadMemStats(&after)
		require.Greater(t, size, int64(pieces*len(piece)))
		made := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d KiB", name, made>>10)
		assert.Less(t, made, uint64(most), name)
	}
	f("of known length", fmt.Sprintf("Content-Length: %d\r\n", pieces*len(piece)), piece, "")
	f("in chunks", "Transfer-Encoding: chunked\r\n", chunk, "0\r\n\r\n")
	f("to the end of the connection", "", piece, "")
}
