package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/exchange"
)

// arrival is a request as a server reads it. err tells why its end did not come.
type arrival struct {
	head, method, target, body string
	err                        error
}

// witness is a server that remembers all that reaches it, and answers each request that is whole with its target.
type witness struct {
	net.Addr

	mu       sync.Mutex // guards all below
	opened   int        // connections, ever
	reading  int        // connections that are in the middle of a request
	open     int
	latest   string // the client that connected last
	arrivals []arrival
	broken   []error // heads that net/http cannot read
}

func witnessing(t testing.TB) *witness {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	w := &witness{Addr: ln.Addr()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			w.note(func() { w.opened, w.open, w.latest = w.opened+1, w.open+1, c.RemoteAddr().String() })
			go func() {
				w.serve(c)
				_ = c.Close()
				w.note(func() { w.open-- })
			}()
		}
	}()
	return w
}

func (w *witness) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *witness) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		if _, err := r.Peek(1); err != nil {
			return
		}
		w.note(func() { w.reading++ })
		a, framing, err := readArrival(r, c)
		w.note(func() {
			w.reading--
			if framing != nil {
				w.broken = append(w.broken, framing)
			}
			if a.head != "" {
				w.arrivals = append(w.arrivals, a)
			}
		})
		if err != nil || framing != nil {
			return
		}
		reply := "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(a.target)) + "\r\n\r\n"
		if a.method != http.MethodHead {
			reply += a.target
		}
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
	}
}

// readArrival reads a request as net/http does, but for its target, in which net/http is stricter than RFC 9112.
// framing is what net/http says against it; err tells that it is not whole.
func readArrival(r *bufio.Reader, c io.Writer) (a arrival, framing, err error) {
	head, err := readRawHead(r)
	if err != nil {
		return a, nil, err
	}
	a.head = head
	line, rest, _ := strings.Cut(head, "\r\n")
	words := strings.Split(line, " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" || strings.ContainsAny(head, "\x00") || strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") {
		return a, fmt.Errorf("bad line or byte in %q", head), nil
	}
	a.method, a.target = words[0], words[1]
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(words[0] + " / HTTP/1.1\r\n" + rest)))
	if err != nil {
		return a, fmt.Errorf("%w in %q", err, head), nil
	}
	if len(req.Header["Content-Length"]) > 0 && req.TransferEncoding != nil {
		return a, fmt.Errorf("two framings in %q", head), nil
	}
	if req.Header.Get("Expect") != "" {
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	a.body, a.err = readRawBody(r, req.ContentLength, req.TransferEncoding != nil)
	if a.err != nil && !errors.Is(a.err, io.ErrUnexpectedEOF) && !errors.Is(a.err, io.EOF) && !isNetwork(a.err) {
		return a, fmt.Errorf("%w in the body of %q", a.err, head), nil
	}
	return a, nil, a.err
}

func readRawHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			return head.String(), err
		}
		if line == "\r\n" {
			return head.String(), nil
		}
	}
}

func readRawBody(r *bufio.Reader, length int64, chunked bool) (string, error) {
	if !chunked {
		body, err := io.ReadAll(io.LimitReader(r, length))
		if err == nil && int64(len(body)) < length {
			err = io.ErrUnexpectedEOF
		}
		return string(body), err
	}
	body, err := io.ReadAll(httputil.NewChunkedReader(r))
	if err != nil {
		return string(body), err
	}
	_, err = textproto.NewReader(r).ReadMIMEHeader()
	return string(body), err
}

// until waits for something that comes about without a message to the test.
func until(t testing.TB, f func() bool, what string, args ...any) {
	t.Helper()
	for start := time.Now(); !f(); time.Sleep(200 * time.Microsecond) {
		if time.Since(start) > patience {
			t.Fatalf(what, args...)
		}
	}
}

// taken waits until the server has seen all that the proxy had for it, and returns what came since it was asked last.
func (w *witness) taken(p *proxy) (all []arrival) {
	p.t.Helper()
	p.settle()
	last, err := net.Dial("tcp", w.Addr.String())
	require.NoError(p.t, err)
	_ = last.Close() // it is accepted behind all the others
	until(p.t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.latest == last.LocalAddr().String() && w.reading == 0 && w.open == p.kept()
	}, "the server is still busy")
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Empty(p.t, w.broken)
	all, w.arrivals = w.arrivals, nil
	return all
}

func (w *witness) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// settle waits until no request is in flight.
func (p *proxy) settle() {
	p.t.Helper()
	until(p.t, func() bool { return p.pending() == 0 }, "requests stay in flight")
}

func (p *proxy) pending() (n int) {
	for _, b := range p.Snapshot().backends {
		for _, m := range b.Members() {
			n += m.PendingInFlight()
		}
	}
	return n
}

// kept is the number of idle connections to servers.
func (p *proxy) kept() (n int) {
	known := map[*exchange.Server]bool{}
	for _, b := range p.Snapshot().backends {
		for _, m := range b.Members() {
			s := m.Server.Server
			if !known[s] {
				n += s.Idle()
			}
			known[s] = true
		}
	}
	return n
}

// logged waits for a line of the log that has all the parts.
func (p *proxy) logged(parts ...string) {
	p.t.Helper()
	until(p.t, func() bool {
		for line := range strings.Lines(p.log.String()) {
			found := true
			for _, part := range parts {
				found = found && strings.Contains(line, part)
			}
			if found {
				return true
			}
		}
		return false
	}, "not in the log: %q", parts)
}

func caused(word string) string { return `"cause":"` + word + `"` }

// reply is a response as net/http reads it. err is why its body did not come to its end, or there was none.
type reply struct {
	*http.Response
	body string
	err  error
}

// readReply reads the final response to a request of the method.
func (c *peerConn) readReply(method string) reply {
	for {
		resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
		if err != nil {
			return reply{Response: &http.Response{}, err: err}
		}
		if resp.StatusCode < 200 && resp.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		return reply{resp, string(body), err}
	}
}

// get sends a GET on a connection of its own and reads the response.
func (p *proxy) get(target string) reply {
	p.t.Helper()
	c := p.dial()
	defer c.Close()
	c.send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
	return c.readReply(http.MethodGet)
}

// tail reads until the connection is closed and returns what still came.
func (c *peerConn) tail() string {
	text, err := c.readAll()
	if ranOut(err) {
		return text + " [and stays open]"
	}
	return text
}

// sendSlowly sends byte by byte, each in a segment of its own.
func (c *peerConn) sendSlowly(text string) {
	for i := range len(text) {
		c.send(text[i : i+1])
	}
}

func ranOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// abort ends the connection with RST.
func (c *peerConn) abort() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// took checks that f took as long as the limit at least, and not much longer than a quarter beyond.
func took(t testing.TB, limit time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	d := time.Since(start)
	require.GreaterOrEqual(t, d, limit-5*time.Millisecond)
	require.LessOrEqual(t, d, limit*5/4+busy)
}

// busy is what a machine that does other things beside may add to a time.
const busy = time.Second

func startsWith(t testing.TB, text, prefix string) {
	t.Helper()
	require.True(t, strings.HasPrefix(text, prefix), "%q does not start with %q", text, prefix)
}

func times(n int, text string) string { return string(bytes.Repeat([]byte(text), n)) }

// isNetwork is true for an error of the connection, and not of what came on it.
func isNetwork(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}
