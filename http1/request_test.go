package http1

import (
	"fmt"
	"strings"
	"testing"
)

// verdict is all that Parse finds out, in one comparable line.
func (r *Request) verdict(n int, err error) string {
	if err != nil {
		return err.Error()
	}
	if n == 0 {
		return "more"
	}
	return fmt.Sprintf("n=%d %q %q form=%d host=%q name=%q scheme=%q path=%q query=%q expect=%v %s", n, r.Method(), r.Target(), r.Form,
		r.Host(), r.Hostname(), r.Scheme(), r.Path(), r.Query(), r.Expect100, r.Head.verdict())
}

func (h *Head) verdict() string {
	var b strings.Builder
	fmt.Fprintf(&b, "1.%d length=%d chunked=%v close=%v keepalive=%v trailers=%v persistent=%v upgrade=%q", h.Minor,
		h.ContentLength, h.Chunked, h.Close, h.KeepAlive, h.TETrailers, h.Persistent(), h.Upgrade())
	for i := range h.Fields {
		f := &h.Fields[i]
		fmt.Fprintf(&b, " [%d %q %q]", f.Kind, f.NameIn(h.buf), f.ValueIn(h.buf))
	}
	return b.String()
}

// parser is what Request and Response share.
type parser interface {
	Parse(buf []byte, lim Limits) (int, error)
	verdict(n int, err error) string
	Reset()
}

// checkSplits feeds msg to p one byte more at a time, at ever new places, and in two portions at every place: the
// verdict must be that of the whole, and nothing but a refusal may come before the message is complete.
func checkSplits(t testing.TB, p parser, msg string, lim Limits) {
	t.Helper()
	p.Reset()
	n, err := p.Parse([]byte(msg), lim)
	whole := p.verdict(n, err)
	for i := range len(msg) + 1 {
		p.Reset()
		n, err := p.Parse([]byte(msg[:i]), lim)
		if n == 0 && err == nil {
			n, err = p.Parse([]byte(msg), lim)
		}
		if got := p.verdict(n, err); got != whole {
			t.Fatalf("split at %d of %q: got %s, want %s", i, msg, got, whole)
		}
	}
	p.Reset()
	for i := range len(msg) + 1 {
		n, err := p.Parse([]byte(msg[:i]), lim)
		if n == 0 && err == nil {
			continue
		}
		if got := p.verdict(n, err); got != whole {
			t.Fatalf("%d bytes, one at a time, of %q: got %s, want %s", i, msg, got, whole)
		}
		return
	}
	if whole != "more" {
		t.Fatalf("one at a time of %q: got more, want %s", msg, whole)
	}
}

// testLimits are far from what the tables need.
var testLimits = Limits{Line: 200, Header: 2000, Fields: 40}

func TestRequestAccepted(t *testing.T) {
	var r Request
	f := func(rfc, msg, want string) {
		t.Helper()
		r.Reset()
		n, err := r.Parse([]byte(msg), testLimits)
		if got := r.verdict(n, err); n != len(msg) || !strings.Contains(got, want) {
			t.Errorf("%s: %q: got %s, want %s", rfc, msg, got, want)
		}
		checkSplits(t, &r, msg+"GET /next", testLimits)
	}
	const host = "Host: a\r\n"
	// The request line.
	f("RFC 9112 3", "GET / HTTP/1.1\r\n"+host+"\r\n", `"GET" "/" form=0 host="a" name="a" scheme="" path="/" query="" expect=false 1.1 length=-1 chunked=false`)
	f("RFC 9112 2.2", "\r\nGET / HTTP/1.1\r\n"+host+"\r\n", `"GET" "/"`)
	f("RFC 9112 2.3", "GET / HTTP/1.0\r\n\r\n", `host="" name="" scheme="" path="/" query="" expect=false 1.0`)
	f("RFC 9110 9.1", "!#$%&'*+-.^_`|~aZ9 / HTTP/1.1\r\n"+host+"\r\n", `|~aZ9" "/"`)
	f("RFC 9112 3.2.1", "GET /a/b?c=/d?e HTTP/1.1\r\n"+host+"\r\n", `path="/a/b" query="c=/d?e"`)
	f("RFC 9112 3.2.1", "GET //evil/x?u=http://z HTTP/1.1\r\n"+host+"\r\n", `host="a" name="a" scheme="" path="//evil/x"`)
	f("RFC 9112 3.2", "GET /\x80\xff\"<>\\^`{|}%zz HTTP/1.1\r\n"+host+"\r\n", `path="/\x80\xff`)
	f("RFC 9112 3.2.2", "GET http://b:8/p?q HTTP/1.1\r\n"+host+"\r\n", `form=1 host="b:8" name="b" scheme="http" path="/p" query="q"`)
	f("RFC 9112 3.2.2", "GET HTTPS://B HTTP/1.1\r\n"+host+"\r\n", `form=1 host="B" name="B" scheme="HTTPS" path="/" query=""`)
	f("RFC 9112 3.2.2", "GET http://b?q HTTP/1.1\r\n"+host+"\r\n", `form=1 host="b" name="b" scheme="http" path="/" query="q"`)
	f("RFC 9112 3.2.2", "GET http://b/ HTTP/1.0\r\n\r\n", `form=1 host="b"`)
	f("RFC 9112 3.2.3", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", `form=2 host="b:443" name="b" scheme="" path=""`)
	f("RFC 9112 3.2.4", "OPTIONS * HTTP/1.1\r\n"+host+"\r\n", `form=3 host="a" name="a" scheme="" path="*"`)
	f("RFC 9112 3.2", "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", `form=3 host=""`)
	// Host.
	f("RFC 9112 3.2", "GET / HTTP/1.1\r\nHost: Ab-c_9.example.com.:65535\r\n\r\n", `host="Ab-c_9.example.com.:65535" name="Ab-c_9.example.com."`)
	f("RFC 9112 3.2", "GET / HTTP/1.1\r\nHost: [2001:db8::1.2.3.4]:80\r\n\r\n", `name="[2001:db8::1.2.3.4]"`)
	f("RFC 3986 3.2.3", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", `host="a:" name="a"`)
	// Fields.
	f("RFC 9112 5", "GET / HTTP/1.1\r\n"+host+"X:\r\nY: \t \r\nZ:\tz \tz\t \r\n\r\n", `[0 "X" ""] [0 "Y" ""] [0 "Z" "z \tz"]`)
	f("RFC 9110 5.5", "GET / HTTP/1.1\r\n"+host+"X: \x80\xff:\t,\r\n\r\n", `[0 "X" "\x80\xff:\t,"]`)
	f("underscores", "GET / HTTP/1.1\r\n"+host+"X_Y: 1\r\nContent_Length: 5\r\n\r\n", `length=-1 chunked=false close=false keepalive=false trailers=false persistent=true upgrade="" [4 "Host" "a"] [1 "X_Y" "1"] [1 "Content_Length" "5"]`)
	// Framing.
	f("RFC 9112 6.2", "POST / HTTP/1.1\r\n"+host+"content-length: 9223372036854775807\r\n\r\n", "length=9223372036854775807 chunked=false")
	f("RFC 9110 8.6", "POST / HTTP/1.0\r\nContent-Length: \t0007 \r\n\r\n", "length=7 chunked=false")
	f("RFC 9112 6.1", "POST / HTTP/1.1\r\n"+host+"TRANSFER-encoding:\tCHUNKED \r\n\r\n", "length=-1 chunked=true")
	// Connection and what belongs to it.
	f("RFC 9112 9.3", "GET / HTTP/1.1\r\n"+host+"Connection: Close\r\n\r\n", "close=true keepalive=false trailers=false persistent=false")
	f("RFC 9112 9.3", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "close=false keepalive=true trailers=false persistent=true")
	f("RFC 9112 9.3", "GET / HTTP/1.0\r\nConnection: x, close\r\nConnection: Keep-Alive\r\n\r\n", "persistent=false")
	f("RFC 9112 9.3", "GET / HTTP/1.0\r\n\r\n", "persistent=false")
	f("RFC 9110 5.6.1.2", "GET / HTTP/1.1\r\n"+host+"Connection: ,\t, close ,,\r\nConnection:\r\n\r\n", "close=true")
	f("RFC 9110 7.8", "GET / HTTP/1.1\r\n"+host+"Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n", `keepalive=true trailers=false persistent=true upgrade="WebSocket"`)
	f("RFC 9110 7.8", "GET / HTTP/1.1\r\n"+host+"Upgrade: websocket\r\n\r\n", `upgrade=""`)
	f("RFC 9110 7.8", "GET / HTTP/1.0\r\n"+host+"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n", `upgrade=""`)
	f("RFC 9110 7.8", "GET / HTTP/1.1\r\n"+host+"Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", `upgrade=""`)
	f("RFC 9110 10.1.1", "PUT / HTTP/1.1\r\n"+host+"Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "expect=true")
	f("RFC 9110 10.1.1", "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", `upgrade="" [2 "Expect" "100-continue"] [5 `)
	f("RFC 9110 10.1.1", "PUT / HTTP/1.0\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", `expect=false 1.0 length=1 chunked=false close=false keepalive=false trailers=false persistent=false upgrade="" [2 "Expect" "tea"]`)
	f("RFC 9110 10.1.4", "GET / HTTP/1.1\r\n"+host+"TE: gzip;q=1 ,\tTrailers\r\n\r\n", "trailers=true")
	f("RFC 9110 10.1.4", "GET / HTTP/1.1\r\n"+host+"TE: xtrailers, trailers;q=1\r\n\r\n", "trailers=false")
}

func TestRequestRefused(t *testing.T) {
	var r Request
	f := func(rfc, msg, reason string) {
		t.Helper()
		r.Reset()
		n, err := r.Parse([]byte(msg), testLimits)
		if e := asError(err); n != 0 || e.Reason != reason || e.Status != 400 {
			t.Errorf("%s: %q: got %s, want 400 %s", rfc, msg, r.verdict(n, err), reason)
		}
		checkSplits(t, &r, msg, testLimits)
		checkSplits(t, &r, msg+"GET / HTTP/1.1\r\nHost: a\r\n\r\n", testLimits)
	}
	const host = "Host: a\r\n"
	line := func(rfc, line, reason string) { t.Helper(); f(rfc, line+"\r\n"+host+"\r\n", reason) }
	line("RFC 9112 3", "GET /", "bad_request_line")
	line("RFC 9112 3", "GET", "bad_method")
	line("RFC 9112 3", "GET  / HTTP/1.1", "bad_request_line")
	line("RFC 9112 3", "GET /  HTTP/1.1", "bad_request_line")
	line("RFC 9112 3", "GET / HTTP/1.1 ", "bad_request_line")
	line("RFC 9112 3", "GET /a b HTTP/1.1", "bad_request_line")
	line("RFC 9112 3", "GET\t/ HTTP/1.1", "bad_method")
	line("RFC 9112 3", "GET /\tHTTP/1.1", "bad_request_line")
	line("RFC 9112 3", " GET / HTTP/1.1", "bad_request_line")
	line("RFC 9112 3", "GET / ", "bad_version")
	line("RFC 9112 3.1", "G(T / HTTP/1.1", "bad_method")
	line("RFC 9112 3.1", "G\x80T / HTTP/1.1", "bad_method")
	line("RFC 9112 3.1", "G:T / HTTP/1.1", "bad_method")
	line("RFC 9112 2.3", "GET / http/1.1", "bad_version")
	line("RFC 9112 2.3", "GET / HTTP/1.10", "bad_version")
	line("RFC 9112 2.3", "GET / HTTP/11", "bad_version")
	line("RFC 9112 2.3", "GET / HTTP/1.", "bad_version")
	line("RFC 9112 2.3", "GET / HTTPS/1.1", "bad_version")
	line("RFC 9112 3.2", "GET a HTTP/1.1", "bad_target")
	line("RFC 9112 3.2", "GET ?a HTTP/1.1", "bad_target")
	line("RFC 9112 3.2", "GET /a#b HTTP/1.1", "bad_target")
	line("RFC 9112 3.2", "GET http://a/#b HTTP/1.1", "bad_target")
	line("RFC 9112 3.2", "GET ftp://a/ HTTP/1.1", "bad_target")
	line("RFC 9112 3.2", "GET http:/a HTTP/1.1", "bad_target")
	line("RFC 9110 4.2.1", "GET http:///a HTTP/1.1", "bad_target")
	line("RFC 9110 4.2.1", "GET http://:80/a HTTP/1.1", "bad_target")
	line("RFC 9110 4.2.4", "GET http://u@a/ HTTP/1.1", "bad_target")
	line("RFC 9112 3.2.2", "GET http://a\\b/ HTTP/1.1", "bad_target")
	line("RFC 9112 3.2.3", "GET a:80 HTTP/1.1", "bad_target")
	line("RFC 9112 3.2.3", "CONNECT / HTTP/1.1", "bad_target")
	line("RFC 9112 3.2.3", "CONNECT a HTTP/1.1", "bad_target")
	line("RFC 9112 3.2.3", "CONNECT a: HTTP/1.1", "bad_target")
	line("RFC 9112 3.2.3", "CONNECT http://a:80 HTTP/1.1", "bad_target")
	line("RFC 9112 3.2.4", "GET * HTTP/1.1", "bad_target")
	line("RFC 9112 3.2.4", "OPTIONS ** HTTP/1.1", "bad_target")
	line("RFC 9112 3.2", "GET /a\x00 HTTP/1.1", "control_byte")
	line("RFC 9112 3.2", "GET /a\x7f HTTP/1.1", "control_byte")
	line("RFC 9112 3.2", "GET /a\x1f HTTP/1.1", "control_byte")
	line("RFC 9112 2.2", "GET /a\r HTTP/1.1", "bare_cr")
	line("RFC 9112 2.2", "\rGET / HTTP/1.1", "bare_cr")
	line("RFC 9112 2.2", "GET / HTTP/1.1\r", "bare_cr")
	f("RFC 9112 2.2", "\nGET / HTTP/1.1\r\n"+host+"\r\n", "bare_lf")
	f("RFC 9112 2.2", "\r\n\nGET / HTTP/1.1\r\n"+host+"\r\n", "bare_lf")
	f("RFC 9112 2.2", "\r\n\r\nGET / HTTP/1.1\r\n"+host+"\r\n", "empty_line")
	f("RFC 9112 2.2", "GET / HTTP/1.1\n"+host+"\r\n", "bare_lf")
	f("RFC 9112 2.2", "GET / HTTP/1.0\n\n", "bare_lf")
	f("RFC 9112 5.2", "GET / HTTP/1.1\r\n X: y\r\n"+host+"\r\n", "obs_fold")

	f("RFC 9112 3.2", "GET / HTTP/1.1\r\n\r\n", "no_host")
	f("RFC 9112 3.2", "GET http://a/ HTTP/1.1\r\n\r\n", "no_host")
	f("RFC 9112 3.2", "GET / HTTP/1.1\r\n"+host+"X: y\r\nhost: a\r\n\r\n", "repeated_host")
	f("RFC 9112 3.2", "GET / HTTP/1.0\r\n"+host+host+"\r\n", "repeated_host")
	for _, bad := range []string{
		"", "u@a", "a b", "a,b", "a, a", "a/b", "a/", "http://a", "a:b", "a:65536", "a:080808", "a:-1", "a:1:2",
		"%61", "a\x80", "a*", "a;b", "a?b", "a#b", "\"a\"", ".", "..", ".a", "a..b", "a..", ":80", "::1", "[::1", "[]", "[::1]a", "[::1]:x",
		"[a]", "[::1%25lo]", "[::g]", "[v1.a:b:c]", "[" + strings.Repeat(":", 46) + "]",
	} {
		f("RFC 9112 3.2", "GET / HTTP/1.1\r\nHost: "+bad+"\r\n\r\n", "bad_host")
		f("RFC 9112 3.2", "GET http://a/ HTTP/1.1\r\nHost: "+bad+"\r\n\r\n", "bad_host")
	}

	field := func(rfc, lines, reason string) {
		t.Helper()
		f(rfc, "POST / HTTP/1.1\r\n"+host+lines+"\r\n\r\n", reason)
	}
	field("RFC 9112 2.2", "X: a\nY: b", "bare_lf")
	field("RFC 9112 2.2", "X: a\n", "bare_lf")
	field("RFC 9112 2.2", "X: a\rb", "bare_cr")
	field("RFC 9112 2.2", "X: a\r\r", "bare_cr")
	field("RFC 9112 2.2", "X\r: a", "bare_cr")
	field("RFC 9112 2.2", "\rX: a", "bare_cr")
	field("RFC 9112 5.2", "X: a\r\n b", "obs_fold")
	field("RFC 9112 5.2", "X: a\r\n\tY: b", "obs_fold")
	field("RFC 9112 5.2", "X: a\r\n ", "obs_fold")
	field("RFC 9112 5.1", "X : a", "space_before_colon")
	field("RFC 9112 5.1", "X\t: a", "space_before_colon")
	field("RFC 9112 5.1", "Transfer-Encoding : chunked", "space_before_colon")
	field("RFC 9112 5", "X", "no_colon")
	field("RFC 9110 5.1", "X Y: a", "bad_field_name")
	field("RFC 9110 5.1", ": a", "bad_field_name")
	field("RFC 9110 5.1", "X(: a", "bad_field_name")
	field("RFC 9110 5.1", "X\x80: a", "bad_field_name")
	field("RFC 9110 5.1", "X\"Y\": a", "bad_field_name")
	field("RFC 9110 5.5", "X\x00: a", "control_byte")
	for _, c := range "\x00\x01\x08\x0b\x0c\x0e\x1f\x7f" {
		field("RFC 9110 5.5", "X: aaaaaaaa"+string(c)+"b", "control_byte")
		field("RFC 9110 5.5", "X: a\t"+string(c), "control_byte")
	}
	for _, bad := range []string{"", "+5", "-5", "5 5", "5,5", "5, 5", "0x5", "5a", "5.0", "\"5\"", "\x805", "9223372036854775808", "18446744073709551616", "99999999999999999999999"} {
		field("RFC 9110 8.6", "Content-Length: "+bad, "bad_content_length")
	}
	field("RFC 9112 6.3", "Content-Length: 5\r\nContent-Length: 5", "repeated_content_length")
	field("RFC 9112 6.3", "Content-Length: 5\r\nX: y\r\ncontent-length: 6", "repeated_content_length")
	field("RFC 9112 6.1", "Content-Length: 5\r\nTransfer-Encoding: chunked", "content_length_and_transfer_encoding")
	field("RFC 9112 6.1", "Transfer-Encoding: chunked\r\nContent-Length: 5", "content_length_and_transfer_encoding")
	field("RFC 9112 6.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "repeated_transfer_encoding")
	for _, bad := range []string{
		"", "xchunked", "chunkedx", "chunked, identity", "identity", "gzip, chunked", "chunked, chunked", "\"chunked\"", "chunked;q=1",
		"chunked,", ",chunked", "chun\tked", "\x80chunked", "identity, chunked",
	} {
		field("RFC 9112 6.1", "Transfer-Encoding: "+bad, "bad_transfer_encoding")
	}
	field("RFC 9110 5.5", "Transfer-Encoding: \x0bchunked", "control_byte")
	f("RFC 9112 6.1", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http_1_0")
	for _, bad := range []string{"a b", "a;b", "(a)", "close, \"x\"", "close\x80", "/", "close keep-alive"} {
		field("RFC 9110 7.6.1", "Connection: "+bad, "bad_connection")
	}
}

// TestRequestOtherStatus has the refusals that are not a 400.
func TestRequestOtherStatus(t *testing.T) {
	var r Request
	f := func(rfc, msg string, status int, reason string) {
		t.Helper()
		r.Reset()
		n, err := r.Parse([]byte(msg), testLimits)
		if e := asError(err); n != 0 || e.Reason != reason || e.Status != status {
			t.Errorf("%s: %q: got %s, want %d %s", rfc, msg, r.verdict(n, err), status, reason)
		}
		checkSplits(t, &r, msg, testLimits)
	}
	for _, v := range []string{"0.9", "1.2", "2.0", "9.9", "3.0"} {
		f("RFC 9110 15.6.6", "GET / HTTP/"+v+"\r\nHost: a\r\n\r\n", 505, "version")
	}
	f("RFC 9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version")
	f("RFC 9110 10.1.1", "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417, "expectation")
	f("RFC 9110 10.1.1", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, tea\r\n\r\n", 417, "expectation")
}

func TestRequestLimits(t *testing.T) {
	var r Request
	f := func(msg string, lim Limits, status int) {
		t.Helper()
		r.Reset()
		n, err := r.Parse([]byte(msg), lim)
		got := asError(err).Status
		if got != status || status == 0 && n == 0 {
			t.Errorf("%q with %+v: got %s, want %d", msg, lim, r.verdict(n, err), status)
		}
		checkSplits(t, &r, msg, lim)
		checkSplits(t, &r, "\r\n"+msg, lim)
	}
	const line, fields = "GET /abc HTTP/1.1", "Host: a\r\nX: y\r\n\r\n"
	const msg = line + "\r\n" + fields
	f(msg, Limits{}, 0)
	f(msg, Limits{Line: len(line)}, 0)
	f(msg, Limits{Line: len(line) - 1}, 414)
	f(strings.Replace(msg, "GET", "G(T", 1), Limits{Line: len(line)}, 400)
	f(strings.Replace(msg, "GET", "G(T", 1), Limits{Line: len(line) - 1}, 414)
	f(strings.Replace(msg, "\r", "", 1), Limits{Line: len(line)}, 400)
	f(strings.Replace(msg, "\r", "", 1), Limits{Line: len(line) - 1}, 414)
	f(strings.Replace(msg, "\r", "\rx", 1), Limits{Line: len(line)}, 414)
	f(msg, Limits{Header: len(fields)}, 0)
	f(msg, Limits{Header: len(fields) - 1}, 431)
	f(msg, Limits{Header: len(fields) - 2}, 431)
	f(msg, Limits{Header: len(fields) - 3}, 431)
	f(msg, Limits{Header: 1}, 431)
	f(strings.Replace(msg, "X:", "X", 1), Limits{Header: len(fields)}, 400)
	f(strings.Replace(msg, "X:", "X", 1), Limits{Header: len(fields) - 4}, 431)
	f(msg, Limits{Fields: 2}, 0)
	f(msg, Limits{Fields: 1}, 431)
	f(strings.Replace(msg, "X:", "X", 1), Limits{Fields: 1}, 400)

	// Without a line's end the limit alone decides, at the first byte beyond it.
	long := strings.Repeat("a", 100)
	early := func(msg string, lim Limits, status int) {
		t.Helper()
		r.Reset()
		if n, err := r.Parse([]byte(msg), lim); n != 0 || err != nil {
			t.Errorf("%q with %+v: got %s, want more", msg, lim, r.verdict(n, err))
		}
		r.Reset()
		_, err := r.Parse([]byte(msg+"a"), lim)
		if e := asError(err); e.Status != status {
			t.Errorf("%qa with %+v: got %v, want %d", msg, lim, err, status)
		}
	}
	early("GET /"+long, Limits{Line: 105}, 414)
	early("GET /"+long+"\r", Limits{Line: 105}, 414)
	early(long, Limits{Line: 100}, 414)
	early("GET / HTTP/1.1\r\nX: "+long, Limits{Header: 104}, 431)
	early("GET / HTTP/1.1\r\n"+long, Limits{Header: 101}, 431)
}

// TestRequestLinear feeds a large head byte by byte: work that is not linear shows as minutes.
func TestRequestLinear(t *testing.T) {
	msg := []byte("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 4<<20) + "\r\n\r\n")
	var r Request
	for i := range msg {
		if n, err := r.Parse(msg[:i], Limits{}); n != 0 || err != nil {
			t.Fatalf("%d bytes: got %d, %v", i, n, err)
		}
	}
	if n, err := r.Parse(msg, Limits{}); n != len(msg) || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
}

func TestRequestAgain(t *testing.T) {
	var r Request
	good := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	bad := []byte("GET / HTTP/1.1\r\n\r\n")
	for range 2 {
		if n, err := r.Parse(good, Limits{}); n != len(good) || err != nil {
			t.Errorf("complete: got %d, %v", n, err)
		}
	}
	r.Reset()
	for range 2 {
		if n, err := r.Parse(bad, Limits{}); n != 0 || err == nil {
			t.Errorf("refused: got %d, %v", n, err)
		}
	}
	r.Reset()
	if n, err := r.Parse(good, Limits{}); n != len(good) || err != nil || r.Host() == nil {
		t.Errorf("after Reset: got %d, %v", n, err)
	}
}

func TestRequestMove(t *testing.T) {
	buf := []byte("xxGET /p HTTP/1.1\r\nHost: a\r\n\r\n")
	var r Request
	n, err := r.Parse(buf[2:], Limits{})
	if err != nil {
		t.Fatal(err)
	}
	copy(buf, buf[2:])
	r.Move(buf)
	if len(r.Bytes()) != n || string(r.Path()) != "/p" || string(r.Host()) != "a" {
		t.Errorf("got %q, path %q, host %q", r.Bytes(), r.Path(), r.Host())
	}
}

func TestAppendTarget(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		var r Request
		if _, err := r.Parse([]byte(line+" HTTP/1.1\r\nHost: a:1\r\n\r\n"), Limits{}); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if got := r.AppendTarget(nil); string(got) != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	f("GET /a/../b?c", "/a/../b?c")
	f("GET http://b/a?c", "/a?c")
	f("GET http://b", "/")
	f("GET http://b?c", "/?c")
	f("OPTIONS http://b", "*")
	f("OPTIONS http://b?c", "/?c")
	f("OPTIONS http://b/", "/")
	f("OPTIONS *", "*")
	f("CONNECT b:1", "b:1")
}

func TestMethods(t *testing.T) {
	f := func(method string, idempotent, safe bool) {
		t.Helper()
		var r Request
		if _, err := r.Parse([]byte(method+" / HTTP/1.1\r\nHost: a\r\n\r\n"), Limits{}); err != nil {
			t.Fatal(err)
		}
		if r.Idempotent() != idempotent || r.Safe() != safe {
			t.Errorf("%s: idempotent %v, safe %v", method, r.Idempotent(), r.Safe())
		}
	}
	f("GET", true, true)
	f("HEAD", true, true)
	f("OPTIONS", true, true)
	f("TRACE", true, true)
	f("PUT", true, false)
	f("DELETE", true, false)
	f("POST", false, false)
	f("PATCH", false, false)
	f("get", false, false)
}

func TestHasBody(t *testing.T) {
	f := func(lines string, want bool) {
		t.Helper()
		if got := parsed(t, "Host: a\r\n"+lines).HasBody(); got != want {
			t.Errorf("%q: got %v", lines, got)
		}
	}
	f("", false)
	f("Content-Length: 0\r\n", false)
	f("Content-Length: 1\r\n", true)
	f("Transfer-Encoding: chunked\r\n", true)
}

// TestRefusedIsEmpty reads what was refused in the middle: an accessor that took stale offsets would panic.
func TestRefusedIsEmpty(t *testing.T) {
	var r Request
	msg := []byte("GET /abc HTTP/1.1\r\nHost: a\r\nUpgrade: b\r\nConnection: upgrade\r\nX : c\r\n\r\n")
	for i := range msg {
		_, _ = r.Parse(msg[:i], Limits{}) // what is left behind counts
		for _, got := range [][]byte{r.Method(), r.Target(), r.Host(), r.Hostname(), r.Scheme(), r.Query(), r.Upgrade(), r.Value(Host), r.Bytes()} {
			if len(got) > 0 {
				t.Fatalf("after %d bytes: got %q", i, got)
			}
		}
		r.AppendTarget(r.Path())
	}
}
