package server

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fickle is a server that ends each connection after a few requests, in its own way.
type fickle struct {
	net.Addr
	end func(c *peerConn) // ends a connection that has had its requests; nil: with Connection: close
	ask int               // how many requests a connection may have; 0: any number from 1 to 10

	mu       sync.Mutex // guards all below
	seen     map[string]int
	answered map[string]int
}

func fickly(t *testing.T, f *fickle) *fickle {
	f.seen, f.answered = map[string]int{}, map[string]int{}
	f.Addr = scripted(t, f.serve)
	return f
}

func (f *fickle) serve(c *peerConn) {
	_ = c.SetDeadline(time.Now().Add(6 * patience))
	n := f.ask
	if n == 0 {
		n = 1 + rand.IntN(10)
	}
	for i := range n {
		id, err := f.take(c)
		if err != nil {
			return
		}
		last := ""
		if i == n-1 && f.end == nil {
			last = "Connection: close\r\n"
		}
		f.note(func() { f.answered[id]++ })
		c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", last, len(id), id))
	}
	if f.end != nil {
		f.end(c)
	}
}

// take reads a whole request, and remembers that it was read.
func (f *fickle) take(c *peerConn) (id string, err error) {
	req, err := http.ReadRequest(c.r)
	if err != nil {
		return "", err
	}
	f.note(func() { f.seen[req.RequestURI]++ })
	_, err = io.Copy(io.Discard, req.Body)
	return req.RequestURI, err
}

func (f *fickle) note(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// endings are the ways to end a connection, by whether a request can meet them: those that cannot be noticed before
// it is sent do.
func endings() map[string]func(f *fickle) func(c *peerConn) {
	return map[string]func(f *fickle) func(c *peerConn){
		"with notice": func(*fickle) func(*peerConn) { return nil },
		"without notice": func(*fickle) func(*peerConn) {
			return func(*peerConn) {}
		},
		"with a reset": func(*fickle) func(*peerConn) {
			return func(c *peerConn) {
				time.Sleep(time.Millisecond) // a reset may overtake what was sent before
				c.abort()
			}
		},
		"when a request arrives": func(*fickle) func(*peerConn) {
			return func(c *peerConn) { _, _ = c.r.Peek(1) }
		},
		"with a reset when a request arrives": func(*fickle) func(*peerConn) {
			return func(c *peerConn) {
				_, _ = c.r.Peek(1)
				c.abort()
			}
		},
		"when a request was read": func(f *fickle) func(*peerConn) {
			return func(c *peerConn) { _, _ = f.take(c) }
		},
	}
}

// TestServerThatClosesOften sends 10,000 and more GETs to servers that close each connection after 1 to 10 requests: no client sees any of
// it, and none is answered twice. RFC 9112 section 9.3.1, RFC 9110 section 9.2.2.
func TestServerThatClosesOften(t *testing.T) {
	for name, end := range endings() {
		t.Run(name, func(t *testing.T) {
			f := &fickle{}
			f.end = end(f)
			fickly(t, f)
			p := inFront(t, f)
			const clients, each = 4, 450
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() { askMany(t, p, i, each) })
			}
			wg.Wait()
			p.settle()
			f.note(func() {
				require.Len(t, f.answered, clients*each)
				for id, n := range f.answered {
					require.Equal(t, 1, n, id)
				}
			})
		})
	}
}

// askMany sends GETs one after the other and checks that each is answered with its own id.
func askMany(t *testing.T, p *proxy, client, each int) {
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	c := &peerConn{TCPConn: nc.(*net.TCPConn), t: t, r: bufio.NewReader(nc)}
	_ = c.SetDeadline(time.Now().Add(6 * patience))
	for i := range each {
		id := fmt.Sprintf("/%d/%d", client, i)
		c.send("GET " + id + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.readReply("GET"); r.err != nil || r.StatusCode != 200 || r.body != id {
			t.Errorf("%s: got %+v", id, r)
			return
		}
	}
}

// TestPostIsNotRepeated sends POSTs to servers that close at the worst time: what they may have acted on is not sent again, and
// where that cannot be told from a failure the client is told so.
func TestPostIsNotRepeated(t *testing.T) {
	for name, end := range endings() {
		t.Run(name, func(t *testing.T) {
			f := &fickle{}
			f.end = end(f)
			fickly(t, f)
			p := inFront(t, f)
			c := p.dial()
			failed := 0
			for i := range 200 {
				body := times(rand.IntN(2)*100_000, "x") // in one piece with its head, or not
				id := fmt.Sprintf("/%d", i)
				c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", id, len(body), body))
				r := c.readReply("POST")
				require.NoError(t, r.err)
				switch r.StatusCode {
				case 200:
					require.Equal(t, id, r.body)
				case 502:
					failed++
				default:
					t.Fatalf("%s: %d", id, r.StatusCode)
				}
				if r.Close {
					c = p.dial()
				}
			}
			p.settle()
			f.note(func() {
				for id, n := range f.seen {
					require.LessOrEqual(t, n, 1, id)
				}
				require.GreaterOrEqual(t, len(f.answered), 200-failed)
			})
			if strings.HasPrefix(name, "with notice") {
				require.Zero(t, failed)
			}
			if failed > 0 {
				p.logged(caused("server_closed"), `"status":502`)
			}
		})
	}
}

// TestStaleConnectionIsNoticed has all kept connections be closed before the next request, which must not be repeated: it goes out
// on a fresh one, and they were not touched.
func TestStaleConnectionIsNoticed(t *testing.T) {
	const kept = 10
	f := func(name string, end func(c *peerConn)) {
		t.Helper()
		var conns, posts atomic.Int64
		var arrived, ended sync.WaitGroup
		arrived.Add(kept)
		ended.Add(kept)
		release := make(chan struct{})
		p := inFront(t, scripted(t, func(c *peerConn) {
			if conns.Add(1) > kept {
				for {
					req, err := http.ReadRequest(c.r)
					if err != nil {
						return
					}
					posts.Add(1)
					_, _ = io.Copy(io.Discard, req.Body)
					c.send(plainOK)
				}
			}
			c.readHead()
			arrived.Done()
			arrived.Wait() // so that each request has a connection of its own
			c.send(plainOK)
			<-release
			end(c)
			ended.Done()
			require.Empty(t, c.tail(), name)
		}))
		var clients sync.WaitGroup
		for range kept {
			c := p.dial()
			clients.Go(func() {
				c.send(good)
				c.readReply("GET")
			})
		}
		clients.Wait()
		p.settle()
		require.Equal(t, kept, p.kept())
		close(release)
		ended.Wait()
		for range 3 {
			for _, post := range []string{lengthPost + "0123456789", chunkedPost + "3\r\nabc\r\n0\r\n\r\n", lengthPost} {
				c := p.dial()
				c.send(post)
				if post == lengthPost { // the rest comes when the server has the head
					until(t, func() bool { return p.pending() == 1 }, "the upload did not start")
					c.send("0123456789")
				}
				require.Equal(t, "ok", c.readReply("POST").body, name)
				p.settle()
			}
		}
		require.EqualValues(t, 9, posts.Load())
		require.EqualValues(t, kept+1, conns.Load())
		require.Equal(t, 1, p.kept())
	}
	f("end", fin)
	f("reset", breaks)
	f("bytes", func(c *peerConn) {
		c.send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	})
}
