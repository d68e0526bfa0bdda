package server

// The situations of the tests that Go has for its own reverse proxy (net/http/httputil/reverseproxy_test.go, Go 1.26), each
// with real sockets against l7. "No" says why one does not apply; "differs" is a decision of ours, and its test says which.
//
//	Test1xxHeadersNotModifiedAfterRoundTrip   TestReverseProxyClientLeavesAt1xx
//	Test1xxResponses                          TestReverseProxy1xx
//	TestClonesRequestHeaders                  no: no code of others sees the request after l7
//	TestJoinURLPath                           no: the address of a server has no path to join with; config refuses one
//	TestModifyResponseClosesBody              no: ModifyResponse is a hook of the library
//	TestNilBody                               TestReverseProxyBareRequest
//	TestReverseProxy                          TestReverseProxyHeads, TestReverseProxyServerHangsUp
//	TestReverseProxyCancellation              TestReverseProxyReset, TestReverseProxyHalfClose (differs)
//	TestReverseProxyErrorHandler              TestReverseProxyUnreachable, TestReverseProxyOddStatus; its other rows are hooks
//	TestReverseProxyFlushInterval             TestReverseProxyHoldsNothingBack: there is no interval to set
//	TestReverseProxyFlushIntervalHeaders      TestReverseProxyHoldsNothingBack
//	TestReverseProxyGetPutBuffer              no: BufferPool is a hook of the library
//	TestReverseProxyHijackCopyError           TestReverseProxyTunnelFailsAtOnce
//	TestReverseProxyInvalidUpstream100ContinueDoNotHang
//	                                          TestReverseProxyExpectOfUnreachable
//	TestReverseProxyModifyResponse            no: ModifyResponse is a hook of the library
//	TestReverseProxyQuery                     TestReverseProxyQuery; rows with a query in the address: config refuses one
//	TestReverseProxyQueryParameterSmuggling*  TestReverseProxyQuery (differs from the two that clean the query)
//	TestReverseProxyResponseControllerFlushInterval
//	                                          TestReverseProxyHoldsNothingBack
//	TestReverseProxyRewriteReplacesOut        no: Rewrite is a hook of the library
//	TestReverseProxyRewriteStripsForwarded    TestReverseProxyForwardingOfStrangers
//	TestReverseProxyStripEmptyConnection      TestReverseProxyConnectionOptions
//	TestReverseProxyStripHeadersPresentInConnection
//	                                          TestReverseProxyConnectionOptions
//	TestReverseProxyUpgradeNoCloseWrite       TestReverseProxyTunnelClientCloses
//	TestReverseProxyWebSocket                 TestReverseProxyWebSocket
//	TestReverseProxyWebSocketCancellation     TestReverseProxyTunnelIsCut
//	TestReverseProxyWebSocketHalfTCP          TestReverseProxyTunnelHalfClose
//	TestReverseProxy_AllocatedHeader          TestReverseProxyBareRequest
//	TestReverseProxy_CopyBuffer               TestReverseProxyShortResponse
//	TestReverseProxy_NilBody                  TestReverseProxyNoBody
//	TestReverseProxy_PanicBodyError           TestReverseProxyShortResponse
//	TestReverseProxy_PanicClosesIncomingBody  TestReverseProxyShortResponsesToUploads
//	TestReverseProxy_Post                     TestReverseProxyPost
//	TestSelectFlushInterval                   TestReverseProxyHoldsNothingBack
//	TestServeHTTPDeepCopy                     no: no code of others sees the request after l7
//	TestSetURL                                TestReverseProxyHost (differs)
//	TestSingleJoinSlash                       no: as TestJoinURLPath
//	TestUnannouncedTrailer                    TestReverseProxyTrailers (differs)
//	TestUserAgentHeader                       TestReverseProxyUserAgent
//	TestXForwardedFor                         TestReverseProxyForwardedFor (differs)
//	TestXForwardedFor_Omit                    no: a Director says that the field is to be left out; a config cannot yet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// library returns a client of net/http whose requests all go to the proxy, and which keeps nothing beyond the test.
func (p *proxy) library() *http.Client {
	transport := &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
		},
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// request makes a request to http://some-name with header fields, given as name and value in turn. It has a time limit.
func request(t *testing.T, method, target string, body io.Reader, fields ...string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "http://some-name"+target, body)
	require.NoError(t, err)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	return r
}

// do sends a request by the library. The body is the caller's to read.
func (p *proxy) do(r *http.Request) *http.Response {
	p.t.Helper()
	response, err := p.library().Do(r)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// whole reads a body to its end.
func whole(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(body)
}

// await receives what a server tells its test.
func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "this does not happen: "+what)
		panic("not reached")
	}
}

// Fields of one hop end here, all others pass, and the trailers do. The server is told TE: trailers together with the
// Connection option that RFC 9110 section 10.1.4 asks for; Go leaves that out.
func TestReverseProxyHeads(t *testing.T) {
	got := make(chan *http.Request, 1)
	p := inFront(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r
		h := w.Header()
		h.Set("Trailers", "not a special field name")
		h.Set("Trailer", "X-Trailer")
		h.Set("X-Foo", "bar")
		h.Set("Upgrade", "foo")
		h.Set("Keep-Alive", "timeout=5")
		h.Set("Proxy-Authenticate", "Basic")
		h["X-Multi-Value"] = []string{"foo", "bar"}
		http.SetCookie(w, &http.Cookie{Name: "flavor", Value: "chocolateChip"})
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "I am the backend")
		h.Set("X-Trailer", "trailer_value")
		h.Set(http.TrailerPrefix+"X-Unannounced-Trailer", "unannounced_trailer_value")
	}))
	r := request(t, http.MethodGet, "/", nil,
		"Connection", "close, TE", "Te", "foo", "Te", "bar, trailers", "Proxy-Connection", "x", "Upgrade", "foo", "Keep-Alive", "x")
	r.Close = true
	response := p.do(r)

	asked := await(t, got, "a request")
	assert.Equal(t, "some-name", asked.Host)
	assert.Empty(t, asked.TransferEncoding)
	assert.Equal(t, "127.0.0.1", asked.Header.Get("X-Forwarded-For"))
	assert.Equal(t, []string{"TE"}, asked.Header["Connection"])
	assert.Equal(t, []string{"trailers"}, asked.Header["Te"])
	for _, name := range []string{"Upgrade", "Proxy-Connection", "Keep-Alive"} {
		assert.NotContains(t, asked.Header, name)
	}

	assert.Equal(t, http.StatusNotFound, response.StatusCode)
	assert.True(t, response.Close, "the client asked for the end of the connection")
	assert.Equal(t, "bar", response.Header.Get("X-Foo"))
	assert.Equal(t, "not a special field name", response.Header.Get("Trailers"))
	assert.Equal(t, []string{"foo", "bar"}, response.Header["X-Multi-Value"])
	assert.Equal(t, []string{"flavor=chocolateChip"}, response.Header["Set-Cookie"])
	for _, name := range []string{"Upgrade", "Keep-Alive", "Proxy-Authenticate"} {
		assert.NotContains(t, response.Header, name)
	}
	assert.Equal(t, http.Header{"X-Trailer": nil}, response.Trailer, "what is announced in the head")
	assert.Equal(t, "I am the backend", whole(t, response))
	assert.Equal(t, "trailer_value", response.Trailer.Get("X-Trailer"))
	assert.Equal(t, "unannounced_trailer_value", response.Trailer.Get("X-Unannounced-Trailer"))
}

func TestReverseProxyServerHangsUp(t *testing.T) {
	p := inFront(t, scripted(t, func(c *peerConn) { c.readHead() }))
	response := p.do(request(t, http.MethodGet, "/", nil))
	assert.Equal(t, http.StatusBadGateway, response.StatusCode)
	assert.Contains(t, response.Header.Get("Proxy-Status"), "server_closed")
}

// What a Connection line names ends here, in both directions, however many lines there are and whether or not some are empty.
func TestReverseProxyConnectionOptions(t *testing.T) {
	f := func(lines ...string) {
		t.Helper()
		fields := strings.Join(append(lines, "X-Some-Conn-Header: x", "X-Fake-Connection-Token: x", "X-Stays: x"), "\r\n") + "\r\n"
		got := make(chan string, 1)
		p := inFront(t, scripted(t, func(c *peerConn) {
			got <- c.readHead()
			c.send("HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 2\r\n\r\nok")
		}))
		c := p.dial()
		c.send("GET / HTTP/1.1\r\nHost: some-name\r\n" + fields + "\r\n")
		assert.Equal(t, "HTTP/1.1 200 OK\r\nX-Stays: x\r\nContent-Length: 2\r\n\r\n", c.readHead())
		assert.Equal(t, "GET / HTTP/1.1\r\nHost: some-name\r\nX-Stays: x\r\n"+
			"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: some-name\r\n\r\n", await(t, got, "a request"))
		assert.Equal(t, "ok", c.readN(2))
	}
	f("Connection: Upgrade, X-Fake-Connection-Token", "Connection: X-Some-Conn-Header")
	f("Connection: ", "Connection: X-Some-Conn-Header,, x-fake-connection-token")
	f("Connection: X-Some-Conn-Header", "Connection: , \t,", "Connection: X-Fake-Connection-Token")
}

// Differs: Go appends to whatever a client says. l7 does so for trusted proxies, and drops it from others, who can say what they like.
func TestReverseProxyForwardedFor(t *testing.T) {
	f := func(want string, config ...string) {
		t.Helper()
		got := make(chan []string, 1)
		p := inFront(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
			got <- r.Header["X-Forwarded-For"]
			w.WriteHeader(http.StatusNotFound)
		}), config...)
		response := p.do(request(t, http.MethodGet, "/", nil, "X-Forwarded-For", "client ip", "Connection", "close"))
		assert.Equal(t, http.StatusNotFound, response.StatusCode)
		assert.Equal(t, []string{want}, await(t, got, "a request"))
	}
	f("127.0.0.1")
	f("client ip, 127.0.0.1", "trusted_proxies: [127.0.0.0/8]")
}

// A Rewrite of Go's drops these fields and leaves them out; l7 drops them too, and writes its own.
func TestReverseProxyForwardingOfStrangers(t *testing.T) {
	got := make(chan http.Header, 1)
	p := inFront(t, serving(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	p.do(request(t, http.MethodGet, "/", nil, "Forwarded", "for=x", "X-Forwarded-For", "x", "X-Forwarded-Host", "x", "X-Forwarded-Proto", "x"))
	asked := await(t, got, "a request")
	assert.NotContains(t, asked, "Forwarded")
	assert.Equal(t, []string{"127.0.0.1"}, asked["X-Forwarded-For"])
	assert.Equal(t, []string{"some-name"}, asked["X-Forwarded-Host"])
	assert.Equal(t, []string{"http"}, asked["X-Forwarded-Proto"])
}

// Differs: Go can be told to take out what two parsers may read in two ways. l7 passes the target on byte for byte and decides
// nothing by the query.
func TestReverseProxyQuery(t *testing.T) {
	origin := serving(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })
	p := inFront(t, origin)
	f := func(p *proxy, target string) {
		t.Helper()
		c := p.dial()
		c.send("GET " + target + " HTTP/1.1\r\nHost: some-name\r\nConnection: close\r\n\r\n")
		response, err := http.ReadResponse(c.r, nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, target, whole(t, response))
	}
	f(p, "/")
	f(p, "/?")
	f(p, "/?us=er")
	f(p, "/?a=1&a=2;b=3")
	f(p, "/?a=1&a=%zz&b=3")
	f(p, "/?a=%zz")
	long := "/?" + strings.Repeat("a=1&", 10000) + "a=1"
	assert.Contains(t, p.exchange("GET "+long+" HTTP/1.1\r\nHost: some-name\r\n\r\n"), "HTTP/1.1 414 ")
	f(inFront(t, origin, "limits: {request_line: 64KiB}"), long)
}

// Nothing waits for more: the client has read each part before the server sends the next.
func TestReverseProxyHoldsNothingBack(t *testing.T) {
	f := func(head string, parts ...string) {
		t.Helper()
		taken := make(chan struct{})
		p := inFront(t, scripted(t, func(c *peerConn) {
			c.readHead()
			for _, part := range append([]string{"HTTP/1.1 200 OK\r\n" + head + "\r\n"}, parts...) {
				c.send(part)
				<-taken
			}
		}))
		defer close(taken)
		c := p.dial()
		c.send("GET / HTTP/1.1\r\nHost: some-name\r\n\r\n")
		require.Contains(t, c.readHead(), "200 OK")
		taken <- struct{}{}
		for _, part := range parts {
			want := part
			if !strings.Contains(head, "Content-Length") && !strings.Contains(head, "chunked") {
				want = strconv.FormatInt(int64(len(part)), 16) + "\r\n" + part + "\r\n" // framed by us
			}
			require.Equal(t, want, c.readN(len(want)))
			taken <- struct{}{}
		}
	}
	const chunked = "Transfer-Encoding: chunked\r\n"
	f(chunked+"Content-Type: text/event-stream\r\n", "9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n", "0\r\n\r\n")
	f(chunked+"Content-Type: text/event-stream;charset=utf-8\r\n", "9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n")
	f(chunked, "1\r\na\r\n", "2\r\nbc\r\n", "0\r\n\r\n")
	f("Content-Type: text/plain\r\n", "a", "bc", "def")
	f("Content-Length: 6\r\n", "a", "bc", "def")
	f("Content-Length: 2\r\nContent-Type: text/html\r\n", "hi")
}

// A client that resets its connection cancels the exchange while the server works on it.
func TestReverseProxyReset(t *testing.T) {
	inFlight, cancelled := make(chan struct{}), make(chan struct{})
	p := inFront(t, serving(t, func(_ http.ResponseWriter, r *http.Request) {
		close(inFlight)
		<-r.Context().Done()
		close(cancelled)
	}))
	c := p.dial()
	c.send("GET / HTTP/1.1\r\nHost: some-name\r\n\r\n")
	await(t, inFlight, "a request")
	require.NoError(t, c.SetLinger(0))
	require.NoError(t, c.Close())
	await(t, cancelled, "the server hears of it")
	require.Eventually(t, func() bool { return strings.Contains(p.log.String(), `"cause":"client_gone"`) }, patience, time.Millisecond)
}

// Differs: what Go's client does to cancel, a plain close, is a half-close to l7. One who sends all and then listens gets the
// answer; one who is gone is found out when it comes (issue 3, 16).
func TestReverseProxyHalfClose(t *testing.T) {
	inFlight, closed := make(chan struct{}), make(chan struct{})
	p := inFront(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
		close(inFlight)
		<-closed
		select {
		case <-r.Context().Done():
		case <-time.After(2 * watchTime): // longer than l7 takes to look after a silent client
		}
		_, _ = io.WriteString(w, "answer")
	}))
	c := p.dial()
	c.send("GET / HTTP/1.1\r\nHost: some-name\r\n\r\n")
	await(t, inFlight, "a request")
	require.NoError(t, c.CloseWrite())
	close(closed)
	response, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	assert.Equal(t, "answer", whole(t, response))
}

// watchTime is after how long without an answer the exchange looks after the client.
const watchTime = 50 * time.Millisecond

// The least request that there is, which has neither fields nor body nor host.
func TestReverseProxyBareRequest(t *testing.T) {
	p := inFront(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.Empty(t, body)
		assert.NoError(t, err)
		_, _ = io.WriteString(w, "hi")
	}))
	got := p.exchange("GET / HTTP/1.0\r\n\r\n")
	assert.True(t, strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n"), got)
	assert.True(t, strings.HasSuffix(got, "\r\n\r\nhi"), got)
}

// None is made up for a client that sends none.
func TestReverseProxyUserAgent(t *testing.T) {
	got := make(chan []string, 1)
	p := inFront(t, serving(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header["User-Agent"] }))
	p.do(request(t, http.MethodGet, "/", nil, "User-Agent", "explicit UA"))
	assert.Equal(t, []string{"explicit UA"}, await(t, got, "a request"))
	p.do(request(t, http.MethodGet, "/", nil, "User-Agent", ""))
	assert.Empty(t, await(t, got, "a request"))
}

func TestReverseProxyPost(t *testing.T) {
	sent := bytes.Repeat([]byte("abcdefg\n"), 1<<17)
	p := inFront(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.True(t, bytes.Equal(sent, body), "%d bytes arrived, or others", len(body))
		_, _ = io.WriteString(w, "I am the backend")
	}))
	f := func(body io.Reader) {
		t.Helper()
		response := p.do(request(t, http.MethodPost, "/", body))
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, "I am the backend", whole(t, response))
	}
	f(bytes.NewReader(sent))
	f(io.MultiReader(bytes.NewReader(sent))) // in chunks
}

// A request without a body goes on without one, not with an empty one.
func TestReverseProxyNoBody(t *testing.T) {
	got := make(chan string, 8)
	p := inFront(t, scripted(t, func(c *peerConn) { got <- c.readHead() }))
	f := func(method string) {
		t.Helper()
		response := p.do(request(t, method, "/", nil))
		assert.Equal(t, http.StatusBadGateway, response.StatusCode)
		head := await(t, got, "a request")
		assert.Contains(t, head, method+" / HTTP/1.1\r\n")
		assert.NotContains(t, head, "Content-Length")
		assert.NotContains(t, head, "Transfer-Encoding")
	}
	f(http.MethodGet)
	f(http.MethodDelete)
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr()
}

func TestReverseProxyUnreachable(t *testing.T) {
	response := inFront(t, refusing(t)).do(request(t, http.MethodGet, "/", nil))
	assert.Equal(t, http.StatusBadGateway, response.StatusCode)
	assert.Contains(t, response.Header.Get("Proxy-Status"), "connect_refused")
}

func TestReverseProxyOddStatus(t *testing.T) {
	f := func(status string) {
		t.Helper()
		head := "HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\n"
		c := inFront(t, answering(t, head+"ok")).dial()
		c.send("GET / HTTP/1.1\r\nHost: some-name\r\n\r\n")
		assert.Equal(t, head, c.readHead())
		assert.Equal(t, "ok", c.readN(2))
	}
	f("345 ")
	f("346 Whatever")
	f("999 \xe9")
}

// shortResponse promises twice as much as comes.
const (
	shortBody     = "this was relayed by the proxy"
	shortResponse = "HTTP/1.1 200 OK\r\nContent-Length: 58\r\n\r\n" + shortBody
)

// That a response is cut short shows, to the client and in the log.
func TestReverseProxyShortResponse(t *testing.T) {
	p := inFront(t, scripted(t, func(c *peerConn) {
		c.readHead()
		c.send(shortResponse)
	}))
	response := p.do(request(t, http.MethodGet, "/", nil))
	body, err := io.ReadAll(response.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, shortBody, string(body))
	assert.Contains(t, p.log.String(), `"cause":"response_cut"`)
	assert.Contains(t, p.log.String(), "unexpected EOF")
}

// Go's proxy once panicked when an answer was cut short while the request's body was still on its way.
func TestReverseProxyShortResponsesToUploads(t *testing.T) {
	p := inFront(t, scripted(t, func(c *peerConn) {
		c.readHead()
		c.send(shortResponse)
	}))
	upload := strings.Repeat("x", 6<<20)
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			library := p.library()
			for range 10 {
				r := request(t, http.MethodPost, "/", strings.NewReader(upload))
				response, err := library.Do(r)
				if err != nil {
					continue // the connection ended while the client was sending
				}
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				assert.Error(t, err, "a part passed for a whole response")
			}
		})
	}
	clients.Wait()
	server := p.Snapshot().backends[0].Members()[0]
	require.Eventually(t, func() bool { return server.PendingInFlight() == 0 }, patience, time.Millisecond)
	assert.NotContains(t, p.log.String(), "panic")
}

func TestReverseProxyExpectOfUnreachable(t *testing.T) {
	c := inFront(t, refusing(t)).dial()
	c.send("POST /test-expect HTTP/1.1\r\nHost: some-name\r\nContent-Length: 16\r\nExpect: 100-continue\r\n\r\n")
	head := c.readHead()
	assert.Contains(t, head, "HTTP/1.1 502 ")
	assert.Contains(t, head, "\r\nConnection: close\r\n", "whether the body comes is open")
}

// Differs: Go passes trailers to everybody. l7 does so to a client that says it takes them (RFC 9110 section 6.5.1).
func TestReverseProxyTrailers(t *testing.T) {
	p := inFront(t, serving(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Unannounced-Trailer", "value")
	}))
	f := func(want http.Header, fields ...string) {
		t.Helper()
		response := p.do(request(t, http.MethodGet, "/", nil, fields...))
		assert.Empty(t, whole(t, response))
		assert.Equal(t, want, response.Trailer)
	}
	f(nil)
	f(http.Header{"X-Unannounced-Trailer": {"value"}}, "TE", "trailers", "Connection", "TE")
}

// Differs: SetURL puts the server's host in the place of the client's. l7 passes on what the client asked for.
func TestReverseProxyHost(t *testing.T) {
	p := inFront(t, serving(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	assert.Equal(t, "some-name", whole(t, p.do(request(t, http.MethodGet, "/", nil))))
}

// A client that leaves at the first of several 1xx responses must not disturb what goes on for it, nor for others.
func TestReverseProxyClientLeavesAt1xx(t *testing.T) {
	ended := make(chan struct{}, 1)
	p := inFront(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/whole" {
			return
		}
		for range 5 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		<-r.Context().Done()
		ended <- struct{}{}
	}))
	for range 10 {
		c := p.dial()
		c.send("GET / HTTP/1.1\r\nHost: some-name\r\n\r\n")
		require.Contains(t, c.readHead(), "HTTP/1.1 103 ")
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
		await(t, ended, "the server hears of it")
	}
	assert.Equal(t, http.StatusOK, p.do(request(t, http.MethodGet, "/whole", nil)).StatusCode)
}

func TestReverseProxy1xx(t *testing.T) {
	const style, script, foo = "</style.css>; rel=preload; as=style", "</script.js>; rel=preload; as=script", "</foo.js>; rel=preload; as=script"
	p := inFront(t, serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Link", style)
		w.Header().Add("Link", script)
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Add("Link", foo)
		w.WriteHeader(http.StatusProcessing)
		_, _ = io.WriteString(w, "Hello")
	}))
	type interim struct {
		status int
		links  []string
	}
	var got []interim
	trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, fields textproto.MIMEHeader) error {
		got = append(got, interim{status, fields["Link"]})
		return nil
	}}
	r := request(t, http.MethodGet, "/", nil)
	response := p.do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	assert.Equal(t, []interim{{103, []string{style, script}}, {102, []string{style, script, foo}}}, got)
	assert.Equal(t, []string{style, script, foo}, response.Header["Link"])
	assert.Equal(t, "Hello", whole(t, response))
}

const (
	switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n"
	handshake = "GET / HTTP/1.1\r\nHost: some-name\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)

// A client that wrote WebSocket got 502 for it: the answer was compared with a word in lower case.
func TestReverseProxyWebSocket(t *testing.T) {
	f := func(asks, answers string) {
		t.Helper()
		got := make(chan string, 1)
		p := inFront(t, scripted(t, func(c *peerConn) {
			got <- c.readHead()
			c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: " + answers + "\r\nX-Header: X-Value\r\n\r\n")
			line, _ := c.r.ReadString('\n')
			c.send("backend got " + line)
		}))
		response := p.do(request(t, http.MethodGet, "/", nil, "Connection", "Upgrade", "Upgrade", asks))
		require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
		asked := await(t, got, "a request")
		assert.Contains(t, asked, "\r\nUpgrade: "+asks+"\r\n")
		assert.Contains(t, asked, "\r\nConnection: Upgrade\r\n")
		assert.Equal(t, "Upgrade", response.Header.Get("Connection"))
		assert.Equal(t, answers, response.Header.Get("Upgrade"))
		assert.Equal(t, "X-Value", response.Header.Get("X-Header"))

		end := response.Body.(io.ReadWriter)
		_, err := io.WriteString(end, "Hello\n")
		require.NoError(t, err)
		line, err := bufio.NewReader(end).ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "backend got Hello\n", line)
	}
	f("websocket", "websocket")
	f("websocket", "WebSocket")
	f("WebSocket", "websocket")
	f("WebSocket", "WebSocket")
}

// tunnelThrough opens a tunnel through l7 and returns both its ends.
func tunnelThrough(t *testing.T) (p *proxy, client, server *peerConn) {
	t.Helper()
	ends, over := make(chan *peerConn, 1), make(chan struct{})
	p = inFront(t, scripted(t, func(c *peerConn) {
		c.readHead()
		c.send(switching + "\r\n")
		ends <- c
		<-over
	}))
	t.Cleanup(func() { close(over) })
	client = p.dial()
	client.send(handshake)
	require.Contains(t, client.readHead(), "HTTP/1.1 101 ")
	return p, client, await(t, ends, "a tunnel")
}

// What cancels a tunnel from our side is the end of a drain. Go's proxy has the context of its handler for that.
func TestReverseProxyTunnelIsCut(t *testing.T) {
	p, client, server := tunnelThrough(t)
	client.send("Hello\n")
	require.Equal(t, "Hello\n", server.readN(6))
	server.send("response 0\n")
	require.Equal(t, "response 0\n", client.readN(11))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorContains(t, p.Drain(ctx), "cannot finish 1 connections in time")
	for _, end := range []*peerConn{client, server} {
		rest, err := end.readAll()
		assert.Empty(t, rest)
		assert.False(t, isTimeout(err), "the connection is still open")
	}
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

func TestReverseProxyTunnelHalfClose(t *testing.T) {
	f := func(name string, closes func(client, server *peerConn) error, then func(t *testing.T, client, server *peerConn)) {
		t.Run(name, func(t *testing.T) {
			_, client, server := tunnelThrough(t)
			require.NoError(t, closes(client, server))
			then(t, client, server)
		})
	}
	serverSends := func(t *testing.T, client, server *peerConn) {
		server.send("server sends")
		assert.Equal(t, "server sends", client.readN(12))
	}
	clientSends := func(t *testing.T, client, server *peerConn) {
		client.send("client sends")
		assert.Equal(t, "client sends", server.readN(12))
	}
	ends := func(t *testing.T, c *peerConn) {
		rest, err := c.readAll()
		assert.Empty(t, rest)
		assert.NoError(t, err)
	}
	f("server closes reading", func(_, server *peerConn) error { return server.CloseRead() }, serverSends)
	f("server closes writing", func(_, server *peerConn) error { return server.CloseWrite() }, func(t *testing.T, client, server *peerConn) {
		clientSends(t, client, server)
		ends(t, client)
		clientSends(t, client, server)
	})
	f("client closes reading", func(client, _ *peerConn) error { return client.CloseRead() }, clientSends)
	f("client closes writing", func(client, _ *peerConn) error { return client.CloseWrite() }, func(t *testing.T, client, server *peerConn) {
		serverSends(t, client, server)
		ends(t, server)
		serverSends(t, client, server)
	})
}

// A client that closes its end at once is noticed by a server that reads to the end, and does nothing else.
func TestReverseProxyTunnelClientCloses(t *testing.T) {
	ended := make(chan error, 1)
	origin := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "upgrade")
		w.Header().Set("Upgrade", "u")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			defer c.Close()
			_, err = io.Copy(io.Discard, c)
		}
		ended <- err
	})
	p := start(t, "backends: {'*': {upgrade: [U], servers: ['"+origin.String()+"']}}")
	response := p.do(request(t, http.MethodGet, "/", nil, "Connection", "upgrade", "Upgrade", "u"))
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	require.NoError(t, response.Body.Close())
	assert.NoError(t, await(t, ended, "the end of the tunnel"))
}

// A tunnel that fails as soon as it stands ends; nothing is written behind the 101.
func TestReverseProxyTunnelFailsAtOnce(t *testing.T) {
	_, client, server := tunnelThrough(t)
	require.NoError(t, server.SetLinger(0))
	require.NoError(t, server.Close())
	rest, err := client.readAll()
	assert.Empty(t, rest)
	assert.False(t, isTimeout(err), "the connection is still open")
}
