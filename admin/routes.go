package admin

import (
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"l7/admin/api"
)

// reach says from where and by whom a route may be asked for.
type reach uint8

const (
	looks      reach = iota // whoever may look
	acts                    // whoever may do something
	socketOnly              // the admin socket alone
	anyone                  // probes, which have no password and do not care for names
)

// route is what a path leads to.
type route struct {
	method string // GET stands for HEAD too
	reach  reach
	handle func(d *door, w http.ResponseWriter, r *http.Request)
}

func (s *Server) newRoutes(metrics http.Handler) map[string]route {
	routes := map[string]route{
		api.PathStatus:  {http.MethodGet, looks, asJSON(s.status)},
		api.PathConfig:  {http.MethodGet, looks, asJSON(s.config)},
		api.PathHistory: {http.MethodGet, looks, asJSON(s.history)},
		api.PathEvents:  {http.MethodGet, looks, s.events},
		api.PathStream:  {http.MethodGet, looks, s.everything},
		api.PathReload:  {http.MethodPost, acts, asJSON(s.reload)},
		api.PathDrain:   {http.MethodPost, acts, asJSON(s.drain)},
		api.PathUndrain: {http.MethodPost, acts, asJSON(s.undrain)},
		api.PathExplain: {http.MethodPost, looks, asJSON(s.explain)},
		api.PathDiff:    {http.MethodPost, socketOnly, asJSON(s.diff)},
		api.PathHealthz: {http.MethodGet, anyone, s.healthz},
		api.PathReadyz:  {http.MethodGet, anyone, s.readyz},
		api.PathPprof:   {http.MethodGet, looks, profiles},
	}
	if metrics != nil {
		routes[api.PathMetrics] = route{http.MethodGet, looks, pass(metrics)}
	}
	return routes
}

// routeOf returns what a path leads to. What is neither the API's nor anything else's is the page's.
func (s *Server) routeOf(path string) route {
	if strings.HasPrefix(path, api.PathPprof) {
		return s.routes[api.PathPprof]
	}
	to, ok := s.routes[path]
	ours := strings.HasPrefix(path, "/api/") || path == api.PathMetrics
	switch {
	case ok:
		return to
	case s.page == nil || ours:
		return route{http.MethodGet, looks, notFound}
	}
	return route{http.MethodGet, looks, pass(s.page)}
}

// ServeHTTP answers a request that came in by this door.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // nobody frames a button that drains
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	to := d.server.routeOf(r.URL.Path)
	login, err := d.admit(to, r)
	if err == nil {
		err = to.check(w, r)
	}
	if err != nil {
		answerError(w, err)
		return
	}
	if to.reach == acts {
		d.server.log.Info().Str("path", r.URL.Path).Str("login", login).Str("client", r.RemoteAddr).Stringer("listen", d.address).Msg("admin request")
	}
	to.handle(d, w, r)
}

// check refuses a method that is not the route's.
func (t *route) check(w http.ResponseWriter, r *http.Request) error {
	if r.Method == t.method || r.Method == http.MethodHead && t.method == http.MethodGet {
		return nil
	}
	allow := t.method
	if allow == http.MethodGet {
		allow = "GET, HEAD"
	}
	w.Header().Set("Allow", allow)
	return &refusal{http.StatusMethodNotAllowed, "this path takes " + allow}
}

func pass(h http.Handler) func(*door, http.ResponseWriter, *http.Request) {
	return func(_ *door, w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }
}

func notFound(_ *door, w http.ResponseWriter, _ *http.Request) {
	answerError(w, &refusal{http.StatusNotFound, "there is nothing at this path"})
}

// profiles offers Go's profiles. The command line is not among them: a secret may stand there.
func profiles(d *door, w http.ResponseWriter, r *http.Request) {
	if !d.access.Load().pprof {
		answerError(w, &refusal{http.StatusNotFound, "profiles are offered when the config has admin.pprof"})
		return
	}
	unhurried(w)
	switch strings.TrimPrefix(r.URL.Path, api.PathPprof) {
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}

// unhurried lets an answer take its time. What has come in of the request was read before.
func unhurried(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
}
