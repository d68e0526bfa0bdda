package server

import (
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRequestHeadLimits has request heads of exactly the limits, and one byte or field more. RFC 9110 section 15.5.15,
// RFC 6585 section 5.
func TestRequestHeadLimits(t *testing.T) {
	var w *witness
	var p *proxy
	f := func(status int, raw string) {
		t.Helper()
		c := p.dial()
		c.send(raw)
		r := c.readReply("GET")
		require.NoError(t, r.err)
		require.Equal(t, status, r.StatusCode, "%.100q", raw)
		if status == 200 {
			require.Len(t, w.taken(p), 1)
			return
		}
		require.True(t, r.Close)
		require.Empty(t, c.tail())
		require.Empty(t, w.taken(p))
	}
	line := func(size int) string {
		return "GET /" + times(size-len("GET / HTTP/1.1"), "x") + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	header := func(size int) string {
		const fixed = "Host: a\r\nX: \r\n\r\n"
		return "GET / HTTP/1.1\r\nHost: a\r\nX: " + times(size-len(fixed), "x") + "\r\n\r\n"
	}
	fields := func(n int) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + times(n-1, "X: 1\r\n") + "\r\n" }

	w = witnessing(t)
	p = inFront(t, w)
	f(200, line(8<<10))
	f(414, line(8<<10+1))
	f(200, header(32<<10))
	f(431, header(32<<10+1))
	f(200, fields(128))
	f(431, fields(129))
	p.logged(caused("target_too_long"), `"status":414`)
	p.logged(caused("header_too_large"), `"status":431`)

	w = witnessing(t)
	p = inFront(t, w, "limits: {request_line: 100B, header: 200B, fields: 3}")
	f(200, line(100))
	f(414, line(101))
	f(200, header(200))
	f(431, header(201))
	f(200, fields(3))
	f(431, fields(4))

	w = witnessing(t)
	p = inFront(t, w, "limits: {request_line: 100KiB, header: 300KiB, fields: 3000}")
	f(200, line(100<<10))
	f(414, line(100<<10+1))
	f(200, header(300<<10))
	f(431, header(300<<10+1))
	f(200, fields(3000))
	f(431, fields(3001))
	both := strings.Replace(header(300<<10), "GET / ", "GET /"+times(100<<10-len("GET / HTTP/1.1"), "x")+" ", 1)
	f(200, both)
}

// TestLimitsCountWithoutAnEnd has lines that never end refused as soon as they are over the limit.
func TestLimitsCountWithoutAnEnd(t *testing.T) {
	p := inFront(t, witnessing(t))
	for status, raw := range map[string]string{
		"414": "GET /" + times(8<<10, "x"),
		"431": "GET / HTTP/1.1\r\nHost: a\r\nX: " + times(32<<10, "x"),
	} {
		c := p.dial()
		c.send(raw)
		startsWith(t, c.readHead(), "HTTP/1.1 "+status+" ")
	}
}

// TestBodyLimit has bodies of exactly limits.body, and one byte more: refused before a server hears of it where the length is
// announced, and otherwise while it streams, with the server's connection cut. RFC 9110 section 15.5.14.
func TestBodyLimit(t *testing.T) {
	w := witnessing(t)
	p := inFront(t, w, "limits: {body: 100000B}")
	const over, limit = 100_001, 100_000

	// By Content-Length, with and without the body at hand.
	for _, body := range []string{times(over, "x"), ""} {
		c := p.dial()
		c.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n" + body)
		startsWith(t, c.readHead(), "HTTP/1.1 413 ")
		require.Zero(t, w.connections())
	}
	c := p.dial()
	c.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n")
	startsWith(t, c.readHead(), "HTTP/1.1 413 ")
	require.Zero(t, w.connections())
	p.logged(caused("body_too_large"), `"status":413`)

	c = p.dial()
	c.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + times(limit, "x"))
	require.Equal(t, 200, c.readReply("POST").StatusCode)
	require.Len(t, w.taken(p)[0].body, limit)

	// In chunks.
	chunk := "2710\r\n" + times(10_000, "x") + "\r\n"
	for _, kept := range []bool{true, false} {
		c.send(chunkedPost + times(10, chunk))
		if kept {
			c.send("0\r\n\r\n")
			require.Equal(t, 200, c.readReply("POST").StatusCode)
			require.Len(t, w.taken(p)[0].body, limit)
			continue
		}
		c.send("1\r\nx\r\n0\r\n\r\n" + follower)
		requireRefused(t, refused{status: 413}, c.tail())
		got := w.taken(p)
		for _, a := range got {
			require.Error(t, a.err)
			require.LessOrEqual(t, len(a.body), limit)
		}
	}
	// All of it with the head, where nothing has been sent yet.
	w = witnessing(t)
	small := inFront(t, w, "limits: {body: 10B}")
	c = small.dial()
	c.send(chunkedPost + "b\r\n12345678901\r\n0\r\n\r\n" + follower)
	requireRefused(t, refused{status: 413}, c.tail())
	require.Empty(t, w.taken(small))
	c = small.dial()
	c.send(chunkedPost + "a\r\n1234567890\r\n0\r\n\r\n")
	require.Equal(t, 200, c.readReply("POST").StatusCode)
}

// TestBodyLimitWhileStreaming has a chunked body pass its limit when the server has had its start for a while.
func TestBodyLimitWhileStreaming(t *testing.T) {
	w := witnessing(t)
	p := inFront(t, w, "limits: {body: 10B}")
	c := p.dial()
	c.send(chunkedPost + "5\r\n12345\r\n")
	until(t, func() bool { return p.pending() == 1 }, "the upload did not start")
	c.send("5\r\n67890\r\n")
	c.send("1\r\nx\r\n0\r\n\r\n" + follower)
	requireRefused(t, refused{status: 413}, c.tail())
	requireCut(p, w, "")
	p.logged(caused("body_too_large"), `"status":413`)
	require.Zero(t, p.kept())
}

// TestMemoryIsNotAllocatedByADeclaredSize opens connections whose next bytes are said to be many.
func TestMemoryIsNotAllocatedByADeclaredSize(t *testing.T) {
	const huge = "7fffffffffffffff"
	var served atomic.Int64
	p := inFront(t, scripted(t, func(c *peerConn) {
		target := strings.Fields(c.readHead())[1]
		if target == "/length" {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nabc")
		} else if target == "/chunk" {
			c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + huge + "\r\nabc")
		}
		served.Add(1)
		_, _ = io.Copy(io.Discard, c.r)
	}))
	requests := []string{
		"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\nabc",
		"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + huge + "\r\nabc",
		"GET /length HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /chunk HTTP/1.1\r\nHost: a\r\n\r\n",
	}
	before := heapSize()
	const each = 25
	for range each {
		for _, r := range requests {
			c, err := net.Dial("tcp", p.addr)
			require.NoError(t, err)
			defer c.Close()
			_, _ = io.WriteString(c, r)
		}
	}
	until(t, func() bool { return served.Load() == each*int64(len(requests)) }, "not all are under way")
	perConn := (int64(heapSize()) - int64(before)) / each / int64(len(requests))
	require.Less(t, perConn, int64(256<<10), "bytes a connection")
}

func heapSize() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
