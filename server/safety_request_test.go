package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	follower = "GET /follower HTTP/1.1\r\nHost: a\r\n\r\n"
	good     = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
)

// refused is a request that l7 must not pass on, and the status that it answers with.
type refused struct {
	rfc    string
	status int
	raw    string
	body   bool // it is the body that is at fault: the head may have been passed on
}

// refusals are item 12 of the exchange's issue.
func refusals() (all []refused) {
	f := func(rfc string, status int, raw string) { all = append(all, refused{rfc, status, raw, false}) }
	line := func(rfc string, status int, text string) { f(rfc, status, text+"\r\nHost: a\r\n\r\n") }
	field := func(rfc string, text string) {
		f(rfc, 400, "POST /x HTTP/1.1\r\nHost: a\r\n"+text+"\r\n\r\n0\r\n\r\n")
	}
	const host = "POST /x HTTP/1.1\r\nHost: a\r\n"

	field("RFC 9112 6.1", "Content-Length: 5\r\nTransfer-Encoding: chunked")
	field("RFC 9112 6.1", "Transfer-Encoding: chunked\r\nContent-Length: 5")
	field("RFC 9112 6.1", "Content-Length: 0\r\nTransfer-Encoding: chunked")
	for _, length := range []string{
		"5\r\nContent-Length: 5", "5\r\nContent-Length: 6", "+5", "-5", "5, 5", "5,6", "5 5", "0x5", "5a", "", "\"5\"", "5.0",
		"9223372036854775808", "18446744073709551621", times(40, "9"),
	} {
		field("RFC 9112 6.3", "Content-Length: "+length)
	}
	for _, coding := range []string{
		"xchunked", "chunkedx", "identity", "gzip, chunked", "chunked, gzip", "chunked, identity", "chunked, chunked", "chunked;x=1", "\"chunked\"",
		"", ",chunked", "chunked,", "\x0bchunked", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity",
	} {
		field("RFC 9112 6.1", "Transfer-Encoding: "+coding)
	}
	f("RFC 9112 6.1", 400, "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	field("RFC 9112 5.2", "X: 1\r\n 2")
	field("RFC 9112 5.2", "X: 1\r\n\tContent-Length: 5")
	field("RFC 9112 5.2", "Transfer-Encoding:\r\n chunked")
	f("RFC 9112 5.2", 400, "POST /x HTTP/1.1\r\n Host: a\r\n\r\n")
	field("RFC 9112 5.1", "Transfer-Encoding : chunked")
	field("RFC 9112 5.1", "Content-Length\t: 5")
	field("RFC 9112 2.2", "X: 1\rContent-Length: 5")
	field("RFC 9112 2.2", "X: 1\nContent-Length: 5")
	field("RFC 9112 2.2", "\rX: 1")
	f("RFC 9112 2.2", 400, "GET /x HTTP/1.1\nHost: a\n\n")
	f("RFC 9112 2.2", 400, "GET /x HTTP/1.1\r\nHost: a\n\r\n")
	f("RFC 9112 2.2", 400, "GET /x HTTP/1.1\r\nHost: a\r\n\n")
	f("RFC 9112 2.2", 400, "\n"+follower)
	f("RFC 9112 2.2", 400, "\r\n\r\n"+follower)
	for _, c := range "\x00\x01\x08\x0b\x0c\x1f\x7f" {
		field("RFC 9110 5.5", "X: 1"+string(c))
		field("RFC 9110 5.5", "X"+string(c)+": 1")
	}
	for _, name := range []string{"", "X Y", "X(", "X\x80", "X/", "\"X\""} {
		field("RFC 9110 5.1", name+": 1")
	}
	field("RFC 9112 5", "no colon")

	for _, method := range []string{"", "G(T", "G\x80T", "GET:", "\"GET\"", "G\x00T"} {
		line("RFC 9112 3.1", 400, method+" /x HTTP/1.1")
	}
	for _, l := range []string{"GET  /x HTTP/1.1", "GET /x  HTTP/1.1", "GET /x HTTP/1.1 ", " GET /x HTTP/1.1", "GET\t/x HTTP/1.1", "GET /x\tHTTP/1.1", "GET /x y HTTP/1.1", "GET /x", "GET"} {
		line("RFC 9112 3", 400, l)
	}
	for _, target := range []string{"/x\x00", "/x\x7f", "/x\x1f", "/x#y", "http://a/#y", "x", "?x", "*", "http:///x", "http://u@a/", "http://u:p@a/", "ftp://a/", "a:80"} {
		line("RFC 9112 3.2", 400, "GET "+target+" HTTP/1.1")
	}
	f("RFC 9112 3.2", 400, "GET /x HTTP/1.1\r\n\r\n")
	f("RFC 9112 3.2", 400, "GET http://a/x HTTP/1.1\r\n\r\n")
	f("RFC 9112 3.2", 400, "GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")
	f("RFC 9112 3.2", 400, "GET /x HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n")
	for _, h := range []string{
		"", "u@a", "u:p@a", "a b", "a,b", "a, a", "a/b", "a/", "http://a", "a:b", "a:99999", "a#b", "a?b", "a\\b", "%61", "a\x80", "[::1", "[::1]x", "::1", ".", "a..b",
		times(64, "a") + ".b", times(130, "a.") + "b",
	} {
		f("RFC 9112 3.2", 400, "GET /x HTTP/1.1\r\nHost: "+h+"\r\n\r\n")
	}
	for _, version := range []string{"0.9", "1.2", "1.9", "2.0", "3.0", "9.9"} {
		line("RFC 9110 15.6.6", 505, "GET /x HTTP/"+version)
	}
	for _, version := range []string{"http/1.1", "HTTP/1", "HTTP/1.10", "HTTP/11", "HTTPS/1.1", "HTTP/1.1x"} {
		line("RFC 9112 2.3", 400, "GET /x "+version)
	}
	f("RFC 9113 3.4", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	f("TLS on a plain port", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
	line("RFC 9110 9.3.6", 501, "CONNECT a:443 HTTP/1.1")
	f("RFC 9110 9.3.6", 501, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 3\r\n\r\nabc")
	f("RFC 9110 10.1.1", 417, "GET /x HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n")
	f("RFC 9110 10.1.1", 417, host+"Expect: 100-continue, tea\r\nContent-Length: 5\r\n\r\n12345")
	f("two readings of who asks", 400, "GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\nAuthorization: Basic YTpj\r\n\r\n")
	field("RFC 9110 7.6.1", "Connection: a b")
	f("RFC 9110 15.5.15", 414, "GET /"+times(8<<10, "x")+" HTTP/1.1\r\nHost: a\r\n\r\n")
	f("RFC 6585 5", 431, "GET /x HTTP/1.1\r\nHost: a\r\nX: "+times(32<<10, "x")+"\r\n\r\n")
	f("RFC 6585 5", 431, "GET /x HTTP/1.1\r\nHost: a\r\n"+times(128, "X: 1\r\n")+"\r\n")
	return append(all, badChunks(host)...)
}

// badChunks are the faults of a chunked body that comes together with its head.
func badChunks(host string) (all []refused) {
	chunks := func(rfc, body string) {
		all = append(all, refused{rfc, 400, host + "Transfer-Encoding: chunked\r\n\r\n" + body, true})
	}
	for _, size := range []string{"", "x", "-3", "+3", "0x3", " 3", "3 ", "3\t", "3x", "g", "3,3", "3\n", "8000000000000000", "fffffffffffffffff", "00000000000000003", "ffffffffffffffff"} {
		chunks("RFC 9112 7.1", size+"\r\nabc\r\n0\r\n\r\n")
	}
	chunks("RFC 9112 7.1", "3\nabc\r\n0\r\n\r\n")
	chunks("RFC 9112 7.1", "3\rabc\r\n0\r\n\r\n")
	chunks("RFC 9112 7.1", "3\r\nabc0\r\n\r\n")
	chunks("RFC 9112 7.1", "3\r\nabcd\r\n0\r\n\r\n")
	chunks("RFC 9112 7.1", "3\r\nabc\n0\r\n\r\n")
	chunks("RFC 9112 7.1", "3\r\nabc\r\r0\r\n\r\n")
	chunks("RFC 9112 7.1", "0\r\n\n")
	chunks("RFC 9112 7.1", "0\r\n\rx\r\n\r\n")
	chunks("RFC 9112 7.1.1", "3;a\nb\r\nabc\r\n0\r\n\r\n")
	chunks("RFC 9112 7.1.1", "3;a\x00b\r\nabc\r\n0\r\n\r\n")
	chunks("RFC 9112 7.1.1", "3;"+times(5<<10, "x")+"\r\nabc\r\n0\r\n\r\n")
	chunks("RFC 9112 7.1.2", "0\r\nX: 1\r\n 2\r\n\r\n")
	chunks("RFC 9112 7.1.2", "0\r\nX : 1\r\n\r\n")
	chunks("RFC 9112 7.1.2", "0\r\nX: 1\n\r\n")
	chunks("RFC 9112 7.1.2", "0\r\nX: \x00\r\n\r\n")
	chunks("RFC 9112 7.1.2", "0\r\nno colon\r\n\r\n")
	chunks("RFC 9112 7.1.2", "0\r\nX: "+times(9<<10, "x")+"\r\n\r\n")
	chunks("RFC 9112 7.1.2", "0\r\n"+times(65, "X: 1\r\n")+"\r\n")
	return all
}

// TestRefuses has every refusal reach the client: whole, byte by byte, and behind a request that is fine. The
// connection is closed behind it, a request that follows is not executed, and no server hears of either; of a body that
// turns out bad on its way it may have got the part before, without an end.
func TestRefuses(t *testing.T) {
	w := witnessing(t)
	p := inFront(t, w)
	for i, r := range refusals() {
		t.Run(fmt.Sprintf("%d/%s", i, r.rfc), func(t *testing.T) {
			c := p.dial()
			c.send(r.raw + follower)
			requireRefused(t, r, c.tail())
			require.Empty(t, w.taken(p))

			c = p.dial()
			go c.sendSlowly(r.raw + follower)
			requireRefused(t, r, c.tail())
			for _, a := range w.taken(p) {
				require.True(t, r.body && a.err != nil, "%+v", a)
			}

			c = p.dial()
			c.send(good + r.raw + follower)
			require.Equal(t, "/good", c.readReply("GET").body)
			requireRefused(t, r, c.tail())
			require.Len(t, w.taken(p), 1)
		})
	}
	p.settle()
}

func requireRefused(t *testing.T, r refused, text string) {
	t.Helper()
	startsWith(t, text, fmt.Sprintf("HTTP/1.1 %d ", r.status))
	require.Equal(t, 1, strings.Count(text, "HTTP/1.1 "), "%q", text)
	require.Contains(t, text, "\r\nConnection: close\r\n")
	require.Contains(t, text, "\r\nProxy-Status: l7; error=")
}

// TestPassesOn has what looks odd and is not: these are neither refused nor changed in what they mean.
func TestPassesOn(t *testing.T) {
	w := witnessing(t)
	p := inFront(t, w)
	f := func(rfc, raw, head, body string) {
		t.Helper()
		c := p.dial()
		c.send(raw + follower)
		require.Equal(t, 200, c.readReply("GET").StatusCode, rfc)
		require.Equal(t, "/follower", c.readReply("GET").body, rfc)
		got := w.taken(p)
		require.Len(t, got, 2, rfc)
		startsWith(t, got[0].head, head)
		require.Equal(t, body, got[0].body, rfc)
	}
	const host = "Host: a\r\n"
	f("RFC 9112 2.2", "\r\nGET /x HTTP/1.1\r\n"+host+"\r\n", "GET /x HTTP/1.1\r\n", "")
	f("RFC 9112 3.2.2", "GET http://b:80/x?y HTTP/1.1\r\n"+host+"\r\n", "GET /x?y HTTP/1.1\r\nHost: b:80\r\n", "")
	f("RFC 9112 3.2.2", "GET http://b HTTP/1.1\r\n"+host+"\r\n", "GET / HTTP/1.1\r\nHost: b\r\n", "")
	f("RFC 9112 3.2.4", "OPTIONS * HTTP/1.1\r\n"+host+"\r\n", "OPTIONS * HTTP/1.1\r\n", "")
	f("RFC 9110 5.6.3", "GET /x HTTP/1.1\r\nHost:\ta \r\nX:\t1\t\r\n\r\n", "GET /x HTTP/1.1\r\nHost:\ta \r\nX:\t1\t\r\n", "")
	f("RFC 9110 5.5", "GET /\x80\xff%00%0d%0a HTTP/1.1\r\n"+host+"X: \x80\xff\r\n\r\n", "GET /\x80\xff%00%0d%0a HTTP/1.1\r\nHost: a\r\nX: \x80\xff\r\n", "")
	f("RFC 9110 8.6", "POST /x HTTP/1.1\r\n"+host+"Content-Length: 0003\r\n\r\nabc", "POST /x HTTP/1.1\r\nHost: a\r\n", "abc")
	f("RFC 9112 6.1", "POST /x HTTP/1.1\r\n"+host+"TRANSFER-ENCODING:  CHUNKED \r\n\r\n3;x=\"\x80\" ; y\r\nabc\r\n002\r\nde\r\n000\r\n\r\n", "POST /x HTTP/1.1\r\n", "abcde")
	f("RFC 9112 7.1", "POST /x HTTP/1.1\r\n"+host+"Transfer-Encoding: chunked\r\n\r\n0000000000000003\r\nabc\r\n0\r\n"+times(64, "X: 1\r\n")+"\r\n", "POST /x HTTP/1.1\r\n", "abc")
	f("RFC 9112 7.1.1", "POST /x HTTP/1.1\r\n"+host+"Transfer-Encoding: chunked\r\n\r\n3;"+times(4<<10, "x")+"\r\nabc\r\n0\r\n\r\n", "POST /x HTTP/1.1\r\n", "abc")
	f("RFC 9110 9.1", "!#$%&'*+-.^_`|~ /x HTTP/1.1\r\n"+host+"\r\n", "!#$%&'*+-.^_`|~ /x HTTP/1.1\r\n", "")
	f("a body of GET", "GET /x HTTP/1.1\r\n"+host+"Content-Length: 3\r\n\r\nabc", "GET /x HTTP/1.1\r\n", "abc")
	p.settle()
}

// TestUnreadBodyIsNotARequest has requests answered by the proxy itself while their bodies, which look like requests, are on their way
// or not: what was announced as a body never becomes a request. RFC 9112 section 9.3.
func TestUnreadBodyIsNotARequest(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	w := witnessing(t)
	p := start(t, fmt.Sprintf("users: {u: p}\nbackends:\n  a: {servers: [{address: '%s'}], users: {}}\n  closed: {servers: [{address: '%[1]s'}]}\n", w))
	f := func(host, body string, status int) {
		t.Helper()
		for n := strings.Index(body, "\r\n\r\n") + 4; n < len(body); n++ {
			c := p.dial()
			c.send("POST /x HTTP/1.1\r\nHost: " + host + "\r\n" + body[:n])
			r := c.readReply("POST")
			require.Equal(t, status, r.StatusCode)
			require.True(t, r.Close)
			c.send(body[n:] + follower)
			require.Empty(t, c.tail())
		}
		require.Empty(t, w.taken(p))
		c := p.dial()
		c.send("POST /x HTTP/1.1\r\nHost: " + host + "\r\n" + body + good)
		require.Equal(t, status, c.readReply("POST").StatusCode)
		require.Equal(t, "/good", c.readReply("GET").body) // the body had arrived: nothing is in doubt
		got := w.taken(p)
		require.Len(t, got, 1)
	}
	f("closed", fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(smuggled), smuggled), 401)
	f("closed", fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled), 401)
	f("unknown", fmt.Sprintf("Authorization: Basic dTpw\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled), 404)
	f("unknown", fmt.Sprintf("Authorization: Basic dTpw\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled), 404)
}
