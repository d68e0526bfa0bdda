package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fuzzSplits is checkSplits for arbitrary input: it skips what would only be slow.
func fuzzSplits(t *testing.T, p parser, msg []byte) {
	if len(msg) <= 300 {
		checkSplits(t, p, string(msg), Limits{})
		checkSplits(t, p, string(msg), Limits{Line: 20, Header: 60, Fields: 3})
	}
}

// goHeader is what net/http would make of the fields, without those that it takes out of the header or makes up.
func goHeader(h *Head) http.Header {
	header := http.Header{}
	for i := range h.Fields {
		f := &h.Fields[i]
		key := textproto.CanonicalMIMEHeaderKey(string(f.NameIn(h.buf)))
		header[key] = append(header[key], string(f.ValueIn(h.buf)))
	}
	return withoutSpecial(header)
}

// withoutSpecial drops the fields that net/http moves elsewhere, and Cache-Control, which it derives from Pragma.
func withoutSpecial(header http.Header) http.Header {
	for _, key := range []string{"Host", "Transfer-Encoding", "Trailer", "Cache-Control"} {
		header.Del(key)
	}
	return header
}

// body decodes what follows a head by our reading of its framing. The text tells how it ended.
func body(framing Framing, length int64, rest []byte) (data []byte, end string) {
	switch framing {
	case BodyNone:
		return nil, "done"
	case BodyClose:
		return rest, "done"
	case BodyLength:
		if length > int64(len(rest)) {
			return rest, "more"
		}
		return rest[:length], "done"
	}
	var c Chunked
	data, _, end = decode(&c, string(rest), whole)
	return data, end
}

// sameBody compares our reading of a body with net/http's, where we accept it.
func sameBody(t *testing.T, msg []byte, data []byte, end string, r io.Reader) {
	if end != "done" {
		return
	}
	want, err := io.ReadAll(r)
	if err != nil && goBodyExceptions(msg, err) {
		return
	}
	if err != nil || !bytes.Equal(data, want) {
		t.Fatalf("%q: our body %q, net/http's %q, %v", msg, data, want, err)
	}
}

var spacedExtension = regexp.MustCompile(`[0-9a-fA-F][ \t]+;`)

// goBodyExceptions has what net/http refuses in chunks and we accept: long extensions, many bytes around few bytes of data,
// trailers beyond its own buffer, and the whitespace before an extension that RFC 9112 section 7.1.1 allows.
func goBodyExceptions(msg []byte, err error) bool {
	return errors.Is(err, http.ErrLineTooLong) || strings.Contains(err.Error(), "too much non-data") || strings.Contains(err.Error(), "trailer") ||
		strings.Contains(err.Error(), "invalid byte in chunk length") && spacedExtension.Match(msg)
}

// goRequestExceptions has all that net/http refuses and we accept: it decodes targets, which we pass raw; it
// checks IPv6 addresses; and it refuses three names in Trailer, which ends at this hop anyway.
func goRequestExceptions(r *Request, err error) bool {
	return badEscape(r.Target()) || bytes.HasPrefix(r.Host(), []byte{'['}) ||
		r.Has(Trailer) && strings.Contains(err.Error(), "bad trailer key")
}

func badEscape(target []byte) bool {
	for i, c := range target {
		if c == '%' && (i+2 >= len(target) || hex[target[i+1]] == notHex || hex[target[i+2]] == notHex) {
			return true
		}
	}
	return false
}

func readGo(msg []byte) (*http.Request, error) {
	msg = bytes.TrimPrefix(msg, []byte("\r\n")) // net/http does not skip the empty line
	return http.ReadRequest(bufio.NewReader(bytes.NewReader(msg)))
}

// summary is what both readers have to agree on.
func (r *Request) summary() string {
	length := max(r.ContentLength, 0)
	if r.Chunked {
		length = -1
	}
	return fmt.Sprintf("%s %s %q 1.%d %d %v %v", r.Method(), r.Target(), r.Host(), r.Minor, length, r.Chunked, r.Persistent())
}

func goSummary(q *http.Request) string {
	chunked := slices.Equal(q.TransferEncoding, []string{"chunked"})
	return fmt.Sprintf("%s %s %q 1.%d %d %v %v", q.Method, q.RequestURI, q.Host, q.ProtoMinor, q.ContentLength, chunked, !q.Close)
}

// FuzzRequest has three properties: how a request is cut into portions does not matter; what we accept net/http accepts and
// reads the same, body included; and so do both with what a proxy would send on.
func FuzzRequest(f *testing.F) {
	for _, s := range requestSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(checkRequest)
}

func checkRequest(t *testing.T, msg []byte) {
	var r Request
	fuzzSplits(t, &r, msg)
	r.Reset()
	n, _ := r.Parse(msg, Limits{})
	if n == 0 {
		return
	}
	q, err := readGo(msg)
	if err != nil {
		if !goRequestExceptions(&r, err) {
			t.Fatalf("%q: net/http: %v", msg, err)
		}
		return
	}
	if got, want := r.summary(), goSummary(q); got != want {
		t.Fatalf("%q: got %s, net/http %s", msg, got, want)
	}
	if got, want := goHeader(&r.Head), withoutSpecial(q.Header); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: got %v, net/http %v", msg, got, want)
	}
	framing := BodyLength
	if r.Chunked {
		framing = BodyChunked
	}
	data, end := body(framing, max(r.ContentLength, 0), msg[n:])
	sameBody(t, msg, data, end, q.Body)
	checkForwarded(t, &r)
}

// forward writes a request as a proxy would.
func forward(r *Request, drop Kinds) []byte {
	out := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method(), r.AppendTarget(nil), r.Host())
	out = AppendFields(out, r.Bytes(), r.Fields, drop)
	if r.ContentLength >= 0 {
		out = fmt.Appendf(out, "Content-Length: %d\r\n", r.ContentLength)
	}
	if r.Chunked {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(out, "\r\n"...)
}

func checkForwarded(t *testing.T, r *Request) {
	if len(r.Host()) == 0 && r.Form != AsteriskForm {
		return // HTTP/1.0 without Host: the caller has to choose one
	}
	drop := HopByHop | Host.Bit() | ContentLength.Bit()
	out := forward(r, drop)
	var s Request
	if n, err := s.Parse(out, Limits{}); n != len(out) {
		t.Fatalf("forwarded %q: %v", out, err)
	}
	q, err := readGo(out)
	if err != nil {
		t.Fatalf("forwarded %q: net/http: %v", out, err)
	}
	if s.summary() != goSummary(q) {
		t.Fatalf("forwarded %q: got %s, net/http %s", out, s.summary(), goSummary(q))
	}
	if s.Chunked != r.Chunked || s.ContentLength != r.ContentLength || !bytes.Equal(s.Host(), r.Host()) || !bytes.Equal(s.Path(), r.Path()) && r.Form != AbsoluteForm {
		t.Fatalf("forwarded %q: read %s from %s", out, s.summary(), r.summary())
	}
	if got, want := kept(&s.Head, drop), kept(&r.Head, drop); !slices.Equal(got, want) {
		t.Fatalf("forwarded %q: fields %q, want %q", out, got, want)
	}
}

// kept lists names and values of the fields that are not dropped.
func kept(h *Head, drop Kinds) (all []string) {
	for i := range h.Fields {
		if f := &h.Fields[i]; !drop.Has(f.Kind) {
			all = append(all, string(f.NameIn(h.buf)), string(f.ValueIn(h.buf)))
		}
	}
	return all
}

// FuzzResponse has the properties of FuzzRequest, but for forwarding, against http.ReadResponse.
func FuzzResponse(f *testing.F) {
	for _, s := range responseSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(checkResponse)
}

func checkResponse(t *testing.T, msg []byte) {
	var p Response
	fuzzSplits(t, &p, msg)
	p.Reset()
	n, _ := p.Parse(msg, Limits{})
	if n == 0 {
		return
	}
	q, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(msg)), &http.Request{Method: "GET"})
	if err != nil {
		if !p.Has(Trailer) || !strings.Contains(err.Error(), "bad trailer key") {
			t.Fatalf("%q: net/http: %v", msg, err)
		}
		return
	}
	status := strings.TrimSpace(fmt.Sprintf("%d %s", p.Status, p.Reason()))
	if p.Status != q.StatusCode || status != strings.TrimSpace(q.Status) || int(p.Minor) != q.ProtoMinor {
		t.Fatalf("%q: got 1.%d %s, net/http 1.%d %s", msg, p.Minor, status, q.ProtoMinor, q.Status)
	}
	header := goHeader(&p.Head)
	header.Del("Connection") // net/http takes it out when it says close
	q.Header.Del("Connection")
	if got, want := header, withoutSpecial(q.Header); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: got %v, net/http %v", msg, got, want)
	}
	framing := p.Body([]byte("GET"))
	if framing != BodyClose && framing != BodyNone && p.Persistent() == q.Close { // net/http adds the framing to Close
		t.Fatalf("%q: persistent %v, net/http close %v", msg, p.Persistent(), q.Close)
	}
	data, end := body(framing, p.ContentLength, msg[n:])
	sameBody(t, msg, data, end, q.Body)
}

// FuzzChunked has two properties: portions do not matter, and what we accept net/http decodes to the same.
func FuzzChunked(f *testing.F) {
	for _, s := range chunkedSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(checkChunked)
}

func checkChunked(t *testing.T, msg []byte) {
	if len(msg) <= 300 {
		checkChunkSplits(t, string(msg))
	}
	var c Chunked
	data, n, end := decode(&c, string(msg), whole)
	if end != "done" {
		return
	}
	sameBody(t, msg, data, end, httputil.NewChunkedReader(bytes.NewReader(msg[:n])))
	raw, fields := c.Trailers()
	kept := AppendFields([]byte("X: y\r\n"), raw, fields, HopByHop)
	var again Request
	out := slices.Concat([]byte("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"), kept, []byte("\r\n"))
	if m, err := again.Parse(out, Limits{}); m != len(out) { // a kept trailer could even be a header field
		t.Fatalf("trailers of %q: %v", msg, err)
	}
}

var requestSeeds = []string{
	wrkRequest, browserRequest,
	"\r\nPOST /a?b HTTP/1.1\r\nHost: a:80\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.1\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
	"GET http://b:8/p?q HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\nX: 1\r\nX_Y: 2\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
	"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET //a/%zz HTTP/1.1\r\nHost: [::1]:8\r\nPragma: no-cache\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nTE: trailers\r\nExpect: 100-continue\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "GET / HTTP/1.1\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX:\ta\x80\t\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n",
	"PUT / HTTP/1.0\r\nHost: a\r\nExpect: tea\r\nContent-Length: 0\r\n\r\n", // its Expect was passed on to HTTP/1.1
}

var responseSeeds = []string{
	nginxResponse, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", "HTTP/1.0 404\r\n\r\nabc", "HTTP/1.1 204 \r\nContent-Length: 3\r\n\r\nabc",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 205 Reset\r\nConnection: close\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "HTTP/1.1 200  a\t \r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
	"HTTP/0.0\r\n0000", // the bytes behind the line decided how it was refused
}

var chunkedSeeds = []string{
	"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\nGET", "A;a=\"b\"\r\n0123456789\r\n00\r\nX: y\r\nContent-Length: 5\r\n\r\n", "1 ;a\r\nx\r\n0\r\n\r\n", "3\nabc\n0\n\n",
	"7fffffffffffffff\r\nabc", "0x3\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "0\r\n: y\r\n\r\n", "0\r\nX: y\r\n z\r\n\r\n",
}
