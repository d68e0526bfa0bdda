package http1

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// decode gives msg to c in portions and returns the data, how much of msg was consumed, and how it ended.
func decode(c *Chunked, msg string, portion func(left int) int) (data []byte, consumed int, end string) {
	for consumed < len(msg) {
		p := []byte(msg[consumed:][:portion(len(msg)-consumed)])
		for len(p) > 0 {
			run, n, done, err := c.Next(p)
			data = append(data, run...)
			consumed += n
			p = p[n:]
			switch {
			case err != nil:
				return data, 0, asError(err).Reason
			case done != c.Done():
				return data, consumed, "BUG: done differs"
			case done:
				return data, consumed, "done"
			case n == 0:
				return data, consumed, "BUG: no progress"
			}
		}
	}
	return data, consumed, "more"
}

func decodeVerdict(c *Chunked, msg string, portion func(left int) int) string {
	c.Reset()
	data, n, end := decode(c, msg, portion)
	raw, fields := c.Trailers()
	s := fmt.Sprintf("%s %q n=%d left=%d", end, data, n, c.Left())
	if end != "done" {
		return s // how far it came depends on the portions
	}
	for i := range fields {
		f := &fields[i]
		s += fmt.Sprintf(" [%d %q %q]", f.Kind, f.NameIn(raw), f.ValueIn(raw))
	}
	return s
}

func whole(left int) int { return left }

// checkChunkSplits compares the whole with two portions split anywhere, single bytes, and random portions.
func checkChunkSplits(t testing.TB, msg string) {
	t.Helper()
	var c Chunked
	want := decodeVerdict(&c, msg, whole)
	f := func(name string, portion func(left int) int) {
		t.Helper()
		got := decodeVerdict(&c, msg, portion)
		if got != want {
			t.Fatalf("%s of %q: got %s, want %s", name, msg, got, want)
		}
	}
	f("single bytes", func(int) int { return 1 })
	for i := 1; i < len(msg); i++ {
		f(fmt.Sprint("split at ", i), func(left int) int {
			if left == len(msg) {
				return i
			}
			return left
		})
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	f("random", func(left int) int { return 1 + rnd.IntN(left) })
}

func TestChunkedAccepted(t *testing.T) {
	var c Chunked
	f := func(msg, want string) {
		t.Helper()
		if got := decodeVerdict(&c, msg+"GET /", whole); !strings.HasPrefix(got, fmt.Sprintf("done %s n=%d left=0", want, len(msg))) {
			t.Errorf("%q: got %s, want %s", msg, got, want)
		}
		checkChunkSplits(t, msg+"GET /")
	}
	f("0\r\n\r\n", `""`)
	f("3\r\nabc\r\n0\r\n\r\n", `"abc"`)
	f("a\r\n0123456789\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n0000\r\n\r\n", `"0123456789\r\n\r\n\r\n\r\n\r\n"`)
	f("0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n", `"abc"`)
	f("1;a\r\nx\r\n1;a=b;c=\"d;\x80\"\r\ny\r\n1 ;\ta\r\nz\r\n0;\r\n\r\n", `"xyz"`)
	f("0\r\nX: y\r\n\r\n", `""`)
	f("1;"+strings.Repeat("a", maxChunkExtensions)+"\r\nx\r\n0\r\n\r\n", `"x"`)
	f("0\r\nX: "+strings.Repeat("y", maxTrailers-7)+"\r\n\r\n", `""`)
	f("0\r\n"+strings.Repeat("X: y\r\n", maxTrailerFields)+"\r\n", `""`)
}

func TestChunkedRefused(t *testing.T) {
	var c Chunked
	f := func(rfc, msg, want string) {
		t.Helper()
		if got := decodeVerdict(&c, msg, whole); !strings.HasPrefix(got, want+" ") {
			t.Errorf("%s: %q: got %s, want %s", rfc, msg, got, want)
		}
		checkChunkSplits(t, msg)
		checkChunkSplits(t, msg+"\r\nabcdef\r\n0\r\n\r\n")
	}
	for _, size := range []string{
		"", " 3", "\t3", "+3", "-3", "0x3", "x", "g", "3g", "3.", "\"3\"", "\x80", "8000000000000000", "ffffffffffffffff",
		"00000000000000003", "3 ", "3\t", "3 a", "3\x00", "3,4",
	} {
		f("RFC 9112 7.1", size+"\r\n", "bad_chunk_size")
	}
	f("RFC 9112 2.2", "3\nabc", "bare_lf")
	f("RFC 9112 2.2", "3\rabc", "bare_cr")
	f("RFC 9112 2.2", "3\r\rabc", "bare_cr")
	f("RFC 9112 2.2", "3;a\nabc", "bare_lf")
	f("RFC 9112 2.2", "3;a\rabc", "bare_cr")
	f("RFC 9112 7.1.1", "3;a\x00\r\nabc", "control_byte")
	f("RFC 9112 7.1.1", "3;"+strings.Repeat("a", maxChunkExtensions+1)+"\r\n", "chunk_extensions_too_large")
	f("RFC 9112 7.1.1", "3"+strings.Repeat(" ", maxChunkExtensions+1)+";\r\n", "chunk_extensions_too_large")
	f("RFC 9112 7.1.1", strings.Repeat("1;"+strings.Repeat("a", 1024)+"\r\nx\r\n", 4)+"1;b\r\n", "chunk_extensions_too_large")
	f("RFC 9112 7.1", "3\r\nabcd\r\n", "bad_chunk_end")
	f("RFC 9112 7.1", "3\r\nabc\n0\r\n\r\n", "bad_chunk_end")
	f("RFC 9112 7.1", "3\r\nabc\r0\r\n\r\n", "bad_chunk_end")
	f("RFC 9112 7.1", "3\r\nabc0\r\n\r\n", "bad_chunk_end")
	f("RFC 9112 7.1", "3\r\nabc\r\n\r\n", "bad_chunk_size")
	f("RFC 9112 7.1.2", "0\r\nX: y\n\r\n", "bare_lf")
	f("RFC 9112 7.1.2", "0\r\n\n", "bare_lf")
	f("RFC 9112 7.1.2", "0\r\nX: y\r\n\n", "bare_lf")
	f("RFC 9112 7.1.2", "0\r\n\rX: y\r\n\r\n", "bare_cr")
	f("RFC 9112 7.1.2", "0\r\nX: y\rz\r\n\r\n", "bare_cr")
	f("RFC 9112 7.1.2", "0\r\nX: y\x00\r\n\r\n", "control_byte")
	f("RFC 9112 7.1.2", "0\r\n X: y\r\n\r\n", "obs_fold")
	f("RFC 9112 7.1.2", "0\r\nX : y\r\n\r\n", "space_before_colon")
	f("RFC 9112 7.1.2", "0\r\nX\r\n\r\n", "no_colon")
	f("RFC 9112 7.1.2", "0\r\n: y\r\n\r\n", "bad_field_name")
	f("RFC 9112 7.1.2", "0\r\nX: "+strings.Repeat("y", maxTrailers)+"\r\n\r\n", "trailers_too_large")
	f("RFC 9112 7.1.2", "0\r\nX: "+strings.Repeat("y", maxTrailers-6)+"\r\n\r\n", "trailers_too_large")
	f("RFC 9112 7.1.2", "0\r\n"+strings.Repeat("X: y\r\n", maxTrailerFields+1)+"\r\n", "too_many_trailers")
}

func TestChunkedLargest(t *testing.T) {
	var c Chunked
	if data, n, done, err := c.Next([]byte("7fffffffffffffff\r\nab")); string(data) != "ab" || n != 20 || done || err != nil {
		t.Fatalf("got %q, %d, %v, %v", data, n, done, err)
	}
	if got := c.Left(); got != 1<<63-1-2 {
		t.Errorf("got %d left", got)
	}
}

func TestChunkedSkip(t *testing.T) {
	var c Chunked
	data, n, _, err := c.Next([]byte("5\r\nab"))
	if string(data) != "ab" || n != 5 || err != nil || c.Left() != 3 || c.Done() {
		t.Fatalf("got %q, %d, %v, %d left", data, n, err, c.Left())
	}
	c.Skip(3)
	if data, n, done, err := c.Next([]byte("\r\n0\r\n\r\nGET")); len(data) != 0 || n != 7 || !done || err != nil || !c.Done() {
		t.Fatalf("got %q, %d, %v, %v", data, n, done, err)
	}
}

func TestTrailers(t *testing.T) {
	f := func(lines, want string) {
		t.Helper()
		var c Chunked
		if _, _, done, err := c.Next([]byte("0\r\n" + lines + "\r\n")); !done || err != nil {
			t.Fatalf("%q: %v, %v", lines, done, err)
		}
		raw, fields := c.Trailers()
		if got := string(AppendFields(nil, raw, fields, HopByHop|Underscored.Bit())); got != want {
			t.Errorf("%q: got %q, want %q", lines, got, want)
		}
	}
	f("", "")
	f("Server-Timing: a\r\nX:  y \r\n", "Server-Timing: a\r\nX:  y \r\n")
	f("ETag: a\r\nContent-Length: 5\r\nContent-Digest: b\r\nX_Y: 1\r\n", "ETag: a\r\nContent-Digest: b\r\n")
	for _, name := range []string{
		"Content-Length", "transfer-encoding", "Host", "Connection", "TE", "Trailer", "Upgrade", "Keep-Alive", "Authorization", "Cookie", "Set-Cookie",
		"X-Forwarded-For", "X-Forwarded-Prefix", "X-Real-IP", "Forwarded", "Via", "X-Request-ID", "Content-Type", "Content-Encoding", "Content-Range", "If-Match", "Range",
		"Cache-Control", "Expect", "Max-Forwards", "Location", "WWW-Authenticate", "Proxy-Authorization", "Age", "Expires", "Date", "Vary", "Retry-After",
	} {
		f(name+": a\r\nX: y\r\n"+strings.ToUpper(name)+": b\r\n", "X: y\r\n")
		if MayTrail([]byte(name)) {
			t.Errorf("%s may not be announced", name)
		}
	}
}

func TestMayTrail(t *testing.T) {
	for name, want := range map[string]bool{"X": true, "ETag": true, "X_Y": true, "content-digest": true, "": false, " X": false, "X;": false, "X Y": false, "X\x80": false} {
		if MayTrail([]byte(name)) != want {
			t.Errorf("%q: not %v", name, want)
		}
	}
}

func TestAppendChunkSize(t *testing.T) {
	for n, want := range map[int]string{0: "0\r\n", 9: "9\r\n", 10: "a\r\n", 4096: "1000\r\n", 1<<63 - 1: "7fffffffffffffff\r\n"} {
		if got := AppendChunkSize([]byte("x"), n); string(got) != "x"+want {
			t.Errorf("%d: got %q", n, got)
		}
	}
}

func TestChunkedReset(t *testing.T) {
	var c Chunked
	for range 3 {
		data, _, end := decode(&c, "1;a\r\nx\r\n0\r\nX: y\r\n\r\n", whole)
		raw, fields := c.Trailers()
		if !bytes.Equal(data, []byte("x")) || end != "done" || len(fields) != 1 || string(fields[0].ValueIn(raw)) != "y" {
			t.Fatalf("got %q, %s, %v", data, end, fields)
		}
		c.Reset()
	}
}
