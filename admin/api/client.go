package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Client asks the process behind an admin socket. Its methods may be called at the same time from several goroutines.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of a unix socket. It connects when something is asked.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket, &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// UnreachableError says that nobody answers at a socket.
type UnreachableError struct {
	Socket string
	Err    error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach a running l7 at %s: %v", e.Socket, e.Err)
}

// Unwrap returns what kept the client from it.
func (e *UnreachableError) Unwrap() error { return e.Err }

// BusyError is the answer to what cannot be done now: it can be asked for again.
type BusyError struct{ Err *Error }

// Error implements error.
func (e *BusyError) Error() string { return e.Err.Message }

// Unwrap returns the answer.
func (e *BusyError) Unwrap() error { return e.Err }

// Status asks for the process at a glance.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return ask[Status](ctx, c, http.MethodGet, PathStatus, nil)
}

// Config asks for the config in force.
func (c *Client) Config(ctx context.Context) (*Config, error) {
	return ask[Config](ctx, c, http.MethodGet, PathConfig, nil)
}

// Reload has the process load its config anew. A config that is wrong is no error of the call: see Reload.Problems.
func (c *Client) Reload(ctx context.Context) (*Reload, error) {
	return ask[Reload](ctx, c, http.MethodPost, PathReload, nil)
}

// Diff asks what a reload from a file would change.
func (c *Client) Diff(ctx context.Context, file string) (*Reload, error) {
	return ask[Reload](ctx, c, http.MethodPost, PathDiff, DiffRequest{File: file})
}

// Drain keeps new work from a server; see DrainRequest.
func (c *Client) Drain(ctx context.Context, r DrainRequest) (*Server, error) {
	return ask[Server](ctx, c, http.MethodPost, PathDrain, r)
}

// Undrain lets a server have work again.
func (c *Client) Undrain(ctx context.Context, r DrainRequest) (*Server, error) {
	return ask[Server](ctx, c, http.MethodPost, PathUndrain, r)
}

// History asks what became of a server in each backend that has it; an empty backend is all of them.
func (c *Client) History(ctx context.Context, backend, server string) ([]History, error) {
	path := PathHistory + "?" + url.Values{"backend": {backend}, "server": {server}}.Encode()
	list, err := ask[[]History](ctx, c, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Explain asks what would become of a request. The answer is a server.Decision.
func (c *Client) Explain(ctx context.Context, r ExplainRequest) (json.RawMessage, error) {
	raw, err := ask[json.RawMessage](ctx, c, http.MethodPost, PathExplain, r)
	if err != nil {
		return nil, err
	}
	return *raw, nil
}

// Events asks for the last events, the oldest first.
func (c *Client) Events(ctx context.Context) ([]Event, error) {
	list, err := ask[[]Event](ctx, c, http.MethodGet, PathEvents, nil)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// maxLine is more than any line of a stream has: a guard against what is no l7.
const maxLine = 16 << 20

// Follow calls f with each event from now on, until the context ends or f returns false.
func (c *Client) Follow(ctx context.Context, f func(Event) bool) error {
	response, err := c.do(ctx, http.MethodGet, PathEvents, nil, "text/event-stream")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		var event Event
		if ok && json.Unmarshal([]byte(data), &event) == nil && !f(event) {
			return nil
		}
	}
	return lines.Err()
}

// ask does one call and reads the answer.
func ask[T any](ctx context.Context, c *Client, method, path string, body any) (*T, error) {
	response, err := c.do(ctx, method, path, body, "application/json")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer := new(T)
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return nil, fmt.Errorf("cannot read the answer of %s: %w", path, err)
	}
	return answer, nil
}

// do sends a request. An answer that is an error is one.
func (c *Client) do(ctx context.Context, method, path string, body any, accept string) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://l7"+path, content)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	var network *net.OpError
	switch {
	case errors.As(err, &network) && network.Op == "dial":
		return nil, &UnreachableError{c.socket, network.Err}
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusUnprocessableEntity: // a Reload that has failed
		return response, nil
	case response.StatusCode >= http.StatusBadRequest:
		defer response.Body.Close()
		failure := &Error{}
		if json.NewDecoder(response.Body).Decode(failure) != nil || failure.Message == "" {
			failure.Message = response.Status
		}
		if response.StatusCode == http.StatusServiceUnavailable {
			return nil, &BusyError{failure}
		}
		return nil, failure
	}
	return response, nil
}
