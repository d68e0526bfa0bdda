package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mixed is a server that does as the path of the request says, and answers with the number in it.
func mixed(c *peerConn) {
	for {
		head := c.readHead()
		if head == "" {
			return
		}
		parts := strings.Split(strings.Fields(head)[1], "/") // "", what, number
		what, number := parts[1], parts[2]
		body := func() string {
			if strings.Contains(head, "chunked") {
				b, _ := c.readChunked()
				return b
			}
			_, length, _ := strings.Cut(head, "Content-Length: ")
			n, _ := strconv.Atoi(strings.SplitN(length, "\r\n", 2)[0])
			return c.readN(n)
		}
		whole := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(number), number)
		switch what {
		case "plain":
			body()
			c.send(whole)
		case "slow":
			body()
			time.Sleep(60 * time.Millisecond)
			c.send(whole)
		case "hints":
			body()
			c.send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole)
		case "continue":
			c.send("HTTP/1.1 100 Continue\r\n\r\n")
			body()
			c.send(whole)
		case "early":
			c.send(whole)
			body()
		case "refuse":
			c.send(strings.Replace(whole, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
			return
		case "chunks":
			body()
			c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for _, digit := range number {
				c.send("1\r\n" + string(digit) + "\r\n")
			}
			c.send("0\r\n\r\n")
		case "events":
			c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for _, digit := range number {
				time.Sleep(20 * time.Millisecond)
				c.send("1\r\n" + string(digit) + "\r\n")
			}
			body()
			c.send("0\r\n\r\n")
		case "close":
			body()
			c.send("HTTP/1.1 200 OK\r\n\r\n" + number)
			return
		case "cut":
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + number)
			return
		case "nothing":
			body()
			return
		case "reset":
			c.reset()
			return
		case "upgrade":
			c.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + number)
			_, _ = io.Copy(c.TCPConn, c.r)
			return
		}
	}
}

// mixClient does one thing after another on connections of its own, and checks that what it gets is its own.
type mixClient struct {
	t      *testing.T
	p      *proxy
	random *rand.Rand
	c      *peerConn
	number int
}

var mixKinds = strings.Fields("plain plain slow hints continue early refuse chunks events close cut nothing reset upgrade")

func (m *mixClient) step() {
	if m.c == nil {
		m.c = m.p.dial()
	}
	m.number++
	what, number := mixKinds[m.random.IntN(len(mixKinds))], fmt.Sprintf("%d.%d", m.random.IntN(1000), m.number)
	request, rest := m.request(what, number)
	m.c.send(request)
	switch m.random.IntN(12) {
	case 0:
		time.Sleep(time.Duration(m.random.IntN(80)) * time.Millisecond)
		m.c.reset()
		m.c = nil
		return
	case 1:
		_ = m.c.Close()
		m.c = nil
		return
	case 2:
		time.Sleep(time.Millisecond)
	}
	m.c.send(rest)
	last := what != "upgrade" && m.random.IntN(10) == 0
	if last {
		_ = m.c.CloseWrite()
	}
	m.answer(what, number)
	if last && m.c != nil {
		_ = m.c.Close()
		m.c = nil
	}
}

// request returns a request in two parts.
func (m *mixClient) request(what, number string) (string, string) {
	head := " /" + what + "/" + number + " HTTP/1.1\r\nHost: a\r\n"
	body := strings.Repeat("x", m.random.IntN(2)*m.random.IntN(100_000))
	switch {
	case what == "upgrade":
		return "GET" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""
	case what == "continue":
		return "POST" + head + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "hello"
	case m.random.IntN(3) == 0:
		return "GET" + head + "\r\n", ""
	case m.random.IntN(2) == 0:
		return "POST" + head + "Transfer-Encoding: chunked\r\n\r\n3\r\nab", "c\r\n" + inChunks([]byte(body), 10_000)
	}
	cut := m.random.IntN(len(body) + 1)
	return "POST" + head + "Content-Length: " + itoa(len(body)) + "\r\n\r\n" + body[:cut], body[cut:]
}

// answer reads a response, of which the part that comes must be right.
func (m *mixClient) answer(what, number string) {
	head := m.c.readHead()
	for strings.HasPrefix(head, "HTTP/1.1 10") && !strings.HasPrefix(head, "HTTP/1.1 101") {
		head = m.c.readHead()
	}
	var got string
	switch {
	case strings.HasPrefix(head, "HTTP/1.1 101"):
		m.c.send("ping")
		_ = m.c.CloseWrite()
		got, _ = m.c.readAll()
		assert.Equal(m.t, number+"ping", got)
		_ = m.c.Close()
		m.c = nil
		return
	case strings.Contains(head, "Transfer-Encoding"):
		got, _ = m.c.readChunked()
	case strings.Contains(head, "Content-Length: "):
		_, length, _ := strings.Cut(head, "Content-Length: ")
		n, _ := strconv.Atoi(strings.SplitN(length, "\r\n", 2)[0])
		got = m.c.readN(n)
	}
	if strings.HasPrefix(head, "HTTP/1.1 200") {
		assert.Equal(m.t, number, got, what)
	} else if head != "" {
		assert.Contains(m.t, "cut nothing reset refuse", what, head)
	}
	if what == "cut" || head == "" || strings.Contains(head, "Connection: close") {
		_ = m.c.Close()
		m.c = nil
	}
}

// Many clients do everything at once, well and badly. No response reaches anybody else, nothing hangs, and nothing stays counted or open.
func TestManyClientsAtOnce(t *testing.T) {
	p := inFront(t, newOrigin(t, mixed))
	steps := 40
	if testing.Short() {
		steps = 10
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	var clients sync.WaitGroup
	for i := range 24 {
		m := &mixClient{t: t, p: p, random: rand.New(rand.NewPCG(uint64(i), seed))}
		clients.Go(func() {
			for range steps {
				m.step()
			}
			if m.c != nil {
				_ = m.c.Close()
			}
		})
	}
	clients.Wait()
	eventually(t, "no request in flight", func() bool { return p.inFlight() == 0 })
	require.NotContains(t, p.log.String(), "panic")
}
