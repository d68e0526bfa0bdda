package server

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mirror is a proxy in front of an origin that tells what heads it gets.
type mirror struct {
	*proxy
	heads chan string
}

func newMirror(t *testing.T, extra ...string) *mirror {
	t.Helper()
	m := &mirror{heads: make(chan string, 16)}
	m.proxy = inFront(t, newOrigin(t, func(c *peerConn) {
		for {
			head := c.readHead()
			if head == "" {
				return
			}
			m.heads <- head
			c.send(plainOK)
		}
	}), extra...)
	return m
}

// forwarded is the head that reaches the server for a request.
func (m *mirror) forwarded(t *testing.T, request string) string {
	t.Helper()
	c := m.dial()
	require.Contains(t, c.ask(request), " 200 OK\r\n", request)
	_ = c.Close()
	return receive(t, m.heads)
}

// fields are the fields that l7 adds for a client on 127.0.0.1 that asks for host.
func added(host string) string {
	return "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: " + host + "\r\n"
}

// RFC 9110 section 5.3: the order of lines with the same name is their meaning. Section 5.1: the case of names has none,
// and servers that look at it all the same get what the client wrote. RFC 9112 section 5: so has the whitespace.
func TestForwardsFieldLinesByteForByte(t *testing.T) {
	m := newMirror(t)
	lines := "HOST:a\r\nx-B:1\r\nAccept: \t x \t\r\nX-b: 2\r\nCookie: a=1\r\nx-B:3\r\nCOOKIE: b=2\r\nEmpty:\r\n" +
		"X-Bytes: \x80\xff\"\\\r\nTraceParent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nDate: x\r\nUser-agent:\r\n"
	require.Equal(t, "GET / HTTP/1.1\r\n"+lines+added("a")+"\r\n", m.forwarded(t, "GET / HTTP/1.1\r\n"+lines+"\r\n"))
}

// RFC 9112 section 3.2 and RFC 9110 section 7.6: a proxy does not change the path and the query. Section 3.2.2: the authority
// of an absolute-form target takes the place of Host, and an origin-form goes on. Section 3.2.4: OPTIONS * goes on as it is.
func TestForwardsTheTarget(t *testing.T) {
	m := newMirror(t)
	f := func(method, target, wantTarget, wantHost string) {
		t.Helper()
		head := m.forwarded(t, method+" "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
		require.Equal(t, method+" "+wantTarget+" HTTP/1.1\r\nHost: "+wantHost+"\r\n"+added(wantHost)+"\r\n", head)
	}
	for _, target := range []string{
		"/", "/?", "/??", "//", "//x", "//b.example/x?u=http://z", "/%zz", "/%", "/a%2Fb", "/a/../b/./c", "/%2e%2e/",
		"/a;b=c;d", "/a&b", "/?a=b&c;d=%20+e", "/\xc3\xa4\xff", "/a\\b", "/[x]{y}|z^`\"<>", "/http://x/y", "/*", "/:80",
	} {
		f("GET", target, target, "a")
	}
	f("GET", "http://b.example/x?y=http://z", "/x?y=http://z", "b.example")
	f("GET", "HTTP://B.example:8080//x", "//x", "B.example:8080")
	f("GET", "http://b.example", "/", "b.example")
	f("GET", "http://b.example?x", "/?x", "b.example")
	f("GET", "https://[::1]:443/", "/", "[::1]:443")
	f("OPTIONS", "*", "*", "a")
	f("OPTIONS", "http://b.example:80", "*", "b.example:80")
	f("OPTIONS", "/", "/", "a")
	f("BREW-1", "/pot", "/pot", "a")
}

// RFC 9112 section 2.2: an empty line before a request is skipped. RFC 9112 section 3.2: HTTP/1.0 may come without Host, which the
// HTTP/1.1 request that goes on must have.
func TestReadsRequestsAsClientsWriteThem(t *testing.T) {
	m := newMirror(t)
	require.Equal(t, "GET / HTTP/1.1\r\nHost:\ta\t\r\n"+added("a")+"\r\n", m.forwarded(t, "\r\nGET / HTTP/1.1\r\nHost:\ta\t\r\n\r\n"))
	require.Equal(t, "GET /x HTTP/1.1\r\nHost: \r\n"+added("")+"\r\n", m.forwarded(t, "GET /x HTTP/1.0\r\n\r\n"))
	require.Equal(t, "GET / HTTP/1.1\r\nHost: A\r\n"+added("A")+"\r\n", m.forwarded(t, "GET / HTTP/1.0\r\nHost: A\r\nConnection: keep-alive\r\n\r\n"))
}

// RFC 9110 section 7.6.1: what belongs to one connection ends with it, whichever of several Connection lines names it.
func TestEndsHopByHopFieldsOfRequests(t *testing.T) {
	m := newMirror(t)
	f := func(lines, want string) {
		t.Helper()
		require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\n"+want+added("a")+"\r\n", m.forwarded(t, "GET / HTTP/1.1\r\nHost: a\r\n"+lines+"\r\n"))
	}
	f("Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX: 1\r\nProxy-Authorization: Basic eDp5\r\nProxy-Authenticate: x\r\n", "X: 1\r\n")
	f("X-Hop: 1\r\nconnection: x-HOP , , close\r\nX: 1\r\nX-Other: 2\r\nCONNECTION: x-other\r\nx-hop: 3\r\n", "X: 1\r\n")
	f("Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nX: 1\r\n", "X: 1\r\n")
	f("Trailer: X-Sum\r\nUpgrade: websocket\r\nX: 1\r\n", "X: 1\r\n")
	f("Expect: 100-continue\r\nX: 1\r\n", "X: 1\r\n") // without a body nothing is expected: RFC 9110 section 10.1.1
	f("TE: gzip\r\n", "")
}

// RFC 9110 section 7.6.1: a client that names an end-to-end field as its connection's would have it taken away from the server.
func TestIgnoresTheNominationOfFieldsThatServersRelyOn(t *testing.T) {
	m := newMirror(t)
	lines := "Host: a\r\nContent-Length: 0\r\nAuthorization: Basic eDp5\r\nCookie: a=b\r\nForwarded: for=x\r\nX-Forwarded-For: 9.9.9.9\r\nX-Request-ID: 7\r\nVia: 1.1 x\r\n"
	head := m.forwarded(t, "POST / HTTP/1.1\r\n"+lines+
		"Connection: host, content-length, transfer-encoding, authorization, cookie, x-forwarded-for, x-forwarded-host, x-forwarded-proto, x-request-id, via\r\n\r\n")
	require.Equal(t, "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eDp5\r\nCookie: a=b\r\nX-Request-ID: 7\r\nVia: 1.1 x\r\n"+added("a")+"Content-Length: 0\r\n\r\n", head)
}

// RFC 9110 section 10.1.4: TE is of one hop; trailers is the member that a proxy can ask for itself.
func TestAsksForTrailersWhenTheClientDoes(t *testing.T) {
	m := newMirror(t)
	for _, te := range []string{"trailers", "gzip;q=0.5 ,\tTrailers", "trailers, deflate"} {
		require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\n"+added("a")+"TE: trailers\r\nConnection: TE\r\n\r\n",
			m.forwarded(t, "GET / HTTP/1.1\r\nTE: "+te+"\r\nHost: a\r\nConnection: TE\r\n\r\n"))
	}
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\n"+added("a")+"\r\n",
		m.forwarded(t, "GET / HTTP/1.0\r\nTE: trailers\r\nHost: a\r\n\r\n"), "RFC 9110 section 10.1.4: not in HTTP/1.0")
}

// Servers that turn names into variables read X_Y as X-Y (RFC 3875 section 4.1.18), so that a client could write what only a proxy may.
func TestDropsNamesWithUnderscoresUnlessToldOtherwise(t *testing.T) {
	request := "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1.2.3.4\r\nX: 1\r\n_: 1\r\n\r\n"
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n"+added("a")+"\r\n", newMirror(t).forwarded(t, request))
	require.Equal(t, "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1.2.3.4\r\nX: 1\r\n_: 1\r\n"+added("a")+"\r\n",
		newMirror(t, "underscores: true\n").forwarded(t, request))
}

// RFC 9110 section 8.6 and RFC 9112 section 6: the framing is written anew. A method has no say in it, and a request without a body gets no length.
func TestFramesRequestsAnew(t *testing.T) {
	bodies := make(chan string, 1)
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		for head := c.readHead(); head != ""; head = c.readHead() {
			body, trailer := "", ""
			switch {
			case strings.Contains(head, "Transfer-Encoding: chunked\r\n"):
				body, trailer = c.readChunked()
			case strings.Contains(head, "Content-Length: 5\r\n"):
				body = c.readN(5)
			}
			bodies <- head + body + trailer
			c.send(plainOK)
		}
	}))
	c := p.dial()
	f := func(head, body, wantFraming, wantBody string) {
		t.Helper()
		require.Contains(t, c.ask(head+"\r\nHost: a\r\n"+body), " 200 OK\r\n")
		require.Equal(t, "ok", c.readN(2))
		require.Equal(t, head+"\r\nHost: a\r\n"+added("a")+wantFraming+"\r\n"+wantBody, receive(t, bodies))
	}
	f("POST / HTTP/1.1", "\r\n", "", "")
	f("POST / HTTP/1.1", "Content-Length: 0\r\n\r\n", "Content-Length: 0\r\n", "")
	f("POST / HTTP/1.1", "content-length:\t00005 \r\n\r\nhello", "Content-Length: 5\r\n", "hello")
	f("GET / HTTP/1.1", "Content-Length: 5\r\n\r\nhello", "Content-Length: 5\r\n", "hello")
	f("DELETE / HTTP/1.1", "TRANSFER-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n", "hello\r\n")
	f("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n", "\r\n")
	f("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nhe\r\n0003 ;x\r\nllo\r\n000;last\r\n\r\n", "Transfer-Encoding: chunked\r\n", "hello\r\n")
	p.awaitQuiet(1)
}

// RFC 9110 section 6.5.1: trailers of a request that announces them go on, but for those that may not be trailers. Unannounced ones are dropped,
// and no extension of a chunk goes further (RFC 9112 section 7.1.1).
func TestPassesTrailersOfRequestsOn(t *testing.T) {
	got := make(chan string, 1)
	p := inFront(t, newOrigin(t, func(c *peerConn) {
		for head := c.readHead(); head != ""; head = c.readHead() {
			body, trailer := c.readChunked()
			got <- head + body + trailer
			c.send(plainOK)
		}
	}))
	f := func(announced, want string) {
		t.Helper()
		const trailer = "X-Sum: 1\r\nHost: b\r\nContent-Length: 3\r\nAuthorization: x\r\nX-Forwarded-For: 1.1.1.1\r\nTransfer-Encoding: chunked\r\nx-Sum: 2\r\nCookie: c\r\nX_Sum: 3\r\n\r\n"
		head := "POST / HTTP/1.1\r\nHost: a\r\n"
		// In one piece with the head, and in pieces behind it.
		c := p.dial()
		require.Contains(t, c.ask(head+announced+"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"+trailer), " 200 OK\r\n")
		require.Equal(t, head+added("a")+"Transfer-Encoding: chunked\r\n"+announced+"\r\nab"+want, receive(t, got))
		c.readN(2)
		c.send(head + announced + "Transfer-Encoding: chunked\r\n\r\n2\r\na")
		for _, part := range []string{"b\r", "\n0\r", "\nX-S", strings.TrimPrefix(trailer, "X-S")} {
			c.send(part)
		}
		require.Contains(t, c.readHead(), " 200 OK\r\n")
		require.Equal(t, head+added("a")+"Transfer-Encoding: chunked\r\n"+announced+"\r\nab"+want, receive(t, got))
	}
	f("Trailer: X-Sum\r\nTrailer: x-other, X-Sum\r\n", "X-Sum: 1\r\nx-Sum: 2\r\n\r\n")
	f("", "\r\n")
}

// RFC 9112 section 9.3.2: pipelined requests are answered in their order, also when the first takes longest, with bodies between them.
func TestAnswersPipelinedRequestsInOrder(t *testing.T) {
	release := make(chan struct{})
	o := newOrigin(t, func(c *peerConn) {
		for head := c.readHead(); head != ""; head = c.readHead() {
			path := strings.Fields(head)[1]
			body := path
			if strings.Contains(head, "chunked") {
				data, _ := c.readChunked()
				body += data
			}
			if strings.Contains(head, "Content-Length: 3") {
				body += c.readN(3)
			}
			if path == "/0" {
				<-release
			}
			answer := "HTTP/1.1 200 OK\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n"
			if !strings.HasPrefix(head, "HEAD") {
				answer += body
			}
			c.send(answer)
		}
	})
	p := inFront(t, o)
	c := p.dial()
	c.send("GET /0 HTTP/1.1\r\nHost: a\r\n\r\nPOST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\nHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n" +
		"POST /5 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ng")
	eventually(t, "the first request", func() bool { return p.inFlight() == 1 })
	close(release)
	for _, want := range []string{"/0", "/1abc", "/2def", "", "/4"} {
		require.Contains(t, c.readHead(), " 200 OK\r\n")
		require.Equal(t, want, c.readN(len(want)))
	}
	c.send("hiGET /6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /7 HTTP/1.1\r\nHost: a\r\n\r\n")
	require.Contains(t, c.readHead(), " 200 OK\r\n")
	require.Equal(t, "/5ghi", c.readN(5))
	rest, _ := c.readAll()
	require.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/6", rest, "RFC 9112 section 9.6: nothing behind close is answered")
	p.awaitQuiet(1)
	require.EqualValues(t, 1, o.accepted.Load())
}

// A request of many pieces, and many requests in one piece, are read alike.
func TestReadsRequestsInWhateverPieces(t *testing.T) {
	m := newMirror(t)
	request := "GET /x HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n"
	c := m.dial()
	for i := range request {
		c.send(request[i : i+1])
	}
	require.Contains(t, c.readHead(), " 200 OK\r\n")
	c.readN(2)
	require.Equal(t, "GET /x HTTP/1.1\r\nHost: a\r\nX: 1\r\n"+added("a")+"\r\n", receive(t, m.heads))
	// More than a buffer holds, so that a head lies across its end, and one that needs a larger buffer.
	long := "GET /y HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 3000) + "\r\n\r\n"
	const many = 40
	go c.send(strings.Repeat(long, many))
	for range many {
		require.Contains(t, c.readHead(), " 200 OK\r\n")
		c.readN(2)
		require.Contains(t, receive(t, m.heads), strings.Repeat("x", 3000)+"\r\nX-Forwarded-For")
	}
	large := "GET /z HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 30000) + "\r\n\r\n"
	c.send(large + large)
	for range 2 {
		require.Contains(t, c.readHead(), " 200 OK\r\n")
		c.readN(2)
		require.Contains(t, receive(t, m.heads), strings.Repeat("x", 30000)+"\r\nX-Forwarded-For")
	}
	m.awaitQuiet(1)
}

// RFC 9110 section 9.3.6: CONNECT asks for a tunnel that l7 does not give, whoever asks.
func TestRefusesConnect(t *testing.T) {
	m := newMirror(t)
	c := m.dial()
	head := c.ask("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
	require.Contains(t, head, "HTTP/1.1 501 ")
	require.Contains(t, head, "method_not_supported")
	require.Empty(t, m.heads)
}
