package exchange

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/config"
	"l7/http1"
	"l7/socket"
)

// endsClient is a client whose connection has these ends.
type endsClient struct{ source, target net.Addr }

func (c endsClient) Ends() (source, target net.Addr)        { return c.source, c.target }
func (c endsClient) Conn() *socket.Conn                     { return nil }
func (c endsClient) Interim(response *http1.Response) error { return nil }

// TestAnnouncement: the bytes are those of the protocol's own text (haproxy.org, proxy-protocol.txt sections 2.1 and 2.2).
func TestAnnouncement(t *testing.T) {
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	tcp := func(text string) net.Addr {
		addr, err := net.ResolveTCPAddr("tcp", text)
		assert.NoError(t, err)
		return addr
	}
	v4 := endsClient{tcp("192.0.2.7:4660"), tcp("198.51.100.1:443")}
	v6 := endsClient{tcp("[2001:db8::7]:1"), tcp("[2001:db8::1]:80")}
	mixed := endsClient{tcp("192.0.2.7:1"), tcp("[2001:db8::1]:80")}
	local := endsClient{&net.UnixAddr{Name: "@", Net: "unix"}, tcp("198.51.100.1:443")}
	for name, f := range map[string]struct {
		version byte
		client  Client
		want    string
	}{
		"none":      {0, v4, ""},
		"v1 IPv4":   {1, v4, "PROXY TCP4 192.0.2.7 198.51.100.1 4660 443\r\n"},
		"v1 IPv6":   {1, v6, "PROXY TCP6 2001:db8::7 2001:db8::1 1 80\r\n"},
		"v1 mixed":  {1, mixed, "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 80\r\n"},
		"v1 a unix": {1, local, "PROXY UNKNOWN\r\n"},
		"v1 nobody": {1, nil, "PROXY UNKNOWN\r\n"},
		"v2 IPv4":   {2, v4, signature + "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x34\x01\xbb"},
		"v2 IPv6": {2, v6, signature + "\x21\x21\x00\x24" +
			"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x50"},
		"v2 a unix": {2, local, signature + "\x20\x00\x00\x00"},
		"v2 nobody": {2, nil, signature + "\x20\x00\x00\x00"},
	} {
		assert.Equal(t, f.want, string(announcement(f.version, f.client)), name)
	}
}

// TestKeyFor: who is told of clients shares no connection with who is not.
func TestKeyFor(t *testing.T) {
	plain, secure := config.Address{Scheme: "http", Host: "a", Port: 80}, config.Address{Scheme: "https", Host: "a", Port: 443}
	f := func(addr config.Address, transports ...Transport) {
		t.Helper()
		keys := map[string]bool{}
		for _, via := range transports {
			keys[via.KeyFor(addr)] = true
		}
		assert.Len(t, keys, len(transports))
	}
	f(plain, Transport{}, Transport{Announce: 1}, Transport{Announce: 2})
	f(secure, Transport{}, Transport{Key: "a"}, Transport{Key: "b"}, Transport{Announce: 1}, Transport{Key: "a", Announce: 1})
	assert.Equal(t, Transport{}.KeyFor(plain), Transport{Key: "a"}.KeyFor(plain))
}

// A server that answers before it has read the request's body gets all of it, although nothing more comes on the connection.
func TestAnEarlyAnswerCutsNoUpload(t *testing.T) {
	const size = 200 << 10
	const announced, head = "PROXY TCP4 127.0.0.1 127.0.0.1 ", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 204800\r\n\r\n"
	finished, read := make(chan struct{}), make(chan int)
	s := serve(t, func(c *net.TCPConn) {
		line := readN(c, len(announced))
		for line[len(line)-1] != '\n' {
			line += readN(c, 1)
		}
		readN(c, len(head))
		_, _ = io.WriteString(c, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
		<-finished
		read <- len(readN(c, size))
	})
	s.announce = 1
	x := request(New(), newClient(t), head+strings.Repeat("x", size), Incoming{})
	x.Head = len(head)
	require.NoError(t, s.Do(x))
	x.FinishUpload()
	x.Finish()
	close(finished)
	require.Equal(t, size, <-read)
	require.Zero(t, s.Connections())
}
