package server

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	chunkedPost = "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	lengthPost  = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
)

// TestUploadThatTurnsBad has the fault of a chunked body come when its start is with the server already: the server's
// connection is cut, so that the request does not look whole to it, the client gets 400, and what follows is not executed.
func TestUploadThatTurnsBad(t *testing.T) {
	w := witnessing(t)
	p := inFront(t, w)
	f := func(rfc, bad string) {
		t.Helper()
		c := p.dial()
		c.send(chunkedPost + "3\r\nabc\r\n")
		until(t, func() bool { return p.pending() == 1 }, "the upload did not start")
		c.send(bad + follower)
		requireRefused(t, refused{rfc: rfc, status: 400}, c.tail())
		requireCut(p, w, "abc")
	}
	f("RFC 9112 7.1", "x\r\nabc\r\n0\r\n\r\n")
	f("RFC 9112 7.1", "\r\n")
	f("RFC 9112 7.1", "-1\r\n")
	f("RFC 9112 7.1", "3\nabc\r\n0\r\n\r\n")
	f("RFC 9112 7.1", "ffffffffffffffff\r\n")
	f("RFC 9112 7.1", "8000000000000000\r\n")
	f("RFC 9112 7.1", "00000000000000000\r\n\r\n")
	f("RFC 9112 7.1", "0\r\n\n")
	f("RFC 9112 7.1", "0\n\r\n")
	f("RFC 9112 7.1.1", "3;"+times(5<<10, "x")+"\r\nabc\r\n0\r\n\r\n")
	f("RFC 9112 7.1.1", times(1100, "1;extend\r\nx\r\n")+"0\r\n\r\n")
	f("RFC 9112 7.1.2", "0\r\nX: "+times(9<<10, "x")+"\r\n\r\n")
	f("RFC 9112 7.1.2", "0\r\n"+times(65, "X: 1\r\n")+"\r\n")
	f("RFC 9112 7.1.2", "0\r\nX : 1\r\n\r\n")
	p.logged(caused("bad_request"))
}

// requireCut checks that the server got a request with this start of a body, and no end of it.
func requireCut(p *proxy, w *witness, start string) {
	t := p.t
	t.Helper()
	got := w.taken(p)
	require.Len(t, got, 1)
	require.True(t, errors.Is(got[0].err, io.ErrUnexpectedEOF) || errors.Is(got[0].err, io.EOF) || isNetwork(got[0].err), "%v", got[0].err)
	startsWith(t, got[0].body, start)
	require.Zero(t, strings.Count(got[0].body, "follower"))
}

// TestUploadCutOff has the client leave in the middle of a body: its end, or a reset, is an abort. The server's
// connection is cut and not kept, and it is not the server's fault. RFC 9112 section 8.
func TestUploadCutOff(t *testing.T) {
	w := witnessing(t)
	p := inFront(t, w)
	f := func(sent, more, start string, leave func(c *peerConn)) {
		t.Helper()
		c := p.dial()
		c.send(sent)
		until(t, func() bool { return p.pending() == 1 }, "the upload did not start")
		c.send(more)
		leave(c)
		require.Empty(t, c.tail())
		requireCut(p, w, start)
	}
	end := func(c *peerConn) { _ = c.CloseWrite() }
	for _, leave := range []func(c *peerConn){end, (*peerConn).abort} {
		f(chunkedPost, "", "", leave)
		f(chunkedPost+"3\r\nabc\r\n", "", "abc", leave)
		f(chunkedPost+"3\r\nabc\r\n", "5\r\nab", "abc", leave)
		f(chunkedPost+"3\r\nabc\r\n", "5", "abc", leave)
		f(chunkedPost+"3\r\nabc\r\n", "0\r\n", "abc", leave)
		f(chunkedPost+"3\r\nabc\r\n", "0\r\nX: 1\r\n", "abc", leave)
		f(lengthPost, "", "", leave)
		f(lengthPost+"abc", "defghi", "abc", leave)
	}
	p.logged(caused("client_gone"))
	require.NotContains(t, p.log.String(), caused("server_closed"))
	require.Equal(t, "/next", p.get("/next").body)
}

// TestUploadCutOffWithItsHead has an upload that ends before anything was passed on, but for what came with the head.
func TestUploadCutOffWithItsHead(t *testing.T) {
	w := witnessing(t)
	p := inFront(t, w)
	for _, raw := range []string{chunkedPost + "3\r\nabc\r\n", chunkedPost + "3\r\nabc\r\n0\r\n", lengthPost + "abcdefghi", lengthPost} {
		c := p.dial()
		c.send(raw)
		_ = c.CloseWrite()
		require.Empty(t, c.tail())
		for _, a := range w.taken(p) {
			require.Error(t, a.err)
		}
	}
	for _, raw := range []string{"GET /x HTTP/1.1\r\nHost: a\r\n", "GET /x", "\r\n"} { // a head without its end is no request
		c := p.dial()
		c.send(raw)
		_ = c.CloseWrite()
		require.Empty(t, c.tail())
		require.Empty(t, w.taken(p))
	}
}

// TestUploadIsFramedAnew has the server get one framing, ours: sizes, extensions and the places where chunks end are not
// passed on (RFC 9112 sections 7.1 and 7.1.1), and trailers that nobody announced neither.
func TestUploadIsFramedAnew(t *testing.T) {
	w := witnessing(t)
	p := inFront(t, w)
	c := p.dial()
	c.send(chunkedPost + "0003;a=b;c=\"d\"\r\nabc\r\n")
	until(t, func() bool { return p.pending() == 1 }, "the upload did not start")
	c.send("1 \t;x\r\nd\r\n01\r\ne\r\n0;last\r\nContent-Length: 5\r\nHost: b\r\n\r\n" + follower)
	require.Equal(t, "/up", c.readReply("POST").body)
	got := w.taken(p)
	require.NotEmpty(t, got)
	require.Equal(t, "abcde", got[0].body)
	require.NoError(t, got[0].err)
	require.NotContains(t, got[0].head, "Content-Length")
}

// TestTrailersThatMayNotBeAreNotAnnounced has names in Trailer that some parsers refuse a message for. RFC 9110 section 6.5.1.
func TestTrailersThatMayNotBeAreNotAnnounced(t *testing.T) {
	got := make(chan string, 1)
	p := inFront(t, scripted(t, func(c *peerConn) {
		got <- c.readHead()
		c.send("HTTP/1.1 200 OK\r\nTrailer: Host,, B;, Etag\t,Content-Length\r\nTrailer: Content-Type\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nEtag: 1\r\nHost: b\r\n\r\n")
	}))
	c := p.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: Transfer-Encoding, X\r\nTrailer: Trailer\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n")
	head := <-got
	require.Contains(t, head, "\r\nTrailer: X\r\n")
	require.Equal(t, 1, strings.Count(head, "Trailer"))
	head = c.readHead()
	require.Contains(t, head, "\r\nTrailer: Etag\r\n")
	require.Equal(t, 1, strings.Count(head, "Trailer"))
	require.Equal(t, "0\r\nEtag: 1\r\n\r\n", c.readHead())
}
