//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	streamRate  = 100 << 20       // bytes per second of a slow reader; a contestant alone is many times faster
	streamStall = 3 * time.Second // how long it reads nothing at first
)

// streamResult is resident memory in bytes.
type streamResult struct {
	Contestant string `json:"contestant"`
	Idle       int64  `json:"idle"`
	Download   int64  `json:"download_over_idle"` // the peak
	Upload     int64  `json:"upload_over_idle"`
}

// measureStreams measures how much memory a contestant takes while it passes on one large body whose receiver is slow.
func (l *lab) measureStreams(ctx context.Context, o options, field []*contestant, w io.Writer) (any, error) {
	origin, err := l.startSink(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(w, "\nRSS while one body of %d MiB passes to a slow reader, MiB: idle, and the peak over it\n", o.transfer)
	fmt.Fprintf(w, "%-10s %8s %10s %10s\n", "", "idle", "download", "upload")
	var (
		results []streamResult
		failed  []error
	)
	for _, c := range field {
		r, err := l.streamOf(ctx, o, c, origin)
		if ctx.Err() != nil {
			return results, context.Cause(ctx)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("-stream, %s: %w", c.name, err))
			continue
		}
		results = append(results, r)
		fmt.Fprintf(w, "%-10s %8.1f %10.1f %10.1f\n", r.Contestant, mib(r.Idle), mib(r.Download), mib(r.Upload))
	}
	return results, errors.Join(failed...)
}

func (l *lab) streamOf(ctx context.Context, o options, c *contestant, origin string) (r streamResult, err error) {
	i, err := l.launch(ctx, c, setup{origin: origin, connections: o.connections, forwarding: o.forwarding})
	if err != nil {
		return r, err
	}
	defer i.stop()
	r.Contestant = c.name
	if err := once(i.addr, get("/100", 0), make([]byte, 100)); err != nil {
		return r, err
	}
	if r.Idle, err = i.restingRSS(ctx, o.settle); err != nil {
		return r, err
	}
	size := int64(o.transfer) << 20
	peak, err := i.peakRSS(func() error { return stream(ctx, i.addr, size, download) })
	if err != nil {
		return r, fmt.Errorf("download: %w", err)
	}
	r.Download = peak - r.Idle
	if _, err := i.restingRSS(ctx, o.settle); err != nil {
		return r, err
	}
	peak, err = i.peakRSS(func() error { return stream(ctx, i.addr, size, upload) })
	if err != nil {
		return r, fmt.Errorf("upload: %w", err)
	}
	r.Upload = peak - r.Idle
	return r, i.check()
}

// stream makes one transfer on a connection of its own, which ends with ctx at the latest.
func stream(ctx context.Context, addr string, size int64, transfer func(net.Conn, int64) error) error {
	conn, err := net.DialTimeout("tcp", addr, clientTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	return transfer(conn, size)
}

// download reads slowly, and nothing at all at first.
func download(conn net.Conn, size int64) error {
	if _, err := conn.Write(get("/"+strconv.FormatInt(size, 10), 0)); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	length, body, err := head(conn, buf)
	if err != nil || length != size {
		return errOf(err, fmt.Errorf("a response of %d bytes instead of %d", length, size))
	}
	time.Sleep(streamStall)
	got, err := receive(newPaced(io.LimitReader(conn, size-int64(len(body))), streamRate), buf)
	if got += int64(len(body)); err != nil || got != size {
		return errOf(err, fmt.Errorf("the response ended after %d of %d bytes", got, size))
	}
	return nil
}

// upload sends as fast as it can to an origin that reads slowly.
func upload(conn net.Conn, size int64) error {
	if _, err := fmt.Fprintf(conn, "POST /slow HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n", size); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	if err := send(conn, buf, size); err != nil {
		return err
	}
	length, body, err := head(conn, buf)
	if err != nil {
		return err
	}
	rest, err := io.ReadAll(io.LimitReader(conn, length-int64(len(body))))
	if count := string(body) + string(rest); err != nil || count != strconv.FormatInt(size, 10) {
		return errOf(err, fmt.Errorf("the server got %s of %d bytes", count, size))
	}
	return nil
}
