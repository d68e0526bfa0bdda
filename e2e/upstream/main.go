// Command upstream is a server for l7's end-to-end tests, in a process of its own: it says who it is and what it was asked.
//
//	upstream NAME [ADDRESS]
//
// ADDRESS is HOST:PORT or unix:/PATH, 127.0.0.1:0 where it is left out. The address that it listens on is printed
// as a line on standard output. It ends when its standard input does, so it cannot outlive the test that started it.
//
// Each line of standard input is a command, answered with the same line on standard output once it is done:
//
//	serve       do what the requests ask for, as at the start; also ends what refuse, reset, status and silent began
//	refuse      close the listener and every unused connection
//	reset       reset the connection in the middle of each response's head
//	status 500  answer everything with this status
//	silent      answer nothing until another command comes
//	delay 50ms  wait this long before each answer, in any case
//	release     let go all requests that hold=1 has kept
//
// The environment variable UPSTREAM_JOURNAL names a file that gets a line for each id: it outlives a process that is killed.
//
// Every answer has the field X-Server. The query of a request may ask for more:
//
//	delay=1s    wait before the answer
//	status=503  answer with this status
//	size=1000   answer with this many bytes instead of the JSON
//	abort=1     close the connection instead of an answer
//	hold=1      wait for the command release before the answer
//	id=TEXT     count this id
//
// The path /-/stats answers with what was counted, and is not counted itself.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return errors.New("usage: upstream NAME [ADDRESS]")
	}
	network, address := "tcp", "127.0.0.1:0"
	if len(args) == 2 {
		address = args[1]
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	socket, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	u := &upstream{name: args[0], ids: map[string]int{}, changed: make(chan struct{}), released: make(chan struct{})}
	if name := os.Getenv("UPSTREAM_JOURNAL"); name != "" {
		if u.journal, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return err
		}
	}
	fmt.Println(socket.Addr())
	return u.run(socket)
}

// upstream answers requests and counts them.
type upstream struct {
	name    string
	journal *os.File // nil: none is kept

	mu       sync.Mutex // guards all below
	requests int
	inFlight int
	ids      map[string]int
	mode     mode
	changed  chan struct{} // closed when the mode is another one
	released chan struct{} // closed by the command release
}

// Echo is what an answer says of its request.
type Echo struct {
	Server string      `json:"server"`
	Method string      `json:"method"`
	Target string      `json:"target"`
	Host   string      `json:"host"`
	Fields http.Header `json:"fields"`
	Body   string      `json:"body"` // the first KiB
	Bytes  int64       `json:"bytes"`
}

// Stats is what has been counted since the start.
type Stats struct {
	Requests int      `json:"requests"`
	InFlight int      `json:"in_flight"`
	IDs      int      `json:"ids"`      // different ones
	Repeated []string `json:"repeated"` // ids that came more than once, sorted
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Server", u.name)
	if r.URL.Path == "/-/stats" {
		writeJSON(w, http.StatusOK, u.stats())
		return
	}
	query := r.URL.Query()
	mode, changed, released := u.begin(query.Get("id"))
	defer u.end()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the request did not come whole
	}
	if !mode.play(w, r, changed) || !wait(r, query.Get("delay")) || query.Get("abort") != "" {
		panic(http.ErrAbortHandler) // closes the connection
	}
	if query.Get("hold") != "" {
		<-released
	}
	status := mode.statusOr(http.StatusOK)
	if code, err := strconv.Atoi(query.Get("status")); err == nil {
		status = code
	}
	if size, err := strconv.Atoi(query.Get("size")); err == nil {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.Repeat("x", size)) // a client that is gone needs no answer
		return
	}
	writeJSON(w, status, Echo{
		Server: u.name, Method: r.Method, Target: r.RequestURI, Host: r.Host, Fields: r.Header,
		Body: string(body[:min(len(body), 1<<10)]), Bytes: int64(len(body)),
	})
}

// wait waits as asked. It is false when the client went away meanwhile.
func wait(r *http.Request, delay string) bool {
	d, err := time.ParseDuration(delay)
	if err != nil {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that is gone needs no answer
}

// begin counts a request. It returns what becomes of it, and what may end a wait.
func (u *upstream) begin(id string) (m mode, changed, released chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests++
	u.inFlight++
	if id != "" {
		u.ids[id]++
		if u.journal != nil {
			if _, err := fmt.Fprintln(u.journal, id); err != nil {
				panic(err)
			}
		}
	}
	return u.mode, u.changed, u.released
}

func (u *upstream) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.inFlight--
}

func (u *upstream) stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := Stats{Requests: u.requests, InFlight: u.inFlight, IDs: len(u.ids), Repeated: []string{}}
	for _, id := range slices.Sorted(maps.Keys(u.ids)) {
		if u.ids[id] > 1 {
			s.Repeated = append(s.Repeated, id)
		}
	}
	return s
}
