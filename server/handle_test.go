package server

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const plainOK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestKeepsTheConnectionAndTheOrderOfPipelinedRequests(t *testing.T) {
	p := inFront(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	c := p.dial()
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, path := range []string{"/1", "/2", "/3"} {
		require.Contains(t, c.readHead(), "200 OK")
		require.Equal(t, path, c.readN(2))
	}
}

func TestPassesHeadsOnAsReceived(t *testing.T) {
	got := make(chan string, 1)
	p := inFront(t, scripted(t, func(c *peerConn) {
		got <- c.readHead()
		c.send("HTTP/1.1 299 Odd Reason\r\nX-b: 1\r\nx-A: 2\r\nX-b: 3\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nDate: never\r\nContent-Length: 0\r\n\r\n")
	}))
	c := p.dial()
	c.send("GET /a%2Fb?c=//d HTTP/1.1\r\nHost: A.example\r\nzZ: 1\r\nAccept: x\r\nzz: 2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-Forwarded-For: 9.9.9.9\r\nUnder_score: 1\r\n\r\n")
	require.Equal(t, "HTTP/1.1 299 Odd Reason\r\nX-b: 1\r\nx-A: 2\r\nX-b: 3\r\nDate: never\r\nContent-Length: 0\r\n\r\n", c.readHead())
	require.Equal(t, "GET /a%2Fb?c=//d HTTP/1.1\r\nHost: A.example\r\nzZ: 1\r\nAccept: x\r\nzz: 2\r\n"+
		"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: A.example\r\n\r\n", <-got)
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, size := range []int{100, 10 << 10} {
		response := "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat("x", size)
		origin := answeringWithoutGarbage(t, response)
		p := inFront(t, origin)
		c, err := net.Dial("tcp", p.addr)
		require.NoError(t, err)
		defer c.Close()
		request := []byte("GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: x\r\n\r\n")
		in := make([]byte, len(response))
		allocs := testing.AllocsPerRun(2000, func() {
			if _, err := c.Write(request); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(c, in); err != nil {
				t.Error(err)
			}
		})
		require.Zero(t, int(allocs), "%d bytes: %v allocations a request", size, allocs)
	}
}

// answeringWithoutGarbage is a server whose own work does not count as an allocation.
func answeringWithoutGarbage(t *testing.T, response string) net.Addr {
	return scripted(t, func(c *peerConn) {
		in, out := make([]byte, 4096), []byte(response)
		for {
			if _, err := c.TCPConn.Read(in); err != nil {
				return
			}
			if _, err := c.TCPConn.Write(out); err != nil {
				return
			}
		}
	})
}
