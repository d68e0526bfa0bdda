package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"l7/auth"
	"l7/balancer"
	"l7/config"
	"l7/exchange"
)

// startFuzzed runs a proxy that all inputs of a process share. Its t is the input's.
func startFuzzed(f *testing.F, origin net.Addr) *proxy {
	f.Helper()
	file := filepath.Join(f.TempDir(), "l7.yml")
	yaml := fmt.Sprintf("backends:\n  '*':\n    servers: [{address: '%s'}]\n", origin)
	require.NoError(f, os.WriteFile(file, []byte(yaml), 0o600))
	loaded, err := config.Load(config.Args{File: file}, nil)
	require.NoError(f, err)
	pools := exchange.NewPools()
	snapshot, findings := NewSnapshot(&loaded.Config, Parts{Registry: balancer.NewRegistry(pools, func(balancer.Change) {}), Verifier: auth.NewVerifier(), Pools: pools, Limiters: NewLimiters(), Cells: NewCells()})
	require.Empty(f, findings)
	s := New(zerolog.Nop(), snapshot, pools)
	opening, err := s.Open([]Listen{{Address: config.ListenAddress{Network: "tcp", Addr: "127.0.0.1:0"}}})
	require.NoError(f, err)
	commit(s, opening)
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_ = s.Drain(ctx)
		s.Snapshot().Close()
	})
	return &proxy{Server: s, addr: s.Addrs()[0].String(), log: &syncBuffer{}}
}

// FuzzProxy sends what it likes to a proxy, in one piece or two, ends its half of the connection, and reads to the end.
//
// What reaches the server must be a selection, in order, of the requests that a second reading of the client's bytes finds:
// never more, none changed in method, target or body. That reading is net/http's, behind a few lines that know where a head ends;
// it takes more for a request than l7 does, so that what l7 refuses does not matter, but it must agree on where each request
// that l7 takes begins and ends. Every head that reaches the server must be one that net/http reads, with one framing (readArrival).
// The proxy answers in responses that net/http reads, and goes on to serve.
func FuzzProxy(f *testing.F) {
	for i, r := range refusals() {
		f.Add([]byte(good+r.raw+follower), uint16(i))
		f.Add([]byte(r.raw), uint16(i*7))
	}
	for i, bad := range misbehaviours() {
		f.Add([]byte(fmt.Sprintf(bad, "aaaaaaaa")), uint16(i*13))
	}
	for i, upload := range []string{lengthPost + "0123456789", chunkedPost + "3\r\nabc\r\n0\r\n\r\n", chunkedPost + "3;a=b\r\nabc\r\n0\r\nX: 1\r\n\r\n"} {
		f.Add([]byte(upload+follower), uint16(i*50))
		f.Add([]byte(strings.Replace(upload, "Host: a\r\n", "Host: a\r\nExpect: 100-continue\r\nTrailer: X, Content-Length\r\nTE: trailers\r\nConnection: TE, X\r\n", 1)+follower), uint16(i*60))
	}
	f.Add([]byte("GET http://b/?x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\r\nOPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), uint16(0))
	w := witnessing(f)
	p := startFuzzed(f, w)
	f.Fuzz(func(t *testing.T, data []byte, cut uint16) {
		p.t = t
		text := speak(t, p, data, int(cut))
		in := requestsIn(string(data))
		requireSelection(t, in, w.taken(p))
		requireResponses(t, in, text)
		require.Equal(t, "/after", p.get("/after").body)
		require.Len(t, w.taken(p), 1)
	})
}

// speak sends the bytes and returns all that comes back.
func speak(t *testing.T, p *proxy, data []byte, cut int) string {
	c := p.dial()
	defer c.Close()
	if cut > 0 && cut < len(data) {
		c.send(string(data[:cut]))
		time.Sleep(200 * time.Microsecond) // lets the proxy begin; the outcome must be the same
		data = data[cut:]
	}
	c.send(string(data))
	_ = c.CloseWrite()
	text, err := c.readAll()
	require.False(t, ranOut(err), "no end of the connection after %q", text)
	return text
}

// requestsIn finds the whole requests in what a client sent.
func requestsIn(data string) (all []arrival) {
	for {
		data = strings.TrimPrefix(data, "\r\n")
		head, rest, found := strings.Cut(data, "\r\n\r\n")
		if !found || strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") {
			return all
		}
		line, fields, _ := strings.Cut(head, "\r\n")
		words := strings.Split(line, " ")
		if len(words) != 3 {
			return all
		}
		fields = trailerLine.ReplaceAllString(fields, "X:")
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(words[0] + " / " + words[2] + "\r\n" + fields + "\r\n\r\n")))
		if err != nil {
			return all
		}
		r := bufio.NewReader(strings.NewReader(rest))
		body, err := readRawBody(r, req.ContentLength, req.TransferEncoding != nil)
		if err != nil {
			return all
		}
		all = append(all, arrival{method: words[0], target: originForm(words[0], words[1]), body: body})
		left, _ := io.ReadAll(r)
		data = string(left)
	}
}

// trailerLine is hidden from net/http, which refuses a message for what it may name there.
var trailerLine = regexp.MustCompile(`(?im)^Trailer:`)

// originForm is what a server gets for a target. RFC 9112 section 3.2.2 and 3.2.4.
func originForm(method, target string) string {
	scheme, rest, absolute := strings.Cut(target, "://")
	if !absolute || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return target
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0 && method == http.MethodOptions:
		return "*"
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}

// requireSelection checks that the whole requests among those that came out went in, in this order.
func requireSelection(t *testing.T, in, out []arrival) {
	t.Helper()
	next := 0
	for _, a := range out {
		if a.err != nil {
			continue // the server saw that it is not whole
		}
		found := false
		for ; next < len(in) && !found; next++ {
			found = in[next].method == a.method && in[next].target == a.target && in[next].body == a.body
		}
		require.True(t, found, "the server got %q with the body %q\nthe client sent %q", a.head, a.body, in)
	}
}

// requireResponses checks that what a client got is responses, and no more than it may have asked for, beside one refusal.
func requireResponses(t *testing.T, in []arrival, text string) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(text))
	for n := 0; ; {
		if _, err := r.Peek(1); err != nil {
			return
		}
		require.LessOrEqual(t, n, len(in), "%q", text)
		method := http.MethodGet
		if n < len(in) {
			method = in[n].method
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		require.NoError(t, err, "%q", text)
		if resp.StatusCode < 200 {
			continue
		}
		if resp.Close {
			return // a refused HEAD has a body
		}
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err, "%q", text)
		n++
	}
}

// How FuzzOrigin's server and client behave, as bits.
const (
	endsWithReset = 1 << iota // the server
	staysALittle
	asksHead // the client
	asksPost
	isOld
	takesTrailers
	asksToUpgrade
)

// FuzzOrigin answers as it likes to a request through a proxy. When the client gets a response that net/http finds whole, and it is
// not the proxy's own, then it is the one that net/http reads from the same bytes directly: same status, same body, and it was
// whole. Otherwise the client is cut off or told 502. The next request, on the same connection or a new one, gets its own answer.
func FuzzOrigin(f *testing.F) {
	for i, response := range responseSeeds() {
		f.Add([]byte(response), uint8(0))
		f.Add([]byte(response+plainOK), uint8(i))
		f.Add([]byte(response), uint8(asksToUpgrade))
	}
	o := &scriptedOrigin{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(f, err)
	f.Cleanup(func() { _ = ln.Close() })
	go o.serve(ln)
	p := startFuzzed(f, ln.Addr())
	f.Fuzz(func(t *testing.T, data []byte, mode uint8) {
		p.t = t
		o.script.Store(&script{data, mode})
		method, request := fuzzRequest(mode)
		c := p.dial()
		defer c.Close()
		c.send(request)
		got := c.readReply(method)
		require.False(t, ranOut(got.err), "no end of the response")
		requireFaithful(t, got, data, method, mode)
		if got.err == nil && got.StatusCode == 101 {
			_ = c.CloseWrite()
			require.Contains(t, string(data), c.tail()) // the tunnel, up to where the server ended it
			got.Close = true
		}
		if got.err == nil && !got.Close && got.ProtoMinor == 1 && mode&isOld == 0 {
			c.send("GET /next/1 HTTP/1.1\r\nHost: a\r\n\r\n")
			require.Equal(t, "/next/1", c.readReply("GET").body)
		}
		require.Equal(t, "/next/2", p.get("/next/2").body)
		_ = c.Close()
		p.settle()
	})
}

func fuzzRequest(mode uint8) (method, request string) {
	method, version, fields, body := "GET", "1.1", "", ""
	switch {
	case mode&asksHead != 0:
		method = "HEAD"
	case mode&asksPost != 0:
		method, fields, body = "POST", "Content-Length: 3\r\n", "abc"
	}
	if mode&isOld != 0 {
		version = "1.0"
	}
	if mode&takesTrailers != 0 {
		fields += "TE: trailers\r\nConnection: TE\r\n"
	}
	if mode&asksToUpgrade != 0 {
		fields = strings.Replace(fields, "Connection: TE\r\n", "", 1) + "Upgrade: websocket\r\nConnection: TE, upgrade\r\n"
	}
	return method, method + " /fuzz HTTP/" + version + "\r\nHost: a\r\n" + fields + "\r\n" + body
}

// requireFaithful compares what the client got with what net/http reads from the server's bytes.
func requireFaithful(t *testing.T, got reply, data []byte, method string, mode uint8) {
	t.Helper()
	if got.err != nil || strings.HasPrefix(got.Header.Get("Proxy-Status"), "l7; error=") {
		return
	}
	want := readDirectly(data, method, mode)
	if want.err != nil && strings.Contains(want.err.Error(), "bad trailer key") {
		return // see trailerLine
	}
	require.NoError(t, want.err, "the client got %d %q", got.StatusCode, got.body)
	require.Equal(t, want.StatusCode, got.StatusCode)
	require.Equal(t, want.body, got.body)
}

// readDirectly reads a response as a client of the server itself would.
func readDirectly(data []byte, method string, mode uint8) reply {
	end := io.EOF
	if mode&endsWithReset != 0 {
		end = syscall.ECONNRESET
	}
	r := bufio.NewReader(io.MultiReader(bytes.NewReader(data), failing{end}))
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return reply{err: err}
		}
		if resp.StatusCode >= 100 && resp.StatusCode < 200 && resp.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		return reply{resp, string(body), err}
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// script is what scriptedOrigin answers to the next request for /fuzz.
type script struct {
	data []byte
	mode uint8
}

// scriptedOrigin answers /fuzz as the script has it, and all else with its target.
type scriptedOrigin struct{ script atomic.Pointer[script] }

func (o *scriptedOrigin) serve(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go o.converse(c)
	}
}

func (o *scriptedOrigin) converse(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if req.URL.Path == "/fuzz" {
			if s := o.script.Load(); !s.play(c, r) {
				return
			}
			continue
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.URL.Path), req.URL.Path); err != nil {
			return
		}
	}
}

// play is true when the connection has got a further request.
func (s *script) play(c net.Conn, r *bufio.Reader) bool {
	if _, err := c.Write(s.data); err != nil {
		return false
	}
	if s.mode&staysALittle != 0 {
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		_, err := r.Peek(1)
		_ = c.SetReadDeadline(time.Time{})
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err == nil
		}
	}
	if s.mode&endsWithReset != 0 {
		_ = c.(*net.TCPConn).SetLinger(0)
		return false
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, r)
	return false
}

func responseSeeds() []string {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	seeds := []string{
		"", plainOK, "HTTP/1.1 200\r\n\r\nabc", "HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
		chunked + "\r\n3\r\nabc\r\n0\r\n\r\n", chunked + "\r\n3;x\r\nabc\r\n0\r\nX: 1\r\n\r\n", chunked + "Trailer: X, Content-Length, Y\r\n\r\n1\r\na\r\n0\r\nX: 1\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + plainOK, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + plainOK,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nabc", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 999 X\r\nContent-Length: 1\r\n\r\na",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", chunked + "\r\n3\r\nab", chunked + "\r\n3\r\nabc\r\n", chunked + "\r\nx\r\n", chunked + "Content-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", "HTTP/2.0 200 OK\r\n\r\n", "garbage",
		"HTTP/1.1 200 OK\r\nConnection: close, X\r\nX: 1\r\nKeep-Alive: 5\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 421 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\nProxy-Authenticate: x\r\nContent-Length: 0\r\n\r\n",
	}
	return seeds
}
