package http1

import (
	"fmt"
	"strings"
	"testing"
)

func (p *Response) verdict(n int, err error) string {
	if err != nil {
		return err.Error()
	}
	if n == 0 {
		return "more"
	}
	return fmt.Sprintf("n=%d %d %q GET=%d HEAD=%d %s", n, p.Status, p.Reason(), p.Body([]byte("GET")), p.Body([]byte("HEAD")), p.Head.verdict())
}

func TestResponseAccepted(t *testing.T) {
	var p Response
	f := func(rfc, msg, want string) {
		t.Helper()
		p.Reset()
		n, err := p.Parse([]byte(msg), testLimits)
		if got := p.verdict(n, err); n != len(msg) || !strings.Contains(got, want) {
			t.Errorf("%s: %q: got %s, want %s", rfc, msg, got, want)
		}
		checkSplits(t, &p, msg+"body\r\n\r\n", testLimits)
	}
	f("RFC 9112 4", "HTTP/1.1 200 OK\r\n\r\n", `200 "OK" GET=3 HEAD=0 1.1 length=-1`)
	f("RFC 9112 4", "HTTP/1.1 100 \r\n\r\n", `100 "" GET=0`)
	f("RFC 9112 4", "HTTP/1.1 999\r\n\r\n", `999 ""`)
	f("RFC 9112 4", "HTTP/1.1 404  Not\t\x80\xff here \r\n\r\n", `404 " Not\t\x80\xff here "`)
	f("RFC 9112 2.3", "HTTP/1.0 200 OK\r\n\r\n", `200 "OK" GET=3 HEAD=0 1.0 length=-1 chunked=false close=false keepalive=false trailers=false persistent=false`)
	f("RFC 9112 6.3", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET=1 HEAD=0 1.1 length=5")
	f("RFC 9112 6.3", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET=1 HEAD=0 1.1 length=0")
	f("RFC 9112 6.3", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", "GET=2 HEAD=0")
	f("RFC 9112 6.3", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "GET=0 HEAD=0 1.1 length=5")
	f("RFC 9112 6.3", "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", "GET=0 HEAD=0 1.1 length=5")
	f("RFC 9112 6.3", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "GET=0 HEAD=0")
	f("RFC 9110 15.3.6", "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", "GET=1 HEAD=0")
	f("RFC 9110 15.3.6", "HTTP/1.1 205 Reset\r\nTransfer-Encoding: chunked\r\n\r\n", "GET=2 HEAD=0")
	f("RFC 9110 15.3.6", "HTTP/1.1 205 Reset\r\n\r\n", "GET=3 HEAD=0")
	f("RFC 9112 9.3", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", "persistent=true")
	f("RFC 9112 9.3", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nX: 1\r\n\r\n", `persistent=false upgrade="" [8 "Connection" "x, Close"] [2 "X" "1"]`)
	f("RFC 9110 7.8", "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", `upgrade="websocket"`)
	f("fields of requests mean nothing", "HTTP/1.1 200 OK\r\nHost: a b\r\nHost: c\r\nExpect: tea\r\nTE: trailers\r\n\r\n", "trailers=false")
}

func TestResponseRefused(t *testing.T) {
	var p Response
	f := func(rfc, msg, reason string) {
		t.Helper()
		p.Reset()
		n, err := p.Parse([]byte(msg), testLimits)
		if e := asError(err); n != 0 || e.Reason != reason || e.Status != 502 {
			t.Errorf("%s: %q: got %s, want 502 %s", rfc, msg, p.verdict(n, err), reason)
		}
		checkSplits(t, &p, msg, testLimits)
		checkSplits(t, &p, msg+"HTTP/1.1 200 OK\r\n\r\n", testLimits)
	}
	for _, line := range []string{
		"", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 099 x", "HTTP/1.1 000 x", "HTTP/1.1 -20 x", "HTTP/1.1 2a0 x",
		"HTTP/1.1 20a x", "HTTP/1.1  200 x", "HTTP/1.1\t200 x", "HTTP/1.1 200\tx", "HTTP/1.1 200x", "http/1.1 200 x", "HTTP/1.11 200 x", " HTTP/1.1 200 x", "ICY 200 OK x", "garbage garbage",
	} {
		f("RFC 9112 4", line+"\r\n\r\n", "bad_status_line")
	}
	f("RFC 9112 2.3", "HTTP/2.0 200 OK\r\n\r\n", "version")
	f("RFC 9112 2.3", "HTTP/0.9 200 OK\r\n\r\n", "version")
	f("RFC 9112 2.3", "HTTP/2.0 \r\n\r\n", "version")
	f("RFC 9112 4", "HTTP/0.0\r\n0000\r\n", "bad_status_line") // was refused by what followed the line
	f("RFC 9112 2.2", "\r\nHTTP/1.1 200 OK\r\n\r\n", "bad_status_line")
	f("RFC 9112 2.2", "HTTP/1.1 200 OK\n\n", "bare_lf")
	f("RFC 9112 2.2", "HTTP/1.1 200\n\n", "bare_lf")
	f("RFC 9112 2.2", "HTTP/1.1 200 O\rK\r\n\r\n", "bare_cr")
	f("RFC 9112 4", "HTTP/1.1 200 O\x00K\r\n\r\n", "control_byte")

	field := func(rfc, lines, reason string) { t.Helper(); f(rfc, "HTTP/1.1 200 OK\r\n"+lines+"\r\n\r\n", reason) }
	field("RFC 9112 6.3", "Content-Length: 5\r\nContent-Length: 5", "repeated_content_length")
	field("RFC 9112 6.3", "Content-Length: 5\r\nContent-Length: 6", "repeated_content_length")
	field("RFC 9110 8.6", "Content-Length: 5, 5", "bad_content_length")
	field("RFC 9110 8.6", "Content-Length: -1", "bad_content_length")
	field("RFC 9110 8.6", "Content-Length:", "bad_content_length")
	field("RFC 9112 6.1", "Content-Length: 5\r\nTransfer-Encoding: chunked", "content_length_and_transfer_encoding")
	field("RFC 9112 6.1", "Transfer-Encoding: gzip, chunked", "bad_transfer_encoding")
	field("RFC 9112 6.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "repeated_transfer_encoding")
	f("RFC 9112 6.1", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http_1_0")
	field("RFC 9112 2.2", "X: a\nY: b", "bare_lf")
	field("RFC 9112 2.2", "X: a\rb", "bare_cr")
	field("RFC 9110 5.5", "X: a\x00b", "control_byte")
	field("RFC 9112 5.2", "X: a\r\n b", "obs_fold")
	field("RFC 9112 5.1", "X : a", "space_before_colon")
	field("RFC 9112 5", "X", "no_colon")
	field("RFC 9110 5.1", "X Y: a", "bad_field_name")
	field("RFC 9110 7.6.1", "Connection: a b", "bad_connection")
	f("status line limit", "HTTP/1.1 200 "+strings.Repeat("a", testLimits.Line)+"\r\n\r\n", "line_too_long")
	field("header limit", "X: "+strings.Repeat("a", testLimits.Header), "header_too_large")
	field("fields limit", strings.Repeat("X: a\r\n", testLimits.Fields)+"Y: b", "too_many_fields")
}
