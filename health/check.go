package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"l7/config"
)

const (
	userAgent = "l7-health"
	// longestBody is how much of a body is looked at.
	longestBody = 64 << 10
	// longestHeader is how large the header of a response may be.
	longestHeader = 64 << 10
	// longestReason keeps a server from filling the log.
	longestReason = 120
)

// check is one request and what its response has to be like.
type check struct {
	config.Health
	url   *url.URL
	host  string
	body  *regexp.Regexp // nil: any
	fault string         // why the request cannot be made; the settings are wrong
}

func newCheck(key Key) *check {
	c := &check{Health: key.Check, host: key.Check.Host}
	if c.host == "" {
		c.host = hostOf(key.Address)
	}
	var err error
	if c.url, err = url.ParseRequestURI(c.Path); err != nil {
		c.fault = fmt.Sprintf("cannot ask for path %q", c.Path)
		return c
	}
	c.url.Scheme, c.url.Host = "http", "server" // Transport wants some; what is sent and where to is settled elsewhere
	if c.Body == "" {
		return c
	}
	if c.body, err = regexp.Compile(c.Body); err != nil {
		c.fault = fmt.Sprintf("cannot match body: %v", err)
	}
	return c
}

// hostOf is what the field Host says to an address. A unix socket has no name, and an empty one is refused by many.
func hostOf(address string) string {
	a, err := config.ParseAddress(address)
	if err != nil || a.Network() == "unix" {
		return "localhost"
	}
	return a.Dial()
}

// ask makes the check once, on a connection of its own. It returns why the server is not well, nothing when it is.
func (c *check) ask(ctx context.Context, dial Dial) (reason string) {
	if c.fault != "" {
		return c.fault
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return c.reason(err, "connect: ", "no connection")
	}
	defer conn.Close()
	resp, err := c.send(ctx, conn)
	if err != nil {
		return c.reason(err, "", "no response")
	}
	defer resp.Body.Close()
	if !c.Status.Contains(resp.StatusCode) {
		return fmt.Sprintf("status %d, want %s", resp.StatusCode, c.Status)
	}
	return c.match(resp.Body)
}

// send uses a Transport and no Client, which follows no redirects. Without connections to keep it repeats nothing either.
func (c *check) send(ctx context.Context, conn net.Conn) (*http.Response, error) {
	t := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: longestHeader,
	}
	req := &http.Request{Method: c.Method, URL: c.url, Host: c.host, Header: http.Header{"User-Agent": {userAgent}}}
	return t.RoundTrip(req.WithContext(ctx))
}

// match reads no body that nobody wants: the status has said enough.
func (c *check) match(body io.Reader) (reason string) {
	if c.body == nil {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(body, longestBody))
	switch {
	case err != nil:
		return c.reason(err, "body: ", "no whole body")
	case !c.body.Match(text):
		return "body does not match"
	}
	return ""
}

// reason tells people of an error: the innermost one, since the others only say where it came from.
func (c *check) reason(err error, where, missing string) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("%s within %s", missing, c.Timeout)
	}
	if where == "" && errors.Is(err, io.EOF) {
		return "connection closed without a response"
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	text := where + strings.TrimPrefix(err.Error(), "net/http: ")
	return strings.ToValidUTF8(text[:min(len(text), longestReason)], "")
}
