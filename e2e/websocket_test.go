package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// chat is l7 in front of a WebSocket server, which is part of the test's own process.
type chat struct {
	*l7
	address  string
	accepted chan tunnel
}

// tunnel is one WebSocket connection through l7.
type tunnel struct {
	client, server *websocket.Conn
	asked          http.Header    // of the handshake, as the server got it
	answered       http.Header    // as the server sent it
	response       *http.Response // as the client got it
}

// serveChat starts the server, which accepts every handshake that is one. Options may be nil.
func serveChat(t testing.TB, options *websocket.AcceptOptions) *chat {
	t.Helper()
	c := &chat{accepted: make(chan tunnel, 1)}
	c.address = serve(t, func(w http.ResponseWriter, r *http.Request) {
		end, err := websocket.Accept(w, r, options)
		if err != nil {
			return // it has been answered
		}
		context.AfterFunc(t.Context(), func() { _ = end.CloseNow() })
		end.SetReadLimit(-1)
		c.accepted <- tunnel{server: end, asked: r.Header, answered: w.Header()}
	})
	return c
}

// backends is the line of a config that leads to the server.
func (c *chat) backends() string { return "backends: {example.com: {servers: ['" + c.address + "']}}" }

// startChat starts l7 and the server.
func startChat(t testing.TB, config ...string) *chat {
	t.Helper()
	c := serveChat(t, nil)
	c.l7 = startFile(t, append(config, listenAnywhere, c.backends())...)
	return c
}

// dial asks for a tunnel. Options may be nil.
func (c *chat) dial(ctx context.Context, options *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	var o websocket.DialOptions
	if options != nil {
		o = *options
	}
	o.HTTPClient = c.http
	return websocket.Dial(ctx, "ws://example.com/chat?room=1", &o)
}

// open opens a tunnel. Options may be nil. One at a time may be opened.
func (c *chat) open(t testing.TB, options *websocket.DialOptions) tunnel {
	t.Helper()
	client, response, err := c.dial(limited(t), options)
	require.NoError(t, err)
	context.AfterFunc(t.Context(), func() { _ = client.CloseNow() })
	client.SetReadLimit(-1)
	opened := await(t, c.accepted, "a tunnel at the server")
	opened.client, opened.response = client, response
	return opened
}

// use has a message go to the server and come back.
func (u tunnel) use(ctx context.Context, message string) error {
	if err := u.client.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return err
	}
	kind, got, err := u.server.Read(ctx)
	if err != nil {
		return err
	}
	if err := u.server.Write(ctx, kind, got); err != nil {
		return err
	}
	_, got, err = u.client.Read(ctx)
	if err == nil && string(got) != message {
		err = fmt.Errorf("%q came back for %q", got, message)
	}
	return err
}

// echo sends every message back in fragments until the tunnel ends, and returns why it did.
func (u tunnel) echo(ctx context.Context) error {
	for {
		kind, in, err := u.server.Reader(ctx)
		if err != nil {
			return err
		}
		out, err := u.server.Writer(ctx, kind)
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
		if err := out.Close(); err != nil {
			return err
		}
	}
}

// sendMessage sends a message in as many fragments as it has parts.
func sendMessage(ctx context.Context, end *websocket.Conn, kind websocket.MessageType, parts ...string) error {
	if len(parts) == 1 {
		return end.Write(ctx, kind, []byte(parts[0]))
	}
	out, err := end.Writer(ctx, kind)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := io.WriteString(out, part); err != nil {
			return err
		}
	}
	return out.Close()
}

func TestWebSocketMessages(t *testing.T) {
	t.Parallel()
	u := startChat(t).open(t, nil)
	assert.Equal(t, http.StatusSwitchingProtocols, u.response.StatusCode)
	ctx := limited(t)
	echoed := async(func() error { return u.echo(ctx) })

	f := func(kind websocket.MessageType, parts ...string) {
		t.Helper()
		sent := async(func() error { return sendMessage(ctx, u.client, kind, parts...) })
		gotKind, got, err := u.client.Read(ctx)
		require.NoError(t, err)
		require.NoError(t, await(t, sent, "the message is sent"))
		assert.Equal(t, kind, gotKind)
		assert.True(t, string(got) == strings.Join(parts, ""), "%d bytes came back, or others", len(got))
	}
	f(websocket.MessageText, "hello")
	f(websocket.MessageText, "")
	f(websocket.MessageText, "frag", "", "men", "ted")
	f(websocket.MessageBinary, "\x00\xff\r\n\r\n")
	f(websocket.MessageBinary, strings.Repeat("0123456789abcdef", 1<<16))
	f(websocket.MessageBinary, strings.Repeat("x", 1<<19), "y", strings.Repeat("z", 1<<19))

	// Who pings has to read at the same time, for the pong.
	last := async(func() error {
		_, _, err := u.client.Read(ctx)
		return err
	})
	require.NoError(t, u.client.Ping(ctx))
	require.NoError(t, u.server.Ping(ctx))
	require.NoError(t, sendMessage(ctx, u.client, websocket.MessageText, "over"))
	require.NoError(t, await(t, last, "the last message"))
	require.NoError(t, u.client.CloseNow())
	assert.Error(t, await(t, echoed, "the end at the server"))
}

// async does something beside the test, and tells how it went.
func async(do func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	return done
}

func TestWebSocketCloses(t *testing.T) {
	t.Parallel()
	c := startChat(t, "debug: true")
	tunnels := 0
	ended := func() {
		t.Helper()
		tunnels++
		c.awaitLog("tunnel ended", tunnels)
	}
	f := func(closing, other *websocket.Conn, code websocket.StatusCode, reason string) {
		t.Helper()
		closed := async(func() error { return closing.Close(code, reason) })
		_, _, err := other.Read(limited(t))
		var end websocket.CloseError
		require.ErrorAs(t, err, &end)
		assert.Equal(t, websocket.CloseError{Code: code, Reason: reason}, end)
		assert.NoError(t, await(t, closed, "the closing handshake"))
		ended()
	}
	u := c.open(t, nil)
	f(u.client, u.server, websocket.StatusGoingAway, "")
	u = c.open(t, nil)
	f(u.server, u.client, 4001, "enough")

	// Without a word.
	cut := func(ending, other *websocket.Conn) {
		t.Helper()
		require.NoError(t, ending.CloseNow())
		_, _, err := other.Read(limited(t))
		assert.Equal(t, websocket.StatusCode(-1), websocket.CloseStatus(err), "l7 has made up %v", err)
		_ = other.CloseNow() // l7 waits for it: the other side may have more to say
		ended()
	}
	u = c.open(t, nil)
	cut(u.client, u.server)
	u = c.open(t, nil)
	cut(u.server, u.client)
}

func TestWebSocketSubprotocol(t *testing.T) {
	t.Parallel()
	c := serveChat(t, &websocket.AcceptOptions{Subprotocols: []string{"chat.v2", "chat.v1"}})
	c.l7 = startFile(t, listenAnywhere, c.backends())
	f := func(want string, offered ...string) {
		t.Helper()
		u := c.open(t, &websocket.DialOptions{Subprotocols: offered})
		assert.Equal(t, want, u.client.Subprotocol())
		assert.Equal(t, want, u.server.Subprotocol())
		assert.NoError(t, u.use(limited(t), "hello"))
	}
	f("chat.v2", "chat.v2", "chat.v1")
	f("chat.v1", "other", "chat.v1")
	f("")
}

// Compression is a matter between client and server. The second message refers to the first, so it cannot be
// understood unless each byte of that has passed as it was.
func TestWebSocketCompression(t *testing.T) {
	t.Parallel()
	const extensions = "Sec-Websocket-Extensions"
	c := serveChat(t, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
	c.l7 = startFile(t, "debug: true", listenAnywhere, c.backends())
	u := c.open(t, &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
	assert.Contains(t, u.answered.Get(extensions), "permessage-deflate")
	assert.Equal(t, u.response.Request.Header[extensions], u.asked[extensions])
	assert.Equal(t, u.answered[extensions], u.response.Header[extensions])

	message := strings.Repeat("all work and no play makes l7 a dull proxy\n", 5000)
	require.NoError(t, u.use(limited(t), message))
	require.NoError(t, u.use(limited(t), message))
	_ = u.client.CloseNow()
	_ = u.server.CloseNow()
	line := c.awaitLog("tunnel ended", 1)
	for _, direction := range []string{"to_client", "to_server"} {
		passed, _ := line[direction].(float64)
		assert.NotZero(t, passed, direction)
		assert.Less(t, passed, float64(len(message))/10, "%s: the messages are not compressed any more", direction)
	}
}

func TestWebSocketTenThousandMessagesBothWays(t *testing.T) {
	t.Parallel()
	const messages = 10_000
	u := startChat(t).open(t, nil)
	work, ctx := errgroup.WithContext(limited(t))
	text := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("x", i%300)) }
	for _, end := range []*websocket.Conn{u.client, u.server} {
		work.Go(func() error {
			for i := range messages {
				if err := sendMessage(ctx, end, websocket.MessageText, text(i)); err != nil {
					return fmt.Errorf("message %d: %w", i, err)
				}
			}
			return nil
		})
		work.Go(func() error {
			for i := range messages {
				if _, got, err := end.Read(ctx); err != nil || string(got) != text(i) {
					return fmt.Errorf("message %d: got %q, %w", i, got, err)
				}
			}
			return nil
		})
	}
	assert.NoError(t, work.Wait())
}

// Both l7 and this process raise their limit of open files by themselves, as every Go program does.
func TestWebSocketThousandTunnels(t *testing.T) {
	t.Parallel()
	const (
		tunnels = 1000
		most    = 32 << 10 // bytes of memory for each
	)
	c := serveChat(t, nil)
	c.l7 = startReleased(t, listenAnywhere, c.backends())
	require.NoError(t, c.open(t, nil).use(limited(t), "the first"))
	before := c.memory(resident)

	open := make([]tunnel, tunnels)
	for i := range open {
		open[i] = c.open(t, nil)
		require.NoError(t, open[i].use(limited(t), "hello"))
	}
	each := (c.memory(resident) - before) / tunnels
	t.Logf("%d B of memory for each of %d idle tunnels", each, tunnels)
	assert.LessOrEqual(t, each, int64(most))

	work, ctx := errgroup.WithContext(limited(t))
	for i, u := range open {
		work.Go(func() error { return u.use(ctx, fmt.Sprint("now you, ", i)) })
	}
	require.NoError(t, work.Wait())
	each = (c.memory(resident) - before) / tunnels
	t.Logf("%d B for each after all of them were used at once", each)
	assert.LessOrEqual(t, each, int64(most))
}

func TestReloadKeepsTunnels(t *testing.T) {
	t.Parallel()
	c := startChat(t)
	u := c.open(t, nil)
	require.NoError(t, u.use(limited(t), "before"))
	c.reload(listenAnywhere, "timeouts: {tunnel: 2h}",
		"backends: {example.com: {servers: ['"+c.address+"', '127.0.0.1:1']}, example.org: {servers: ['"+c.address+"']}}")
	require.NoError(t, u.use(limited(t), "after"))
	c.reload(listenAnywhere, c.backends())
	require.NoError(t, u.use(limited(t), "after another"))
	require.NoError(t, c.open(t, nil).use(limited(t), "a new one"))
}

func TestDrainCutsTunnelsInTime(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	c := startChat(t, "drain: {timeout: "+timeout.String()+"}")
	u := c.open(t, nil)
	began := time.Now()
	c.signal(syscall.SIGTERM)
	c.awaitLog("draining", 1)
	require.NoError(t, u.use(limited(t), "while it drains"))
	for _, end := range []*websocket.Conn{u.client, u.server} {
		_, _, err := end.Read(limited(t))
		assert.Error(t, err)
		assert.Equal(t, websocket.StatusCode(-1), websocket.CloseStatus(err), "l7 has made up %v", err)
	}
	assert.Equal(t, 1, c.exit())
	assert.GreaterOrEqual(t, time.Since(began), timeout)
	c.awaitText("drain.timeout")
}

func TestDrainWaitsForTunnels(t *testing.T) {
	t.Parallel()
	c := startChat(t)
	u := c.open(t, nil)
	c.signal(syscall.SIGTERM)
	c.awaitLog("draining", 1)
	require.NoError(t, u.use(limited(t), "while it drains"))
	assert.False(t, c.hasEnded())
	closed := async(func() error { return u.client.Close(websocket.StatusNormalClosure, "") })
	_, _, err := u.server.Read(limited(t))
	assert.Equal(t, websocket.StatusNormalClosure, websocket.CloseStatus(err))
	assert.NoError(t, await(t, closed, "the closing handshake"))
	assert.Zero(t, c.exit())
}

// echoing switches to whatever it is asked for and then sends back what it gets. Without such a wish it answers with the
// names of the fields that would have been one.
func echoing(w http.ResponseWriter, r *http.Request) {
	protocol := r.Header.Get("Upgrade")
	if protocol == "" {
		left := maps.Clone(r.Header)
		maps.DeleteFunc(left, func(name string, _ []string) bool {
			return !slices.Contains([]string{"Upgrade", "Connection", "Http2-Settings"}, name)
		})
		fmt.Fprint(w, len(left), slices.Sorted(maps.Keys(left)))
		return
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", protocol)
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.Copy(conn, buffered) // the test sees what is missing
}

func TestUpgradesPassWhereTheyAreNamed(t *testing.T) {
	t.Parallel()
	server := serve(t, echoing)
	l := startFile(t, listenAnywhere,
		"backends:",
		"  usual.example: {servers: ['"+server+"']}",
		"  custom.example: {servers: ['"+server+"'], upgrade: [custom]}",
		"  both.example: {servers: ['"+server+"'], upgrade: [websocket, Custom]}",
		"  none.example: {servers: ['"+server+"'], upgrade: []}")
	request := func(host, protocol string) string {
		return "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade, HTTP2-Settings\r\n" +
			"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nUpgrade: " + protocol + "\r\n\r\n"
	}
	passes := func(host, protocol string) {
		t.Helper()
		conn := l.connect()
		got := conn.send(request(host, protocol)).is(http.StatusSwitchingProtocols)
		assert.Equal(t, protocol, got.Header.Get("Upgrade"))
		_, err := io.WriteString(conn, "hello\n")
		require.NoError(t, err)
		line, err := conn.reader.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "hello\n", line)
	}
	stays := func(host, protocol string) {
		t.Helper()
		conn := l.connect()
		for range 2 { // it is an ordinary request, and the connection an ordinary one
			assert.Equal(t, "0 []", conn.send(request(host, protocol)).is(http.StatusOK).body)
		}
	}
	passes("usual.example", "websocket")
	passes("usual.example", "WebSocket")
	stays("usual.example", "custom")
	stays("usual.example", "h2c")
	stays("usual.example", "h2c, websocket")
	passes("custom.example", "custom")
	stays("custom.example", "websocket")
	stays("custom.example", "h2c")
	passes("both.example", "websocket")
	passes("both.example", "custom")
	stays("none.example", "websocket")
}

func TestWebSocketAuthentication(t *testing.T) {
	t.Parallel()
	c := startChat(t, "users: {alice: '"+secret+"'}")
	as := func(login string) *websocket.DialOptions {
		credentials := base64.StdEncoding.EncodeToString([]byte(login))
		return &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Basic " + credentials}}}
	}
	f := func(options *websocket.DialOptions) {
		t.Helper()
		_, response, err := c.dial(limited(t), options)
		require.Error(t, err)
		assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
		assert.Equal(t, challenge, response.Header.Get("WWW-Authenticate"))
		assert.Empty(t, c.accepted, "the server was asked")
	}
	f(nil)
	f(as("alice:" + secret + "-not"))
	assert.NoError(t, c.open(t, as("alice:"+secret)).use(limited(t), "hello"))
}

// TestRefusedHandshakeIsAnOrdinaryResponse: the server's library refuses pages of other sites.
func TestRefusedHandshakeIsAnOrdinaryResponse(t *testing.T) {
	t.Parallel()
	c := startChat(t)
	handshake := func(fields string) string {
		return "GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + fields + "\r\n"
	}
	conn := c.connect()
	for range 2 {
		got := conn.send(handshake("Origin: http://evil.example\r\n")).is(http.StatusForbidden)
		assert.Contains(t, got.body, "evil.example", "the answer of the server")
		assert.False(t, got.Close)
	}
	conn.send(handshake("")).is(http.StatusSwitchingProtocols)
	server := await(t, c.accepted, "a tunnel").server
	require.NoError(t, server.Write(limited(t), websocket.MessageText, []byte("hi")))
	frame := make([]byte, 4)
	_, err := io.ReadFull(conn.reader, frame)
	require.NoError(t, err)
	assert.Equal(t, "\x81\x02hi", string(frame))
}
