package server

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo answers with the request: its id, and its body behind it. Some paths answer in ways of their own.
func echo(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Id")
	w.Header().Set("Id", id)
	switch r.URL.Path {
	case "/long":
		_, _ = io.WriteString(w, id+times(1<<20, "-")) // the client leaves in the middle
		return
	case "/early":
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, id)
		return
	case "/empty":
		w.WriteHeader(http.StatusNoContent)
		return
	case "/same":
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(id)+1+len(body)))
	_, _ = io.WriteString(w, id+" "+string(body))
}

// mixer is a client among others, all of which share the connections to one server.
type mixer struct {
	p  *proxy
	id string
}

// misbehaviours are what a client does before it leaves, in the middle of something.
func misbehaviours() []string {
	return []string{
		"POST / HTTP/1.1\r\nHost: a\r\nId: %s\r\nContent-Length: 100\r\n\r\n%[1]s",
		"POST / HTTP/1.1\r\nHost: a\r\nId: %s\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n%[1]s",
		"POST / HTTP/1.1\r\nHost: a\r\nId: %s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n%[1]s",
		"POST /early HTTP/1.1\r\nHost: a\r\nId: %s\r\nContent-Length: 1000000\r\n\r\n%[1]s",
		"POST / HTTP/1.1\r\nHost: a\r\nId: %s\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
		"GET /long HTTP/1.1\r\nHost: a\r\nId: %s\r\n\r\n",
		"GET /long HTTP/1.0\r\nId: %s\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nId: %s\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nId: %[1]s\r\nX: ",
		"GET / HTTP/1.1\r\nHost: a\r\nId: %s\r\n\r\n\x00%[1]s",
		"GET / HTTP/1.1\r\nHost: a\r\nId: %s\r\nContent-Length: 40\r\n\r\nGET /long HTTP/1.1\r\nHost: a\r\n\r\n",
	}
}

// round does one thing wrong or several things right.
func (m mixer) round() error {
	c, err := net.Dial("tcp", m.p.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if rand.IntN(2) == 0 {
		all := misbehaviours()
		_, _ = fmt.Fprintf(c, all[rand.IntN(len(all))], m.id)
		if rand.IntN(2) == 0 { // leave when some of an answer has come
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, _ = c.Read(make([]byte, 1))
		}
		if rand.IntN(2) == 0 {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		return nil
	}
	r := bufio.NewReader(c)
	for range 5 {
		if err := m.right(c, r); err != nil {
			return err
		}
	}
	return nil
}

// right sends a good request and checks that the answer is its own.
func (m mixer) right(c net.Conn, r *bufio.Reader) error {
	method, path, body, want := "GET", "/", "", m.id+" "
	switch rand.IntN(6) {
	case 0:
		method, body = "POST", times(1+rand.IntN(10_000), m.id)
		want += body
	case 1:
		method, want = "HEAD", ""
	case 2:
		path, want = "/empty", ""
	case 3:
		path, want = "/same", ""
	}
	_, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: a\r\nId: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, m.id, len(body), body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.Header.Get("Id") != m.id || string(got) != want {
		return fmt.Errorf("client %s asked %s %s and got %q of %q, %w", m.id, method, path, got[:min(len(got), 100)], resp.Header.Get("Id"), err)
	}
	return nil
}

// TestNobodyGetsWhatIsAnothers has clients share the connections to a server, half of them leaving in the middle of an upload, a
// download, a chunk, a request. The others get their own answers, whole, every time.
func TestNobodyGetsWhatIsAnothers(t *testing.T) {
	p := inFront(t, serving(t, echo))
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			m := mixer{p, strings.Repeat(strconv.Itoa(i), 8)}
			for range 40 {
				if err := m.round(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	p.settle()
	require.Equal(t, 200, p.get("/").StatusCode)
}

// TestAbortsLeaveTheNextAnswerAlone is the same for two clients that take turns, with each way to leave in turn, so that the one
// connection to the server is the one that the other has just left.
func TestAbortsLeaveTheNextAnswerAlone(t *testing.T) {
	p := inFront(t, serving(t, echo))
	for _, bad := range misbehaviours() {
		for _, leave := range []func(c *peerConn){(*peerConn).abort, func(c *peerConn) { _ = c.CloseWrite() }, func(c *peerConn) { _ = c.Close() }} {
			a, b := p.dial(), p.dial()
			a.send("GET / HTTP/1.1\r\nHost: a\r\nId: 1\r\n\r\n")
			require.Equal(t, "1 ", a.readReply("GET").body)
			a.send(fmt.Sprintf(bad, "aaaaaaaa"))
			leave(a)
			for range 3 {
				b.send("POST / HTTP/1.1\r\nHost: a\r\nId: 2\r\nContent-Length: 3\r\n\r\nbbb")
				require.Equal(t, "2 bbb", b.readReply("POST").body, "%q", bad)
			}
			p.settle()
			b.send("GET / HTTP/1.1\r\nHost: a\r\nId: 2\r\n\r\n")
			require.Equal(t, "2 ", b.readReply("GET").body, "%q", bad)
			_ = b.Close()
		}
	}
}
