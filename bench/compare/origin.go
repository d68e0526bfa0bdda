//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The files that the origin for downloads serves: their names are their sizes.
const (
	tinyFile  = 100
	smallFile = 10 << 10
	largeFile = 64 << 10
	hugeFile  = 1 << 20
)

// startFiles starts the server behind the contestants for downloads: nginx and static files, the cheapest origin there is.
func (l *lab) startFiles(ctx context.Context) (addr string, err error) {
	path, err := find("nginx")
	if err != nil {
		return "", err
	}
	root := l.path("files")
	if err := os.Mkdir(root, 0o700); err != nil {
		return "", fmt.Errorf("cannot make the origin's directory: %w", err)
	}
	for _, size := range []int{tinyFile, smallFile, largeFile, hugeFile} {
		if err := os.WriteFile(filepath.Join(root, strconv.Itoa(size)), content(size), 0o600); err != nil {
			return "", fmt.Errorf("cannot write a file of the origin: %w", err)
		}
	}
	if addr, err = freeAddr(); err != nil {
		return "", err
	}
	argv, err := l.nginxArgs(path, "2", 1024, fmt.Sprintf(`
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16;
  keepalive_timeout 600s;
  large_client_header_buffers 8 64k;
  server {
    listen %s backlog=4096;
    root %s;
  }`, addr, root))
	if err != nil {
		return "", err
	}
	p, err := l.start(ctx, "origin-files", argv...)
	if err != nil {
		return "", err
	}
	return addr, p.await(ctx, addr)
}

// content is what a file of the given size holds: text, so that nothing can mistake it for something to be compressed away.
func content(size int) []byte {
	return []byte(strings.Repeat("0123456789abcdef", size/16+1)[:size])
}

// startSink starts the server for uploads and streams: this program. nginx's own static files refuse POST, and an nginx that
// answers by itself (return 200) does so before it has read the body, which is another thing than an upload that arrives.
func (l *lab) startSink(ctx context.Context) (addr string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find this program: %w", err)
	}
	if addr, err = freeAddr(); err != nil {
		return "", err
	}
	p, err := l.start(ctx, "origin-sink", self, "origin", addr)
	if err != nil {
		return "", err
	}
	return addr, p.await(ctx, addr)
}

// serveOrigin is the program's other self. POST /: reads the body and answers two bytes. POST /slow: reads at streamRate and
// answers how many bytes came. GET /N: N bytes.
func serveOrigin(addr string) error {
	pool := sync.Pool{New: func() any { return new([64 << 10]byte) }}
	handler := func(w http.ResponseWriter, r *http.Request) {
		buf := pool.Get().(*[64 << 10]byte)
		defer pool.Put(buf)
		if r.Method == http.MethodGet {
			n, err := strconv.ParseInt(r.URL.Path[1:], 10, 64)
			if err != nil {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
			_ = send(w, buf[:], n) // whoever asked sees it too
			return
		}
		var from io.Reader = r.Body
		if r.URL.Path == "/slow" {
			from = newPaced(r.Body, streamRate)
		}
		n, err := receive(from, buf[:])
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		case r.URL.Path == "/slow":
			fmt.Fprintf(w, "%d", n)
		default:
			_, _ = io.WriteString(w, "ok")
		}
	}
	s := &http.Server{Addr: addr, Handler: http.HandlerFunc(handler), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Minute}
	return s.ListenAndServe()
}

// send writes n bytes, whatever buf holds.
func send(w io.Writer, buf []byte, n int64) error {
	for n > 0 {
		sent, err := w.Write(buf[:min(n, int64(len(buf)))])
		if err != nil {
			return err
		}
		n -= int64(sent)
	}
	return nil
}

// receive reads to the end and counts.
func receive(r io.Reader, buf []byte) (total int64, err error) {
	for {
		n, err := r.Read(buf)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// paced reads no faster than a number of bytes per second.
type paced struct {
	r     io.Reader
	rate  float64
	start time.Time
	total int64
}

func newPaced(r io.Reader, rate float64) *paced { return &paced{r: r, rate: rate, start: time.Now()} }

// Read sleeps off what it is ahead.
func (p *paced) Read(b []byte) (int, error) {
	due := time.Duration(float64(p.total) / p.rate * float64(time.Second))
	if ahead := due - time.Since(p.start); ahead > 0 {
		time.Sleep(ahead)
	}
	n, err := p.r.Read(b)
	p.total += int64(n)
	return n, err
}
