// Package admin is where the running process can be asked and told things: HTTP over a unix socket, and over TCP where the config
// says so. It decides who may ask what, reads the questions and writes the answers.
//
// It knows the process through one interface, Process, and does nothing of what it is told by itself. The request path does not know of
// it. Who may what is in docs/decisions/0008-the-admin-room.md, the answers are in docs/openapi.yaml.
package admin

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"l7/admin/api"
)

// ErrUnknown is what a Process says, or wraps, when there is no such backend or server: it is answered with 404.
var ErrUnknown = errors.New("not found")

// ErrUpgrading is what a Process says, or wraps, to what another process that is about to take its place would not hear of: it is answered with 503.
var ErrUpgrading = errors.New("an upgrade is under way; ask again when it is done")

// Process is the running l7, as far as this room asks it. All methods may be called concurrently.
type Process interface {
	Status() *api.Status
	// Ready is nil while requests are taken, and says otherwise why they are not. Anybody may read the text.
	Ready() error
	// WriteConfig writes the config in force as YAML, with origins as comments and secrets masked.
	WriteConfig(w io.Writer) error
	// Generation is that of the config in force.
	Generation() uint64
	// Reload loads the config anew, and returns when the new one is in force or refused. It is never nil.
	Reload() *api.Reload
	// Diff is what a reload from the file would come to. It is never nil.
	Diff(file string) *api.Reload
	// Drain keeps new work from a server, or lets it have work again. An error that is neither ErrUnknown nor ErrUpgrading is one of the question.
	Drain(r api.DrainRequest, drained bool) (*api.Server, error)
	// History is what became of a server, in every backend that has it where backend is empty. Errors are as with Drain.
	History(backend, server string) ([]api.History, error)
	// Explain returns what becomes of a request, to be written as JSON. Errors are as with Drain.
	Explain(r api.ExplainRequest) (any, error)
	// Events are the last ones, the oldest first.
	Events() []api.Event
	// Follow returns the events from now on, until stop is called. A slow reader loses events rather than block anybody.
	Follow() (events <-chan api.Event, stop func())
}

// maxStreams is how many may follow the process at a time. Each costs a Status a second.
const maxStreams = 64

// maxLogins is how many logins are verified, or wait for it, at a time. A hash takes its time, and half of the processors at most; who wants to
// have thousands verified does not get thousands to wait.
const maxLogins = 16

// clientLines is how many lines a second strangers may cause in the log; the rest is left out.
const clientLines = 10

// Server answers those who ask. Open, Commit and Close are for one goroutine; all else may be called concurrently.
type Server struct {
	process Process
	log     zerolog.Logger
	limited zerolog.Logger // for lines that strangers can cause
	routes  map[string]route
	page    http.Handler
	origins *http.CrossOriginProtection
	streams chan struct{} // holds a token for each stream
	logins  chan struct{} // holds a token for each login that is verified

	inherited Inheritance // nil: there is none

	mu    sync.Mutex // guards doors
	doors []*door    // that are served

	running sync.WaitGroup // what goes on in the background: serving, and coming to an end
}

// New returns a Server that nobody can reach yet: see Open. Without a handler for metrics or for the page, their paths are
// answered with 404.
func New(process Process, log zerolog.Logger, metrics, page http.Handler) *Server {
	s := &Server{
		process: process,
		log:     log,
		limited: log.Sample(&zerolog.BurstSampler{Burst: clientLines, Period: time.Second}),
		page:    page,
		origins: http.NewCrossOriginProtection(),
		streams: make(chan struct{}, maxStreams),
		logins:  make(chan struct{}, maxLogins),
	}
	s.routes = s.newRoutes(metrics)
	return s
}

// SocketPath is where the admin socket stands; empty where there is none. It is not where the settings want it while
// another process holds that place.
func (s *Server) SocketPath() string {
	if d := s.find(true); d != nil {
		return d.path()
	}
	return ""
}

// Addr is where the listener of admin.listen stands, with the port that the system has chosen; nil where there is none.
func (s *Server) Addr() net.Addr {
	if d := s.find(false); d != nil {
		return d.listener.Addr()
	}
	return nil
}

// find returns the door that is, or is not, the admin socket.
func (s *Server) find(trusted bool) *door {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.doors {
		if d.trusted == trusted {
			return d
		}
	}
	return nil
}

// Close ends everything: streams at once, requests that are being answered within farewell. It removes the socket if it is still the one
// that was made here.
func (s *Server) Close() {
	s.Shut()
	s.running.Wait()
}

// Shut is Close that waits for nothing.
func (s *Server) Shut() { s.replace(nil) }

// replace puts doors in the place of those in force, which come to an end in the background where they are not among the new ones.
func (s *Server) replace(doors []*door) {
	s.mu.Lock()
	old := s.doors
	s.doors = doors
	s.mu.Unlock()
	for _, d := range without(old, doors) {
		d.shut()
		s.running.Go(d.finish)
	}
}
