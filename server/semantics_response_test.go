package server

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 9110 section 7.7: what a server says goes on as it said it, and l7 adds nothing of its own: no Date, no Server, no Content-Type.
func TestRelaysResponseHeadsByteForByte(t *testing.T) {
	f := func(head string) {
		t.Helper()
		c := inFront(t, replying(t, head+"Content-Length: 2\r\n\r\nok")).dial()
		require.Equal(t, head+"Content-Length: 2\r\n\r\n", c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		require.Equal(t, "ok", c.readN(2))
	}
	f("HTTP/1.1 200 OK\r\n")
	f("HTTP/1.1 200 OK\r\ndate: Mon\r\nDATE: Tue\r\nserver:x\r\ncontent-TYPE: \t text/x \r\nX-Forwarded-For: 1\r\nVia: 1.1 x\r\nX_Y: 1\r\nAccept-Ranges:\r\n")
	f("HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX: 1\r\nset-cookie: b=2, c=3\r\nSet-Cookie: a=4\r\n")
	f("HTTP/1.1 200 OK\r\nX: \x80\xff\r\nLink: <a>; rel=preload\r\nETag: \"x\"\r\nAlt-Svc: h3=\":443\"\r\nStrict-Transport-Security: max-age=1\r\n")
}

// RFC 9110 section 15: a status code is three digits; RFC 9112 section 4: the reason phrase is the server's, and may be empty.
func TestRelaysAnyStatus(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		c := inFront(t, replying(t, line+"\r\nContent-Length: 0\r\n\r\n")).dial()
		for range 2 {
			require.Equal(t, want+"\r\nContent-Length: 0\r\n\r\n", c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		}
	}
	for _, line := range []string{
		"HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200 Not  Found\tat all \x80", "HTTP/1.1 226 IM Used", "HTTP/1.1 299 x", "HTTP/1.1 399 ", "HTTP/1.1 418 I'm a teapot",
		"HTTP/1.1 426 Upgrade Required", "HTTP/1.1 499 x", "HTTP/1.1 511 x", "HTTP/1.1 599 x", "HTTP/1.1 600 x", "HTTP/1.1 777 x", "HTTP/1.1 999 x",
	} {
		f(line, line)
	}
	f("HTTP/1.1 404", "HTTP/1.1 404 ") // RFC 9112 section 4: the space is ours to add
}

// RFC 9110 section 7.6.1, in the other direction.
func TestEndsHopByHopFieldsOfResponses(t *testing.T) {
	f := func(lines, want string) {
		t.Helper()
		p := inFront(t, replying(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+lines+"\r\n"))
		c := p.dial()
		require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+want+"\r\n", c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+want+"\r\n", c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	}
	f("Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nProxy-Authenticate: Basic\r\nTE: x\r\nX: 1\r\nTrailer: X-Sum\r\n", "X: 1\r\n")
	f("X-Hop: 1\r\nConnection: keep-alive\r\nConnection: x-hop, Upgrade\r\nUpgrade: h2c\r\nX: 1\r\n", "X: 1\r\n")
	f("Connection: content-length, set-cookie, host\r\nHost: x\r\n", "Host: x\r\n")
	f("Connection: close\r\nX: 1\r\n", "X: 1\r\n")
}

// RFC 9110 section 8.4: a proxy does not touch a content coding.
func TestRelaysCompressedBodiesUntouched(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(bytes.Repeat([]byte("text "), 1000))
	_ = z.Close()
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", packed.Len())
	c := inFront(t, replying(t, head+packed.String())).dial()
	require.Equal(t, head, c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "also to a client that did not ask for it")
	require.Equal(t, packed.String(), c.readN(packed.Len()))
}

// RFC 9112 section 6.3, item 1: these responses have no body, whatever their fields say, and the connection goes on behind the head.
func TestRelaysResponsesWithoutABody(t *testing.T) {
	f := func(method, response, want string, pooled int) {
		t.Helper()
		p := inFront(t, replying(t, response))
		c := p.dial()
		for range 2 {
			require.Equal(t, want, c.ask(method+" / HTTP/1.1\r\nHost: a\r\n\r\n"))
			p.awaitQuiet(pooled)
		}
		c.send(method + " / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		rest, err := c.readAll()
		require.NoError(t, err)
		require.Equal(t, strings.TrimSuffix(want, "\r\n")+"Connection: close\r\n\r\n", rest)
	}
	// RFC 9110 section 9.3.2: to HEAD, Content-Length is that of GET.
	f("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", 1)
	f("HEAD", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", 1)
	f("HEAD", "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\n", 1)
	f("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 0) // a body that must not be
	// RFC 9110 section 8.6: no Content-Length in a 204.
	f("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", 1)
	f("GET", "HTTP/1.1 204 No Content\r\nX: 1\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", 1)
	f("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", 0)
	// RFC 9110 section 15.4.5: to 304, Content-Length is that of 200.
	f("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 12345\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 12345\r\n\r\n", 1)
	f("GET", "HTTP/1.1 304 Not Modified\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n", 1)
	// RFC 9110 section 15.3.6.
	f("GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 1)
}

// RFC 9112 section 7.1: a chunked response is framed anew. It ends for the client only when it has ended for the server; chunk extensions do not go on.
func TestFramesResponsesAnew(t *testing.T) {
	p := inFront(t, replying(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n2;x=y\r\nab\r\n0003\r\ncde\r\n0;z\r\n\r\n"))
	c := p.dial()
	for range 2 {
		require.Equal(t, "HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n", c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		body, trailer := c.readChunked()
		require.Equal(t, "abcde", body)
		require.Equal(t, "\r\n", trailer)
	}
	p.awaitQuiet(1)
	require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		inFront(t, replying(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).dial().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
}

// RFC 9110 section 6.5.1: trailers reach a client that asks for them, but for those that may not be trailers.
func TestPassesTrailersOfResponsesOn(t *testing.T) {
	const trailer = "X-Sum: 1\r\nSet-Cookie: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: x\r\nConnection: close\r\nx-sum: 2\r\nServer-Timing: x\r\n"
	o := replying(t, "HTTP/1.1 200 OK\r\nTrailer: X-Sum, Server-Timing\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"+trailer+"\r\n")
	p := inFront(t, o)
	c := p.dial()
	for range 2 {
		head := c.ask("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
		require.Equal(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Server-Timing\r\n\r\n", head)
		body, got := c.readChunked()
		require.Equal(t, "a", body)
		require.Equal(t, "X-Sum: 1\r\nx-sum: 2\r\nServer-Timing: x\r\n\r\n", got)
	}
	require.Equal(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	body, got := c.readChunked()
	require.Equal(t, "a", body)
	require.Equal(t, "\r\n", got)
	p.awaitQuiet(1)
	require.Equal(t, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na", p.exchange("GET / HTTP/1.0\r\nHost: a\r\nTE: trailers\r\n\r\n"))
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}

// RFC 9112 sections 9.3 and 6.1: what an HTTP/1.0 client is told, and that it never sees Transfer-Encoding.
func TestServesOldClients(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
	f := func(response, request, want string) {
		t.Helper()
		p := inFront(t, replying(t, response))
		require.Equal(t, want, p.exchange(request), request)
		p.awaitQuiet(1)
	}
	f(ok, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	f(ok, "GET / HTTP/1.0\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	f(ok, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	f("HTTP/1.1 204 No Content\r\n\r\n", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	f(chunked, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")
	f(chunked, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nHEAD / HTTP/1.0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
}

// RFC 9112 section 6.3, item 8: without a length the end of the connection is the end of the body, which HTTP/1.1 clients get in chunks.
func TestRelaysBodiesThatEndWithTheConnection(t *testing.T) {
	o := newOrigin(t, func(c *peerConn) {
		c.readHead()
		c.send("HTTP/1.1 200 OK\r\nX: 1\r\n\r\n" + strings.Repeat("x", 100_000))
	})
	p := inFront(t, o)
	c := p.dial()
	for range 2 {
		require.Equal(t, "HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n", c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		body, _ := c.readChunked()
		require.Len(t, body, 100_000)
	}
	require.Equal(t, "HTTP/1.1 200 OK\r\nX: 1\r\nConnection: close\r\n\r\n"+strings.Repeat("x", 100_000), p.exchange("GET / HTTP/1.0\r\n\r\n"))
	p.awaitQuiet(0)
	require.EqualValues(t, 3, o.accepted.Load())
}

// RFC 9112 section 8: a client has to see that a response was cut. The issue: a close-delimited one that ends in a reset is cut too.
func TestACutResponseIsSeenAsCut(t *testing.T) {
	f := func(response, request string, cut func(c *peerConn)) {
		t.Helper()
		p := inFront(t, newOrigin(t, func(c *peerConn) {
			c.readHead()
			c.send(response)
			cut(c)
		}))
		c := p.dial()
		require.Contains(t, c.ask(request), " 200 OK\r\n")
		got, err := c.readAll()
		switch {
		case strings.Contains(request, "HTTP/1.0") && !strings.Contains(response, "Content-Length"):
			require.Error(t, err, "the end of the connection would look like the end of the body")
		case strings.Contains(response, "Content-Length"):
			require.Less(t, len(got), 5)
		default:
			require.NotContains(t, got, "\r\n0\r\n")
		}
		p.awaitQuiet(0)
		p.awaitCause("response_cut")
	}
	finish := func(*peerConn) {}
	reset := func(c *peerConn) { c.reset() }
	for _, version := range []string{"1.0", "1.1"} {
		request := "GET / HTTP/" + version + "\r\nHost: a\r\n\r\n"
		for _, how := range []func(*peerConn){finish, reset} {
			f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", request, how)
			f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", request, how)
			f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", request, how)
			f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", request, how)
		}
		f("HTTP/1.1 200 OK\r\n\r\nabc", request, reset)
	}
}

// RFC 9112 section 9.3: whether a connection to a server is used again is between l7 and the server.
func TestKeepsServerConnectionsExactlyWhenTheyMayBeKept(t *testing.T) {
	f := func(response string, pooled int) {
		t.Helper()
		o := replying(t, response)
		p := inFront(t, o)
		c := p.dial()
		for i := range 3 {
			require.Contains(t, c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), " 200 OK\r\n")
			require.Equal(t, "ok", c.readN(2), "the client's connection stays open")
			p.awaitQuiet(pooled)
			require.EqualValues(t, 1+i*(1-pooled), o.accepted.Load())
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1)
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", 1)
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", 0)
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, CLOSE\r\n\r\nok", 0)
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nConnection: keep-alive\r\n\r\nok", 0)
	f("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 0)
	f("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nok", 1)
}

// RFC 9112 section 9.6: a client's close is the client's alone.
func TestKeepsServerConnectionsOfClientsThatLeave(t *testing.T) {
	o := replying(t, plainOK)
	p := inFront(t, o)
	for range 3 {
		require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", p.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
		p.awaitQuiet(1)
	}
	require.EqualValues(t, 1, o.accepted.Load())
}

// RFC 9110 section 15.2: 1xx responses go on as they come, before the final one, but not to HTTP/1.0, which does not know them.
func TestRelaysInterimResponses(t *testing.T) {
	const (
		processing = "HTTP/1.1 102 Processing\r\n\r\n"
		hints      = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.css>\r\n\r\n"
		odd        = "HTTP/1.1 199 \r\nX: 1\r\n\r\n"
	)
	gate := make(chan struct{}, 4)
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		for c.readHead() != "" {
			c.send(hints)
			<-gate
			c.send(processing + "HTTP/1.1 103 Early Hints\r\nConnection: X-Hop\r\nX-Hop: 1\r\nLink: </c.css>\r\nKeep-Al")
			<-gate
			c.send("ive: x\r\n\r\n" + odd + plainOK)
		}
	}))
	c := p.dial()
	require.Equal(t, hints, c.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "before anything else was sent")
	gate <- struct{}{}
	require.Equal(t, processing, c.readHead())
	gate <- struct{}{}
	require.Equal(t, "HTTP/1.1 103 Early Hints\r\nLink: </c.css>\r\n\r\n", c.readHead())
	require.Equal(t, odd, c.readHead())
	require.Equal(t, plainOK, c.readN(len(plainOK)))
	p.awaitQuiet(1)
	gate <- struct{}{}
	gate <- struct{}{}
	require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", p.exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n"))
}

// RFC 9110 section 15.2 sets no bound on 1xx responses; l7 does, since a server could send them for ever.
func TestBoundsInterimResponses(t *testing.T) {
	f := func(n int, want string, pooled int) {
		t.Helper()
		p := inFront(t, replying(t, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", n)+plainOK))
		got := p.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		require.Contains(t, strings.ReplaceAll(got, "HTTP/1.1 102 Processing\r\n\r\n", ""), want)
		p.awaitQuiet(pooled)
	}
	f(20, "HTTP/1.1 200 OK", 1)
	f(200, "HTTP/1.1 502 Bad Gateway", 0)
}
