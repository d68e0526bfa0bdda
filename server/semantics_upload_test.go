package server

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	postLength  = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
	postChunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	postExpect  = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
)

// RFC 9110 section 6.4 knows content as a stream: what has arrived of an upload is at the server before the client has sent more.
func TestUploadsReachTheServerAsTheyCome(t *testing.T) {
	parts := make(chan string)
	o := newOrigin(t, func(c *peerConn) {
		for head := c.readHead(); head != ""; head = c.readHead() {
			parts <- "head"
			if strings.Contains(head, "chunked") {
				for part := c.readChunk(); part != ""; part = c.readChunk() {
					parts <- part
				}
				c.readHead()
			} else {
				for range 5 {
					parts <- c.readN(2)
				}
			}
			c.send(plainOK)
		}
	})
	p := inFront(t, o)
	c := p.dial()
	for range 2 {
		c.send(postLength)
		require.Equal(t, "head", receive(t, parts), "before a byte of the body")
		for _, part := range []string{"ab", "cd", "ef", "gh", "ij"} {
			c.send(part)
			require.Equal(t, part, receive(t, parts))
		}
		require.Equal(t, plainOK, c.readN(len(plainOK)))
		c.send(postChunked)
		require.Equal(t, "head", receive(t, parts))
		for _, part := range []string{"ab", "cd", "ef"} {
			c.send("2;x=y\r\n" + part + "\r\n")
			require.Equal(t, part, receive(t, parts))
		}
		c.send("0\r\n\r\n")
		require.Equal(t, plainOK, c.readN(len(plainOK)))
	}
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}

// RFC 9112 section 9.3: a connection stays open unless somebody says close. A server that answers at once when the upload ends was
// taken for one that answers early, whenever the answer came before the sending goroutine had noticed that it was done.
func TestAnAnswerRightBehindTheUploadKeepsTheConnections(t *testing.T) {
	o := newOrigin(t, func(c *peerConn) {
		for c.readHead() != "" {
			c.readN(10)
			c.send(plainOK)
		}
	})
	p := inFront(t, o)
	c := p.dial()
	for range 500 {
		c.send(postLength)
		time.Sleep(50 * time.Microsecond) // the body comes in a segment of its own, most times
		c.send("0123456789")
		require.Equal(t, plainOK, c.readN(len(plainOK)))
	}
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}

// RFC 9112 section 9.5 and RFC 9110 section 10.1.1: a server may answer before it has the whole request. The client hears it at once; a server
// that does not say close reads on, and so the upload goes on, and both connections are used again.
func TestAServerThatAnswersEarlyAndReadsOnGetsTheWholeUpload(t *testing.T) {
	got := make(chan string, 1)
	o := newOrigin(t, func(c *peerConn) {
		for head := c.readHead(); head != ""; head = c.readHead() {
			c.send(plainOK)
			if strings.Contains(head, "chunked") {
				body, _ := c.readChunked()
				got <- body
				continue
			}
			got <- c.readN(10)
		}
	})
	p := inFront(t, o)
	c := p.dial()
	for range 2 {
		c.send(postLength + "01234")
		require.Equal(t, plainOK, c.readN(len(plainOK)))
		time.Sleep(20 * time.Millisecond)
		require.Equal(t, 1, p.inFlight(), "the server is still busy with it")
		c.send("56789")
		require.Equal(t, "0123456789", receive(t, got))
		c.send(postChunked + "1\r\na\r\n")
		require.Equal(t, plainOK, c.readN(len(plainOK)))
		c.send("2\r\nbc\r\n0\r\n\r\n")
		require.Equal(t, "abc", receive(t, got))
	}
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}

// A client that has said close, and one of HTTP/1.0, still sends all of its upload.
func TestTheWholeUploadOfALastRequestArrives(t *testing.T) {
	f := func(request, answer, want string) {
		t.Helper()
		got := make(chan string, 1)
		p := inFront(t, newOrigin(t, func(c *peerConn) {
			for c.readHead() != "" {
				c.send(answer)
				got <- c.readN(10)
			}
		}))
		c := p.dial()
		c.send(request + "01234")
		require.Equal(t, want, c.readN(len(want)))
		c.send("56789")
		require.Equal(t, "0123456789", receive(t, got))
		rest, err := c.readAll()
		require.NoError(t, err)
		require.Empty(t, rest)
		p.awaitQuiet(1)
	}
	const last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	f(strings.Replace(postLength, "Host", "Connection: close\r\nHost", 1), plainOK, last)
	f(strings.Replace(postLength, "1.1", "1.0", 1), plainOK, last)
}

// RFC 9112 section 9.6: a server that says close reads no more. Neither does l7 then: it tells the client, and closes.
func TestAServerThatAnswersEarlyAndClosesIsHeard(t *testing.T) {
	const answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
	f := func(name string, end func(c *peerConn)) {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(c *peerConn) {
				c.readHead()
				c.send(answer)
				end(c)
			})
			p := inFront(t, o)
			c := p.dial()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n0123456789")
			got, err := c.readAll() // also while nothing more is sent
			require.NoError(t, err)
			require.Equal(t, answer[:len(answer)-5]+"\r\nbig", got)
			p.awaitQuiet(0)
			eventually(t, "the server's connection to end", func() bool { return o.open.Load() == 0 })
		})
	}
	f("and the connection ends", func(*peerConn) {})
	f("and the connection is reset", func(c *peerConn) { c.reset() })
	f("and the server waits for the other side", func(c *peerConn) { _, _ = c.readAll() })
	f("and half of the connection ends", func(c *peerConn) { _ = c.CloseWrite(); _, _ = c.readAll() })
}

// The same with a client that sends on as fast as it can: it has to see the answer, not a reset (RFC 9112 section 9.6).
func TestAClientThatKeepsSendingSeesAnEarlyAnswer(t *testing.T) {
	const answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
	for range 10 {
		p := inFront(t, newOrigin(t, func(c *peerConn) {
			c.readHead()
			c.readN(1000)
			c.send(answer)
		}))
		c := p.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
		c.send(strings.Repeat("x", 500_000))
		require.Contains(t, c.readHead(), "HTTP/1.1 413 ")
		require.Equal(t, "big", c.readN(3))
		p.awaitQuiet(0)
	}
}

// A server that answers, does not say close and then reads no more costs its connections the write timeout, not more.
func TestAServerThatAnswersEarlyAndStopsReading(t *testing.T) {
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		_ = c.SetReadBuffer(4096)
		c.readHead()
		c.send(plainOK)
		<-t.Context().Done()
	}), "timeouts: {write: 200ms}\n")
	c := p.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
	require.Equal(t, plainOK, c.readN(len(plainOK)))
	go func() {
		for piece := strings.Repeat("x", 1<<20); ; {
			if _, err := c.Write([]byte(piece)); err != nil {
				return
			}
		}
	}()
	p.awaitQuiet(0)
}

// RFC 9112 section 9.5 leaves it open which side talks first: an echo answers part by part while the upload goes on.
func TestStreamsBothWaysAtOnce(t *testing.T) {
	o := newOrigin(t, func(c *peerConn) {
		for c.readHead() != "" {
			c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for part := c.readChunk(); part != ""; part = c.readChunk() {
				c.send("2\r\n" + part + "\r\n")
			}
			c.readHead()
			c.send("0\r\n\r\n")
		}
	})
	p := inFront(t, o)
	c := p.dial()
	for range 3 {
		require.Equal(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", c.ask(postChunked))
		for _, part := range []string{"ab", "cd", "ef"} {
			c.send("2\r\n" + part + "\r\n")
			require.Equal(t, part, c.readChunk())
		}
		time.Sleep(70 * time.Millisecond) // longer than l7 waits before it watches the client
		c.send("2\r\ngh\r\n")
		require.Equal(t, "gh", c.readChunk())
		c.send("0\r\n\r\n")
		body, _ := c.readChunked()
		require.Empty(t, body)
	}
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}

// RFC 9110 section 10.1.1: the expectation goes to the server, and its 100 to the client, which sends its body then. l7 reads none of it before. A server
// that took longer than the 50 ms after which l7 watches the client got the head and never the body.
func TestRelaysExpectAndContinue(t *testing.T) {
	f := func(name string, wait time.Duration, request, body string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			o := newOrigin(t, func(c *peerConn) {
				for head := c.readHead(); head != ""; head = c.readHead() {
					time.Sleep(wait)
					c.send("HTTP/1.1 100 Go On\r\nX: 1\r\n\r\n")
					if strings.Contains(head, "chunked") {
						body, _ := c.readChunked()
						got <- head + body
					} else {
						got <- head + c.readN(10)
					}
					c.send(plainOK)
				}
			})
			p := inFront(t, o)
			c := p.dial()
			for range 2 {
				require.Equal(t, "HTTP/1.1 100 Go On\r\nX: 1\r\n\r\n", c.ask(request))
				c.send(body)
				require.Equal(t, plainOK, c.readN(len(plainOK)))
				server := receive(t, got)
				require.Contains(t, server, "\r\nExpect: 100-continue\r\n")
				require.Equal(t, "\r\n\r\n0123456789", server[len(server)-14:])
			}
			p.awaitQuiet(1)
			require.EqualValues(t, 1, o.accepted.Load())
		})
	}
	const chunkedBody = "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"
	f("at once", 0, postExpect, "0123456789")
	f("chunked", 0, strings.Replace(postChunked, "Host: a\r\n", "Host: a\r\nexpect: 100-Continue\r\n", 1), chunkedBody)
	f("after a while", 150*time.Millisecond, postExpect, "0123456789")
	f("chunked, after a while", 150*time.Millisecond, strings.Replace(postChunked, "Host: a\r\n", "Host: a\r\nExpect: 100-continue\r\n", 1), chunkedBody)
}

// RFC 9110 section 10.1.1: a proxy need not wait for ever. After a second l7 says 100 itself; the server's own that comes late is not sent again.
func TestSaysContinueForASilentServer(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *peerConn) {
		for c.readHead() != "" {
			body := c.readN(10)
			c.send("HTTP/1.1 100 Continue\r\n\r\n" + "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + body)
		}
	})
	p := inFront(t, o)
	c := p.dial()
	start := time.Now()
	require.Equal(t, "HTTP/1.1 100 Continue\r\n\r\n", c.ask(postExpect))
	require.GreaterOrEqual(t, time.Since(start), 900*time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	c.send("0123456789")
	require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", c.readN(len("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")))
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}

// RFC 9110 section 10.1.1: a final answer in place of 100 ends the exchange. The body may follow or not, so neither connection is used again.
func TestRelaysAFinalAnswerInPlaceOfContinue(t *testing.T) {
	f := func(wait time.Duration, sendAnyway bool) {
		t.Helper()
		o := newOrigin(t, func(c *peerConn) {
			c.readHead()
			time.Sleep(wait)
			c.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
			_, _ = c.readAll()
		})
		p := inFront(t, o)
		c := p.dial()
		require.Equal(t, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", c.ask(postExpect))
		if sendAnyway {
			c.send("GET /x HT\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		got, _ := c.readAll()
		require.Equal(t, "no", got)
		p.awaitQuiet(0)
		eventually(t, "the server's connection to end", func() bool { return o.open.Load() == 0 })
	}
	f(0, false)
	f(0, true)
	f(100*time.Millisecond, true)
}

// RFC 9110 section 10.1.1: an answer of our own takes the place of 100 too.
func TestAnswersAnExpectationItCannotMeet(t *testing.T) {
	m := newMirror(t, "limits: {body: 5B}\n")
	c := m.dial()
	head := c.ask(postExpect)
	require.Contains(t, head, "HTTP/1.1 413 ")
	require.Contains(t, head, "Connection: close\r\n")
	require.Empty(t, m.heads)
	require.Contains(t, m.dial().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\n"), "HTTP/1.1 417 ")
}

// RFC 9110 section 10.1.1: a client may send its body without waiting, and HTTP/1.0 has no 100.
func TestTakesTheBodyOfAClientThatDoesNotWait(t *testing.T) {
	got := make(chan string, 1)
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		for head := c.readHead(); head != ""; head = c.readHead() {
			if strings.Contains(head, "Expect") {
				c.send("HTTP/1.1 100 Continue\r\n\r\n")
			}
			got <- c.readN(10)
			c.send(plainOK)
		}
	}))
	c := p.dial()
	c.send(postExpect + "01234")
	time.Sleep(10 * time.Millisecond)
	c.send("56789")
	require.Equal(t, "0123456789", receive(t, got))
	require.Equal(t, plainOK, c.readN(len(plainOK)))
	c.send(strings.Replace(postExpect, "1.1", "1.0", 1))
	time.Sleep(10 * time.Millisecond)
	c.send("0123456789")
	require.Equal(t, "0123456789", receive(t, got))
	rest, _ := c.readAll()
	require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", rest)
	p.awaitQuiet(1)
}

// RFC 9112 section 8: an upload that the client does not finish does not look finished to the server, and is not the server's fault.
func TestACutUploadIsSeenAsCut(t *testing.T) {
	f := func(name, request string, cut func(c *peerConn)) {
		t.Run(name, func(t *testing.T) {
			rest := make(chan string, 1)
			begun := make(chan struct{})
			o := newOrigin(t, func(c *peerConn) {
				c.readHead()
				c.readN(3)
				close(begun)
				text, _ := c.readAll()
				rest <- text
			})
			p := inFront(t, o)
			c := p.dial()
			c.send(request)
			receive(t, begun)
			time.Sleep(10 * time.Millisecond)
			cut(c)
			require.NotContains(t, receive(t, rest), "\r\n0\r\n", "an end that the client never sent")
			p.awaitQuiet(0)
			p.awaitCause("client_gone")
		})
	}
	for name, request := range map[string]string{"length": postLength + "01234", "chunked": postChunked + "3\r\nabc\r\n", "in a chunk": postChunked + "9\r\nabc"} {
		f(name+", closed", request, func(c *peerConn) { _ = c.Close() })
		f(name+", half closed", request, func(c *peerConn) { _ = c.CloseWrite() })
		f(name+", reset", request, func(c *peerConn) { c.reset() })
	}
}

// The same while the response is on its way already.
func TestACutUploadEndsTheResponse(t *testing.T) {
	ended := make(chan struct{})
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		c.readHead()
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
		_, _ = c.readAll()
		close(ended)
	}))
	c := p.dial()
	require.Contains(t, c.ask(postLength+"012"), " 200 OK\r\n")
	require.Equal(t, "ab", c.readChunk())
	c.reset()
	receive(t, ended)
	p.awaitQuiet(0)
	p.awaitCause("client_gone")
}

// RFC 9112 section 9.3.2: a request behind an upload is read from where the upload ended, wherever the pieces were cut.
func TestReadsOnBehindAnUpload(t *testing.T) {
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		for head := c.readHead(); head != ""; head = c.readHead() {
			n := 0
			if strings.Contains(head, "chunked") {
				body, _ := c.readChunked()
				n = len(body)
			} else if strings.Contains(head, "Content-Length: 100000") {
				n = len(c.readN(100_000))
			}
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + (itoa(n) + "      ")[:6])
		}
	}))
	c := p.dial()
	body := strings.Repeat("x", 100_000)
	next := "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 200) + "\r\n\r\n"
	for range 5 {
		go c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + body + next +
			postChunked + "10000\r\n" + body[:65536] + "\r\n" + "1\r\nx\r\n0\r\n\r\n" + next)
		for _, want := range []string{"100000", "0     ", "65537 ", "0     "} {
			require.Contains(t, c.readHead(), " 200 OK\r\n")
			require.Equal(t, want, c.readN(6))
		}
	}
	p.awaitQuiet(1)
}
