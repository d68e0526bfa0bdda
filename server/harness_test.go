package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"l7/auth"
	"l7/balancer"
	"l7/config"
	"l7/exchange"
)

// patience bounds every wait of a test that goes wrong.
const patience = 10 * time.Second

// proxy is a running Server under test.
type proxy struct {
	*Server
	t    *testing.T
	addr string
	log  *syncBuffer
}

// start runs a Server of a config, given as YAML without listen.
func start(t *testing.T, yaml string) *proxy {
	t.Helper()
	snapshot, pools := build(t, yaml)
	log := &syncBuffer{}
	s := New(zerolog.New(log), snapshot, pools)
	opening, err := s.Open([]Listen{{Address: config.ListenAddress{Network: "tcp", Addr: "127.0.0.1:0"}}})
	require.NoError(t, err)
	snapshot.Activate()
	commit(s, opening)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_ = s.Drain(ctx) // cuts what a test left open
		requireQuiet(t, s)
		s.Snapshot().Close()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return &proxy{Server: s, t: t, addr: s.Addrs()[0].String(), log: log}
}

func build(t *testing.T, yaml string) (*Snapshot, *exchange.Pools) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
	loaded, err := config.Load(config.Args{File: file}, nil)
	require.NoError(t, err)
	pools := exchange.NewPools()
	parts := Parts{Registry: balancer.NewRegistry(pools, func(balancer.Change) {}), Verifier: auth.NewVerifier(), Pools: pools, Limiters: NewLimiters(), Cells: NewCells()}
	snapshot, findings := NewSnapshot(&loaded.Config, parts)
	require.Empty(t, findings)
	return snapshot, pools
}

// commit puts an Opening in force with the snapshot that is, as a reload that changes nothing else does.
func commit(s *Server, o *Opening) {
	next := *s.Snapshot()
	o.Commit(&next)
	o.Retire()
}

// inFront runs a Server with one backend for every host, and extra top-level YAML.
func inFront(t *testing.T, origin net.Addr, extra ...string) *proxy {
	t.Helper()
	yaml := fmt.Sprintf("backends:\n  '*':\n    servers: [{address: '%s'}]\n", origin)
	return start(t, yaml+strings.Join(extra, "\n"))
}

// scripted is a raw server: each connection that it gets goes to the script.
func scripted(t *testing.T, script func(c *peerConn)) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				script(newPeerConn(t, c))
			}()
		}
	}()
	return ln.Addr()
}

// answering is a raw server that answers every request with the same bytes.
func answering(t *testing.T, response string) net.Addr {
	t.Helper()
	return scripted(t, func(c *peerConn) {
		for c.readHead() != "" {
			c.send(response)
		}
	})
}

// serving is a net/http server.
func serving(t *testing.T, h http.HandlerFunc) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	t.Cleanup(func() { _ = s.Close() })
	go func() { _ = s.Serve(ln) }()
	return ln.Addr()
}

// peerConn is one end of a raw connection, with a deadline so that no test hangs.
type peerConn struct {
	*net.TCPConn
	t *testing.T
	r *bufio.Reader
}

func newPeerConn(t *testing.T, c net.Conn) *peerConn {
	_ = c.SetDeadline(time.Now().Add(patience))
	return &peerConn{TCPConn: c.(*net.TCPConn), t: t, r: bufio.NewReader(c)}
}

// dial connects to the proxy.
func (p *proxy) dial() *peerConn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = c.Close() })
	return newPeerConn(p.t, c)
}

func (c *peerConn) send(text string) {
	_, _ = io.WriteString(c.TCPConn, text) // the other side may be gone; what is read then tells
}

// readHead reads a head up to its empty line; "" when the connection ends first.
func (c *peerConn) readHead() string {
	var head strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return ""
		}
		head.WriteString(line)
		if line == "\r\n" {
			return head.String()
		}
	}
}

// readN reads exactly n bytes.
func (c *peerConn) readN(n int) string {
	b := make([]byte, n)
	m, _ := io.ReadFull(c.r, b)
	return string(b[:m])
}

// readAll reads to the end of the connection.
func (c *peerConn) readAll() (string, error) {
	b, err := io.ReadAll(c.r)
	return string(b), err
}

// exchange sends one raw request and returns all bytes up to the end of the connection.
func (p *proxy) exchange(raw string) string {
	p.t.Helper()
	c := p.dial()
	c.send(raw)
	text, _ := c.readAll()
	return text
}
