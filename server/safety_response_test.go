package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// oddServer answers the first request as a script has it, and every other connection's with "next".
type oddServer struct {
	net.Addr
	conns  atomic.Int64
	reused atomic.Bool   // the connection of the first request got a second one
	over   chan struct{} // closed when the proxy has closed that connection
	second chan struct{} // says that the client has the first part of the response
	sent   chan struct{} // one for each part
}

// ending is what a server does when it has sent all that it has to say.
type ending func(c *peerConn)

func stays(*peerConn)    {}
func fin(c *peerConn)    { _ = c.CloseWrite() }
func breaks(c *peerConn) { c.abort() }

// oddly answers with the parts, each sent when the client has the one before.
func oddly(t *testing.T, end ending, parts ...string) *oddServer {
	o := &oddServer{over: make(chan struct{}), second: make(chan struct{}), sent: make(chan struct{}, len(parts))}
	o.Addr = scripted(t, func(c *peerConn) {
		if o.conns.Add(1) > 1 {
			for c.readHead() != "" {
				c.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
			}
			return
		}
		defer close(o.over)
		if c.readHead() == "" {
			return
		}
		for i, part := range parts {
			if i > 0 {
				<-o.second
			}
			c.send(part)
			o.sent <- struct{}{}
		}
		end(c)
		more, _ := io.ReadAll(c.r)
		o.reused.Store(len(more) > 0)
	})
	return o
}

// requireUnused checks that the connection was closed by the proxy without a further request on it, that the next
// client's answer is its own, and that nothing is left in flight.
func (o *oddServer) requireUnused(t *testing.T, p *proxy) {
	t.Helper()
	p.settle()
	require.Zero(t, p.kept())
	require.Equal(t, "next", p.get("/").body)
	until(t, func() bool { return isClosed(o.over) }, "the connection to the server stays open")
	require.False(t, o.reused.Load())
	require.EqualValues(t, 2, o.conns.Load())
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestBadResponseBeforeAnythingWasSent has a server whose response cannot be passed on from its start: 502, with the
// cause in the answer and in the log, on a client connection that goes on. RFC 9112 sections 4, 6.3 and 7.1.
func TestBadResponseBeforeAnythingWasSent(t *testing.T) {
	f := func(rfc, word string, end ending, response string) {
		t.Helper()
		o := oddly(t, end, response)
		p := inFront(t, o)
		c := p.dial()
		c.send(good)
		r := c.readReply("GET")
		require.NoError(t, r.err, "%s: %.200q", rfc, response)
		require.Equal(t, 502, r.StatusCode, "%s: %.200q", rfc, response)
		require.Contains(t, r.Header.Get("Proxy-Status"), word, "%s: %.200q", rfc, response)
		require.Contains(t, r.body, word)
		p.logged(caused(word), `"status":502`)
		c.send(good) // what failed was the server
		require.Equal(t, "next", c.readReply("GET").body)
		if p.kept() == 1 {
			p.Snapshot().backends[0].Members()[0].Close()
		}
		until(t, func() bool { return isClosed(o.over) }, "the connection to the server stays open: %.200q", response)
		require.False(t, o.reused.Load())
	}
	bad := func(rfc, response string) { t.Helper(); f(rfc, "bad_response", stays, response) }
	field := func(rfc, text string) {
		t.Helper()
		bad(rfc, "HTTP/1.1 200 OK\r\n"+text+"\r\n\r\n0\r\n\r\n")
	}
	for _, length := range []string{"5\r\nContent-Length: 5", "5\r\nContent-Length: 6", "+5", "-5", "5, 5", "5 5", "0x5", "", "9223372036854775808", times(40, "9")} {
		field("RFC 9112 6.3", "Content-Length: "+length)
	}
	field("RFC 9112 6.1", "Content-Length: 5\r\nTransfer-Encoding: chunked")
	field("RFC 9112 6.1", "Transfer-Encoding: chunked\r\nContent-Length: 5")
	for _, coding := range []string{"gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", "", "chunked\r\nTransfer-Encoding: chunked"} {
		field("RFC 9112 6.1", "Transfer-Encoding: "+coding)
	}
	bad("RFC 9112 6.1", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	field("RFC 9112 2.2", "X: 1\nY: 2")
	field("RFC 9112 2.2", "X: 1\rSet-Cookie: split=1")
	field("RFC 9112 2.2", "Location: /\r\r\nSet-Cookie: split=1")
	field("RFC 9110 5.5", "X: \x00")
	field("RFC 9110 5.5", "X: \x0b")
	field("RFC 9110 5.5", "X\x00: 1")
	field("RFC 9112 5.2", "X: 1\r\n 2")
	field("RFC 9112 5.1", "X : 1")
	field("RFC 9112 5.1", ": 1")
	field("RFC 9112 5", "no colon")
	bad("RFC 9112 2.2", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
	bad("RFC 9112 4", "HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok")
	for _, line := range []string{
		"garbage", "HTTP/1.1", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 -20 OK", "HTTP/1.1  200 OK", "http/1.1 200 OK", "ICY 200 OK", " HTTP/1.1 200 OK", "",
		"SSH-2.0-OpenSSH_9.2", "<html>", "HTTP/2 200", "GET / HTTP/1.1",
	} {
		bad("RFC 9112 4", line+"\r\nContent-Length: 2\r\n\r\nok")
	}
	bad("RFC 9112 2.3", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
	bad("RFC 9112 2.3", "HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok")
	bad("RFC 9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	bad("RFC 9113 3.4", "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\r\n\x00")
	bad("RFC 9110 7.8", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	bad("RFC 9110 7.8", "HTTP/1.1 101 Switching Protocols\r\n\r\n")
	bad("RFC 9110 15.2", times(33, "HTTP/1.1 103 Early Hints\r\n\r\n")+plainOK)
	bad("RFC 9110 15.2", "HTTP/1.1 103 Early Hints\r\nX: 1\n\r\n"+plainOK)
	bad("RFC 9110 15.2", "HTTP/1.1 103 Early Hints\r\n\r\ngarbage garbage\r\n\r\n")
	bad("limits.response_header", "HTTP/1.1 200 OK\r\nX: "+times(64<<10, "x"))
	bad("limits.response_header", "HTTP/1.1 200 "+times(64<<10, "x"))
	bad("limits.response_header", "HTTP/1.1 200 OK\r\n"+times(16<<10, "X: 1\r\n"))

	// A body whose first part is bad already: nothing of it has been sent.
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, chunk := range []string{
		"x\r\n", "-1\r\na\r\n", "3 \r\nabc\r\n", "3\nabc\r\n", "ffffffffffffffff\r\n", "3\r\nabcd\r\n", "3\r\nabc\n", "3;\x00\r\nabc\r\n", "0\r\n\n", "0\r\nX: 1\n\r\n", "0\r\nX : 1\r\n\r\n",
		"3;" + times(5<<10, "x") + "\r\n", "0\r\nX: " + times(9<<10, "x") + "\r\n\r\n",
	} {
		bad("RFC 9112 7.1", chunked+chunk)
	}
	for _, end := range []ending{fin, breaks} {
		f("RFC 9112 9.6", "server_closed", end, "")
		f("RFC 9112 8", "server_closed", end, "HTTP/1.1 200 OK\r\nContent-Len")
		f("RFC 9112 8", "server_closed", end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
		f("RFC 9110 15.2", "server_closed", end, "HTTP/1.1 103 Early Hints\r\n\r\n")
	}
}

// TestResponseCutOff has a response end too early, or turn bad, when a part of it has been sent: the client sees that it
// is not whole. RFC 9112 section 8: fewer bytes than announced, no last chunk, or a reset where the end of the connection would
// have been the end of the body.
func TestResponseCutOff(t *testing.T) {
	f := func(rfc, word string, end ending, parts ...string) {
		t.Helper()
		for _, version := range []string{"1.1", "1.0"} {
			o := oddly(t, end, parts...)
			p := inFront(t, o)
			c := p.dial()
			c.send("GET / HTTP/" + version + "\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" + follower)
			head := c.readHead()
			startsWith(t, head, "HTTP/1.1 200 OK\r\n")
			start := c.readN(3)
			require.Equal(t, "abc", strings.TrimPrefix(start+c.readN(3*strings.Count(start, "3")), "3\r\n"))
			close(o.second)
			rest, err := c.readAll()
			require.NotContains(t, rest, "next", rfc)
			require.NotContains(t, rest, "\r\n0\r\n", "%s: %q", rfc, parts)
			if version == "1.0" && !strings.Contains(head, "Content-Length") {
				require.True(t, isNetwork(err), "%s: %q: a clean end of %q", rfc, parts, rest)
			}
			p.logged(caused(word), "response cut off")
			o.requireUnused(t, p)
		}
	}
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
	for _, end := range []ending{fin, breaks} {
		f("RFC 9112 8", "response_cut", end, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "")
		f("RFC 9112 8", "response_cut", end, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "defghi")
		for _, more := range []string{"", "3", "3\r", "3\r\n", "3\r\nde", "3\r\ndef", "3\r\ndef\r", "3\r\ndef\r\n", "0", "0\r\n", "0\r\n\r", "0\r\nX: 1\r\n"} {
			f("RFC 9112 8", "response_cut", end, chunked, more)
		}
	}
	f("RFC 9112 9.8", "response_cut", breaks, "HTTP/1.1 200 OK\r\n\r\nabc", "def")
	for _, more := range []string{"x\r\n", "\r\n", "-1\r\n", "3\ndef\r\n", "3\r\ndefg\r\n", "3\r\ndef\n0\r\n\r\n", "ffffffffffffffff\r\n", "0\r\n\n", "0\r\nX : 1\r\n\r\n", "0\r\nX: " + times(9<<10, "x"), "HTTP/1.1 200 OK\r\n\r\n"} {
		f("RFC 9112 7.1", "bad_response", stays, chunked, more)
	}
}

// TestBytesBeyondTheResponse has a server send more than its response holds. The client gets the response alone, and the connection
// is not used again, whether the rest comes with the response, right behind it, or when the connection is idle already.
func TestBytesBeyondTheResponse(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	f := func(method, response, body string) {
		t.Helper()
		for _, together := range []bool{true, false} {
			parts := []string{response + poison}
			if !together {
				parts = []string{response, poison}
			}
			o := oddly(t, stays, parts...)
			p := inFront(t, o)
			c := p.dial()
			c.send(method + " / HTTP/1.1\r\nHost: a\r\n\r\n")
			r := c.readReply(method)
			require.NoError(t, r.err)
			require.Equal(t, body, r.body)
			if !together {
				p.settle()
				require.Equal(t, 1, p.kept())
				<-o.sent
				o.second <- struct{}{}
				<-o.sent // on the loopback interface it has arrived then
			}
			c.send(good)
			require.Equal(t, "next", c.readReply("GET").body)
			p.settle()
			require.Equal(t, 1, p.kept())
			until(t, func() bool { return isClosed(o.over) }, "the connection to the server stays open")
			require.False(t, o.reused.Load())
			require.Equal(t, "next", p.get("/").body)
			require.EqualValues(t, 2, o.conns.Load())
		}
	}
	f("GET", plainOK, "ok")
	f("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok")
	f("GET", "HTTP/1.1 204 No Content\r\n\r\n", "")
	f("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n", "")
	f("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", "")
	f("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "")
	f("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "")
}

// TestResponseHeadLimit has response heads of exactly the limit, and one byte more.
func TestResponseHeadLimit(t *testing.T) {
	const limit = 64 << 10
	f := func(p *proxy, status int) {
		t.Helper()
		r := p.get("/")
		require.NoError(t, r.err)
		require.Equal(t, status, r.StatusCode)
		if status == 200 {
			require.Equal(t, "ok", r.body)
		}
	}
	head := func(size int) string {
		const fixed = "Content-Length: 2\r\nX: \r\n\r\n"
		return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + times(size-len(fixed), "x") + "\r\n\r\nok"
	}
	f(inFront(t, answering(t, head(limit))), 200)
	f(inFront(t, answering(t, head(limit+1))), 502)
	f(inFront(t, answering(t, head(1000)), "limits: {response_header: 1000B}"), 200)
	f(inFront(t, answering(t, head(1001)), "limits: {response_header: 1000B}"), 502)
}

// TestResponseSplitting has the bytes that could end a header line early reach the server and the client only as what they
// are: escaped ones stay escaped, and others were refused (TestRefuses, TestBadResponseBeforeAnythingWasSent). RFC 9110 section 5.5.
func TestResponseSplitting(t *testing.T) {
	p := inFront(t, scripted(t, func(c *peerConn) {
		for {
			head := c.readHead()
			if head == "" {
				return
			}
			target := strings.Fields(head)[1]
			c.send("HTTP/1.1 302 Found\r\nLocation: " + target + "\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	for _, target := range []string{"/%0d%0aSet-Cookie:%20x=1", "/%0D%0A%0D%0AHTTP/1.1%20200%20OK", "/%00", "/%E5%98%8A%E5%98%8DSet-Cookie:x", "/\xe5\x98\x8a\xe5\x98\x8dX:1"} {
		c := p.dial()
		c.send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" + follower)
		require.Equal(t, fmt.Sprintf("HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", target), c.readHead())
		require.Contains(t, c.readHead(), "Location: /follower\r\n")
	}
}
