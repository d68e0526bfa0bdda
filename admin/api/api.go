// Package api is what a running l7 can be asked and told, as JSON over HTTP: the types that the admin room answers with, and a client
// for the commands. docs/openapi.yaml describes the same for everybody else.
package api

import "time"

// The paths. What changes something is a POST.
const (
	PathStatus  = "/api/status"  // GET: Status
	PathConfig  = "/api/config"  // GET: Config
	PathReload  = "/api/reload"  // POST: Reload; 422 when it failed
	PathDiff    = "/api/diff"    // POST DiffRequest: Reload, 422 when it would fail; over the unix socket alone
	PathDrain   = "/api/drain"   // POST DrainRequest: Server
	PathUndrain = "/api/undrain" // POST DrainRequest: Server
	PathHistory = "/api/history" // GET ?server=ADDRESS[&backend=NAME]: History
	PathExplain = "/api/explain" // POST ExplainRequest: server.Decision
	PathEvents  = "/api/events"  // GET: []Event; with Accept: text/event-stream each as it happens
	PathStream  = "/api/stream"  // GET text/event-stream: "status" with a Status every second, the first one alone with the backends' past; "event" with an Event as it happens
	PathHealthz = "/healthz"     // GET: 200 as long as the process lives
	PathReadyz  = "/readyz"      // GET: 200 while it takes requests, 503 while it starts or drains
	PathMetrics = "/metrics"     // GET: Prometheus text
	PathPprof   = "/debug/pprof/"
)

// Status is the running process at a glance.
type Status struct {
	Time       time.Time `json:"time"`
	Version    string    `json:"version"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	State      string    `json:"state"`               // serving, draining
	Upgrading  bool      `json:"upgrading,omitempty"` // another process is about to take its place; until it does nothing is drained or undrained
	Generation uint64    `json:"generation"`
	ConfigFile string    `json:"config_file,omitempty"` // empty: all came from arguments and environment
	Reload     *Reload   `json:"reload,omitempty"`      // the last one, also one that failed
	Listeners  []string  `json:"listeners"`
	// Connections are open client connections, those that wait for a request too.
	Connections int       `json:"connections"`
	Total       Traffic   `json:"total"`    // of all backends, and of requests that led to none
	Backends    []Backend `json:"backends"` // by name
	LogDropped  uint64    `json:"log_dropped,omitempty"`
	ReadOnly    bool      `json:"read_only,omitempty"` // there are no admin.users: admin.listen, and the page there, change nothing
	// Certificates are those that clients are shown.
	Certificates []Certificate `json:"certificates,omitempty"`
}

// Certificate is one that clients are shown.
type Certificate struct {
	Names []string  `json:"names"`
	File  string    `json:"file,omitempty"` // empty: it came by ACME
	Until time.Time `json:"until"`          // it is valid
}

// Traffic is what passed. Rates and times are of the last ten seconds, counts since the start of the process.
type Traffic struct {
	Rate      float64           `json:"rate"`       // requests a second
	ErrorRate float64           `json:"error_rate"` // those answered 5xx
	P50       float64           `json:"p50_ms"`     // of the time to the end of the response
	P99       float64           `json:"p99_ms"`
	InFlight  int               `json:"in_flight"`
	Requests  uint64            `json:"requests"`
	Statuses  map[string]uint64 `json:"statuses,omitempty"` // by class: 2xx
	Causes    map[string]uint64 `json:"causes,omitempty"`   // by cause, ok left out
	History   []Point           `json:"history,omitempty"`  // a point for each second, the oldest first; of Status.Total and backends
}

// Point is one second of traffic.
type Point struct {
	Rate      float64 `json:"rate"`
	ErrorRate float64 `json:"error_rate"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
}

// Backend is one backend.
type Backend struct {
	Name    string   `json:"name"`
	Policy  string   `json:"policy"`
	State   string   `json:"state"`             // up, or down: no server would be given a request
	Problem string   `json:"problem,omitempty"` // why it is down, or which name cannot be looked up
	Traffic Traffic  `json:"traffic"`
	Retries uint64   `json:"retries"`
	Waiting int      `json:"waiting"` // requests in the queue
	Servers []Server `json:"servers"`
	// Unresolved are the names of its servers that cannot be looked up now.
	Unresolved []Name `json:"unresolved,omitempty"`
}

// Name is one that servers are known by.
type Name struct {
	Name  string    `json:"name"`
	Error string    `json:"error,omitempty"` // why the last lookup failed; empty: it did not
	Since time.Time `json:"since,omitzero"`  // when lookups began to fail
	Known bool      `json:"known"`           // it has stood for something, which stays in use while lookups fail
}

// Server is one server of a backend.
type Server struct {
	Address     string    `json:"address"`
	State       string    `json:"state"`                  // available, weight 0, draining, not checked yet, unhealthy, ejected, full
	Reason      string    `json:"reason,omitempty"`       // of the last change of its state
	Changed     time.Time `json:"changed,omitzero"`       // when that was
	Check       *Check    `json:"check,omitempty"`        // the last active check; nil: there was none
	LastFailure *Failure  `json:"last_failure,omitempty"` // the last attempt; nil: it did not fail
	Weight      int       `json:"weight"`
	Backup      bool      `json:"backup,omitempty"`
	Drained     bool      `json:"drained,omitempty"` // by command
	// DrainedUntil is when it will be undrained by itself; zero: it will not.
	DrainedUntil time.Time `json:"drained_until,omitzero"`
	InFlight     int       `json:"in_flight"`   // of this backend
	Connections  int       `json:"connections"` // of all backends, idle ones too
	Idle         int       `json:"idle"`
	Rate         float64   `json:"rate"`       // attempts a second
	ErrorRate    float64   `json:"error_rate"` // those that failed or were answered 5xx
	P50          float64   `json:"p50_ms"`     // of the time to the head of the response
	P99          float64   `json:"p99_ms"`
	Attempts     uint64    `json:"attempts"`
	Failures     uint64    `json:"failures"`
}

// Check is what came of one active check.
type Check struct {
	Time     time.Time `json:"time"`             // when it began
	Interval float64   `json:"interval_seconds"` // until about the next one
	Reason   string    `json:"reason,omitempty"` // why the server is not well; empty: it is
}

// IsFailing is true for a server that gets requests and has failed the last one.
func (s *Server) IsFailing() bool {
	return s.LastFailure != nil && (s.State == "available" || s.State == "full")
}

// Failure is an attempt that failed.
type Failure struct {
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"` // the cause, and what happened
}

// Event is something that somebody at night wants to know of.
type Event struct {
	ID      uint64    `json:"id"` // counts from 1
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"` // server, backend, reload, process
	Backend string    `json:"backend,omitempty"`
	Server  string    `json:"server,omitempty"`
	State   string    `json:"state"` // healthy, unhealthy, ejected, readmitted, draining, available, up, down, reloaded, refused, started
	Reason  string    `json:"reason,omitempty"`
}

// History is what became of a server, by backend.
type History struct {
	Backend string  `json:"backend"`
	Server  Server  `json:"server"`
	Changes []Event `json:"changes"` // the last 50, the oldest first
}

// Reload is what came of a reload, or would come of one.
type Reload struct {
	Time       time.Time `json:"time"`
	Generation uint64    `json:"generation"`         // in force afterwards
	Changes    []string  `json:"changes,omitempty"`  // in the words of the file; none: nothing changed
	Warnings   []string  `json:"warnings,omitempty"` // about the config
	Problems   []string  `json:"problems,omitempty"` // each with file, line and column; then nothing was changed
}

// Failed is true when nothing was changed because something is wrong.
func (r *Reload) Failed() bool { return len(r.Problems) > 0 }

// Config is the config in force.
type Config struct {
	Generation uint64 `json:"generation"`
	YAML       string `json:"yaml"` // every key, with a comment that says where it comes from; secrets masked
}

// DrainRequest names a server of a backend. A name that only one backend has may stand alone.
type DrainRequest struct {
	Backend string  `json:"backend"`
	Server  string  `json:"server"`
	For     float64 `json:"for_seconds,omitempty"` // undrained by itself afterwards; 0: not before it is asked for
}

// ExplainRequest is a request that has not been made.
type ExplainRequest struct {
	Method string   `json:"method,omitempty"` // GET where empty
	URL    string   `json:"url"`
	Fields []string `json:"fields,omitempty"` // header lines, as in "Cookie: a=b"
	From   string   `json:"from,omitempty"`   // the client's address; 127.0.0.1 where empty
}

// DiffRequest names a config file as the running process sees it.
type DiffRequest struct {
	File string `json:"file"`
}

// Error is the answer to what could not be done.
type Error struct {
	Message string `json:"error"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }
