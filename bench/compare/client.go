//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// clientTimeout bounds one request of ours, streams apart.
const clientTimeout = 30 * time.Second

// get is the head of a GET whose fields fill it up to about the given size, in lines that every contestant takes.
func get(path string, size int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: bench\r\n", path)
	for i := 0; size-b.Len() > 64; i++ {
		fmt.Fprintf(&b, "X-Fill-%d: %s\r\n", i, strings.Repeat("x", min(size-b.Len()-32, 7600)))
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// head reads a response's head, and maybe the first of its body, into buf.
func head(r io.Reader, buf []byte) (length int64, body []byte, err error) {
	for filled := 0; filled < len(buf); {
		n, err := r.Read(buf[filled:])
		filled += n
		end := bytes.Index(buf[:filled], []byte("\r\n\r\n"))
		switch {
		case end >= 0:
			length, err = contentLength(string(buf[:end+2]))
			return length, buf[end+4 : filled], err
		case err != nil:
			return 0, nil, fmt.Errorf("cannot read a response's head: %w", err)
		}
	}
	return 0, nil, errors.New("cannot read a response's head: too long")
}

func contentLength(head string) (int64, error) {
	if !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		status, _, _ := strings.Cut(head, "\r\n")
		return 0, fmt.Errorf("unexpected answer %q", status)
	}
	_, after, found := strings.Cut(strings.ToLower(head), "\r\ncontent-length:")
	if !found {
		return 0, errors.New("a response without Content-Length")
	}
	value, _, _ := strings.Cut(after, "\r\n")
	return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
}

// roundTrip makes one request on an open connection and checks that the response has the given size, and where want is given
// that it has this content.
func roundTrip(conn net.Conn, request, buf []byte, size int64, want []byte) error {
	if err := conn.SetDeadline(time.Now().Add(clientTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	length, body, err := head(conn, buf)
	if err != nil {
		return err
	}
	if length != size {
		return fmt.Errorf("a response of %d bytes instead of %d", length, size)
	}
	for at := int64(0); ; {
		if want != nil && !bytes.HasPrefix(want[at:], body) {
			return fmt.Errorf("wrong content in the response, behind byte %d", at)
		}
		at += int64(len(body))
		if at >= size {
			return nil
		}
		n, err := conn.Read(buf[:min(int64(len(buf)), size-at)])
		if err != nil && n == 0 {
			return fmt.Errorf("cannot read byte %d of %d: %w", at, size, err)
		}
		body = buf[:n]
	}
}

// once makes one verified request on a connection of its own.
func once(addr string, request []byte, want []byte) error {
	conn, err := net.DialTimeout("tcp", addr, clientTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	return onceOn(conn, request, want)
}

func onceOn(conn net.Conn, request, want []byte) error {
	return roundTrip(conn, request, make([]byte, 64<<10), int64(len(want)), want)
}
