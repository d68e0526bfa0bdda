package admin

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"l7/admin/api"
)

const (
	statusEach    = time.Second
	heartbeatEach = 15 * time.Second // below the minute after which proxies in between give up
	streamWrite   = 10 * time.Second // how long a reader may take nothing
)

// stream is one answer of server-sent events (WHATWG HTML, section 9.2).
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// events answers with the last events, or with each as it happens where that is asked for.
func (s *Server) events(d *door, w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	if wantsStream(r) {
		s.stream(d, w, r, false)
		return
	}
	answerJSON(w, http.StatusOK, orEmpty(s.process.Events()))
}

// everything answers with a status each second and with each event.
func (s *Server) everything(d *door, w http.ResponseWriter, r *http.Request) {
	s.stream(d, w, r, true)
}

func wantsStream(r *http.Request) bool {
	for _, field := range r.Header.Values("Accept") {
		for kind := range strings.SplitSeq(field, ",") {
			if kind, _, err := mime.ParseMediaType(kind); err == nil && kind == "text/event-stream" {
				return true
			}
		}
	}
	return false
}

func (s *Server) stream(d *door, w http.ResponseWriter, r *http.Request, withStatus bool) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		answerError(w, &refusal{http.StatusServiceUnavailable, fmt.Sprintf("%d streams are open already, which is the limit", maxStreams)})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it until there is more
	if r.Method == http.MethodHead {
		return
	}
	unhurried(w)
	events, stop := s.process.Follow() // before the first status: what happens in between is in both, not in neither
	defer stop()
	st := &stream{w, http.NewResponseController(w)}
	first := st.flush
	if withStatus {
		first = func() error { return st.send("status", s.process.Status()) }
	}
	if first() != nil {
		return
	}
	s.follow(d, st, r, events, withStatus)
}

// follow sends what there is until the reader goes, the door closes, or the reader's login is not valid any more.
func (s *Server) follow(d *door, st *stream, r *http.Request, events <-chan api.Event, withStatus bool) {
	var due <-chan time.Time
	if withStatus {
		ticker := time.NewTicker(statusEach)
		defer ticker.Stop()
		due = ticker.C
	}
	heartbeat := time.NewTicker(heartbeatEach)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case <-d.leaving:
			return
		case event, ok := <-events:
			if !ok {
				return
			}
			err = st.send("event", event)
		case <-due:
			err = st.send("status", withoutPast(s.process.Status()))
		case <-heartbeat.C:
			if _, err = d.admit(route{reach: looks}, r); err == nil {
				err = st.write(":\n\n")
			}
		}
		if err != nil { // the reader has gone, or has to
			return
		}
	}
}

// withoutPast leaves out what the first status of a stream has told of each backend: of hundreds it would be megabytes a second.
func withoutPast(status *api.Status) *api.Status {
	for i := range status.Backends {
		status.Backends[i].Traffic.History = nil
	}
	return status
}

func (st *stream) send(kind string, content any) error {
	text, err := json.Marshal(content) // has no line ends
	if err != nil {
		return err
	}
	return st.write("event: " + kind + "\ndata: " + string(text) + "\n\n")
}

func (st *stream) write(text string) error {
	_ = st.rc.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := st.w.Write([]byte(text)); err != nil {
		return err
	}
	return st.rc.Flush()
}

// flush sends the header, so that the reader knows that it is heard.
func (st *stream) flush() error {
	_ = st.rc.SetWriteDeadline(time.Now().Add(streamWrite))
	return st.rc.Flush()
}
