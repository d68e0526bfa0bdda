package http1

import (
	"strings"
	"testing"
)

const wrkRequest = "GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk/4.2\r\nConnection: keep-alive\r\n\r\n"

const browserRequest = "GET /articles/2026/09/14/how-proxies-read?ref=home&page=2 HTTP/1.1\r\n" +
	"Host: www.example.com\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Referer: https://www.example.com/articles/\r\n" +
	"Connection: keep-alive\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1; _ga=GA1.2.1234567890.1234567890\r\n" +
	"Upgrade-Insecure-Requests: 1\r\n" +
	"Sec-Fetch-Dest: document\r\n" +
	"Sec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-Site: same-origin\r\n\r\n"

const nginxResponse = "HTTP/1.1 200 OK\r\n" +
	"Server: nginx/1.22.1\r\n" +
	"Date: Mon, 14 Sep 2026 12:00:00 GMT\r\n" +
	"Content-Type: text/html\r\n" +
	"Content-Length: 100\r\n" +
	"Last-Modified: Mon, 14 Sep 2026 11:00:00 GMT\r\n" +
	"Connection: keep-alive\r\n" +
	"ETag: \"6505f3a0-64\"\r\n" +
	"Accept-Ranges: bytes\r\n\r\n"

var benchLimits = Limits{Line: 8 << 10, Header: 32 << 10, Fields: 128}

func benchParse(b *testing.B, p parser, msg string) {
	buf := []byte(msg)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		p.Reset()
		if n, err := p.Parse(buf, benchLimits); n != len(buf) {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkRequestWrk(b *testing.B)     { benchParse(b, new(Request), wrkRequest) }
func BenchmarkRequestBrowser(b *testing.B) { benchParse(b, new(Request), browserRequest) }
func BenchmarkResponse(b *testing.B)       { benchParse(b, new(Response), nginxResponse) }

// BenchmarkRequestNominations is the dearest head an attacker can send within the limits.
func BenchmarkRequestNominations(b *testing.B) {
	name := strings.Repeat("a", 100)
	msg := "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + strings.Repeat(name+"b,", maxNominations) + "\r\n"
	benchParse(b, new(Request), msg+strings.Repeat(name+"c: d\r\n", 126)+"\r\n")
}

func BenchmarkAppendFields(b *testing.B) {
	r := benchRequest(b)
	dst := make([]byte, 0, 4096)
	b.SetBytes(int64(len(browserRequest)))
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendFields(dst[:0], r.Bytes(), r.Fields, HopByHop|Host.Bit())
	}
}

func benchRequest(t testing.TB) *Request {
	var r Request
	if n, err := r.Parse([]byte(browserRequest), benchLimits); n == 0 {
		t.Fatal(err)
	}
	return &r
}

func benchChunked(b *testing.B, size, count int) {
	one := append(AppendChunkSize(nil, size), strings.Repeat("a", size)+"\r\n"...)
	body := []byte(strings.Repeat(string(one), count) + "0\r\n\r\n")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	var c Chunked
	for b.Loop() {
		c.Reset()
		for p := body; !c.Done(); {
			_, n, _, err := c.Next(p)
			if err != nil {
				b.Fatal(err)
			}
			p = p[n:]
		}
	}
}

func BenchmarkChunked16B(b *testing.B)  { benchChunked(b, 16, 64) }
func BenchmarkChunked8KiB(b *testing.B) { benchChunked(b, 8<<10, 8) }

func BenchmarkKindOf(b *testing.B) {
	r := benchRequest(b)
	for b.Loop() {
		for i := range r.Fields {
			kindOf(r.Fields[i].NameIn(r.buf))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(r.Fields)), "ns/name")
}

func BenchmarkText(b *testing.B) {
	buf := []byte(strings.Repeat("a", 128) + "\r\n")
	b.Run("words", func(b *testing.B) {
		for b.Loop() {
			textEnd(buf, 0)
		}
	})
	b.Run("table", func(b *testing.B) { // what textEnd would be without words
		var table [256]bool
		for c := range table {
			table[c] = c >= ' ' && c != 0x7f || c == '\t'
		}
		for b.Loop() {
			i := 0
			for i < len(buf) && table[buf[i]] {
				i++
			}
		}
	})
}

func TestAllocations(t *testing.T) {
	var r Request
	var p Response
	var c Chunked
	request, response, refused := []byte(browserRequest), []byte(nginxResponse), []byte("GET / HTTP/1.1\r\n\r\n")
	body := []byte("5\r\nhello\r\n0\r\nX: y\r\n\r\n")
	dst := make([]byte, 0, 4096)
	f := func(name string, work func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, work); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
	f("Request.Parse", func() { r.Reset(); _, _ = r.Parse(request, benchLimits) })
	f("AppendFields", func() { dst = AppendFields(dst[:0], r.Bytes(), r.Fields, HopByHop) })
	f("AppendTarget", func() { dst = r.AppendTarget(dst[:0]) })
	f("accessors", func() { r.Host(); r.Path(); r.Query(); r.Idempotent(); r.Value(Cookie) })
	f("Response.Parse", func() { p.Reset(); _, _ = p.Parse(response, benchLimits); p.Body(r.Method()) })
	f("a refusal", func() { r.Reset(); _, _ = r.Parse(refused, benchLimits) })
	f("Chunked", func() {
		c.Reset()
		for b := body; !c.Done(); {
			_, n, _, _ := c.Next(b)
			b = b[n:]
		}
	})
}
