package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// mode is what becomes of all requests. The zero value does what they ask for.
type mode struct {
	reset  bool
	silent bool
	status int
	delay  time.Duration
}

func (m mode) statusOr(status int) int {
	if m.status != 0 {
		return m.status
	}
	return status
}

// play does what comes before an answer. It is false when there is to be none.
func (m mode) play(w http.ResponseWriter, r *http.Request, changed chan struct{}) bool {
	switch {
	case m.reset:
		cut(w)
		return false
	case m.silent:
		select {
		case <-changed:
		case <-r.Context().Done():
		}
		return false
	case m.delay > 0:
		return wait(r, m.delay.String())
	}
	return true
}

// cut sends half a head and resets the connection.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the connection has failed
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// run serves, and obeys standard input until it ends.
func (u *upstream) run(socket net.Listener) error {
	server := &http.Server{Handler: u, ReadHeaderTimeout: time.Minute, DisableGeneralOptionsHandler: true}
	serving := make(chan error, 1)
	serve := func() { serving <- server.Serve(socket) }
	go serve()
	isOpen := true
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); fmt.Fprintln(os.Stdout, lines.Text()) {
		verb, value, _ := strings.Cut(lines.Text(), " ")
		if verb == "refuse" && isOpen {
			isOpen = false
			_ = socket.Close()
			if err := <-serving; !errors.Is(err, net.ErrClosed) {
				return err
			}
			server.SetKeepAlivesEnabled(false)
			continue
		}
		if verb == "serve" && !isOpen {
			var err error
			if socket, err = net.Listen(socket.Addr().Network(), socket.Addr().String()); err != nil {
				return err
			}
			isOpen = true
			server.SetKeepAlivesEnabled(true)
			go serve()
		}
		if err := u.obey(verb, value); err != nil {
			return err
		}
	}
	_ = server.Close()
	if isOpen {
		if err := <-serving; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	return nil
}

// obey changes what becomes of the requests to come.
func (u *upstream) obey(verb, value string) (err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	next := u.mode
	switch verb {
	case "serve":
		next = mode{delay: u.mode.delay}
	case "reset":
		next.reset = true
	case "silent":
		next.silent = true
	case "status":
		next.status, err = strconv.Atoi(value)
	case "delay":
		next.delay, err = time.ParseDuration(value)
	case "release":
		close(u.released)
		u.released = make(chan struct{})
	default:
		err = fmt.Errorf("unknown command %q", verb)
	}
	u.mode = next
	close(u.changed)
	u.changed = make(chan struct{})
	return err
}
