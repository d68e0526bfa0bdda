package admin

import (
	"bytes"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"l7/auth"
	"l7/config"
)

const (
	headerTimeout = 5 * time.Second  // for a request's header
	readTimeout   = 10 * time.Second // for all of a request
	writeTimeout  = time.Minute      // from a request's header to the end of its answer; streams have one for each write
	idleTimeout   = time.Minute
	maxHeader     = 16 << 10
	farewell      = 2 * time.Second // for what is being answered when a door closes
)

// door is one way to reach a Server.
type door struct {
	server   *Server
	address  config.ListenAddress // as the settings have it
	trusted  bool                 // the admin socket: who can open it may do all
	listener net.Listener
	http     *http.Server
	access   atomic.Pointer[access] // never nil once it is served
	leaving  chan struct{}          // closed when streams have to end
	served   chan struct{}          // closed when the last connection has been accepted
	open     atomic.Int64           // connections
}

// access is what of the settings a door asks for at each request. A door that is not wanted any more keeps what it had: one that
// was open to the network must not forget its users on its last day.
type access struct {
	users *auth.Users
	pprof bool
}

func (d *door) init(s *Server) {
	d.server, d.leaving, d.served = s, make(chan struct{}), make(chan struct{})
	d.http = &http.Server{
		Handler:                      d,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  readTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true, // which answers before anybody was asked for a password
		ErrorLog:                     stdlog.New(complaints{s.log}, "", 0),
		ConnState:                    d.count,
	}
}

// path is where a unix socket stands.
func (d *door) path() string { return d.listener.Addr().String() }

func (d *door) serve() {
	defer close(d.served)
	err := d.http.Serve(d.listener)
	if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		d.server.log.Error().Err(err).Stringer("listen", d.address).Msg("the admin listener has ended")
	}
}

// shut lets nobody in any more. finish has to follow if it was served.
func (d *door) shut() {
	_ = d.listener.Close() // a socket that cannot be closed was closed
	close(d.leaving)
}

// count counts connections.
func (d *door) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		d.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		d.open.Add(-1)
	}
}

// patience is how often finish looks whether all have gone.
const patience = 10 * time.Millisecond

// finish waits for what is being answered: the request that led to this may be a reload that came in here. Shutdown would do that too, but for a
// request that is read just then: it leaves that one without an answer.
func (d *door) finish() {
	<-d.served
	d.http.SetKeepAlivesEnabled(false)
	for end := time.Now().Add(farewell); d.open.Load() > 0 && time.Now().Before(end); {
		time.Sleep(patience) // there is nothing to wait on
	}
	_ = d.http.Close() // its errors are of connections that are closed
}

// refusal is an error that is to be answered with a status.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

// admit decides who may ask for a route, and returns the login, if there is one. The error is a *refusal.
func (d *door) admit(to route, r *http.Request) (login string, err error) {
	if err := d.server.origins.Check(r); err != nil {
		return "", &refusal{http.StatusForbidden, "this request comes from another site, and may change something"}
	}
	if d.trusted || to.reach == anyone {
		return "", nil
	}
	if users := d.access.Load().users; users != nil {
		login, err = d.identify(users, r)
	} else {
		err = d.onlooker(to, r)
	}
	if err == nil && to.reach == socketOnly {
		err = &refusal{http.StatusForbidden, "this reads files, and is to be had over the admin socket alone"}
	}
	return login, err
}

// identify says who asks. A login that fails is logged, with its name where there is such a login; who has not tried has not failed.
func (d *door) identify(users *auth.Users, r *http.Request) (string, error) {
	refused := &refusal{http.StatusUnauthorized, "this needs a login and its password; see admin.users in the config of l7"}
	fields := r.Header.Values("Authorization")
	switch len(fields) {
	case 0:
		return "", refused
	case 1:
	default:
		fields = []string{""} // which of them would count?
	}
	login, ok, err := d.verify(users, []byte(fields[0]))
	if ok || err != nil {
		return login, err
	}
	d.server.limited.Warn().Str("client", r.RemoteAddr).Str("login", login).Str("path", r.URL.Path).Stringer("listen", d.address).Msg("admin login refused")
	return "", refused
}

// verify checks a login. While too many are being verified, only those come in whose password is known already.
func (d *door) verify(users *auth.Users, field []byte) (login string, ok bool, err error) {
	select {
	case d.server.logins <- struct{}{}:
		defer func() { <-d.server.logins }()
		login, ok = users.Check(field)
		return login, ok, nil
	default:
	}
	login, verdict := users.Peek(field)
	if verdict != auth.Accepted {
		return "", false, &refusal{http.StatusTooManyRequests, fmt.Sprintf("%d logins are being verified already, which is the limit", maxLogins)}
	}
	return login, true, nil
}

// onlooker lets anybody look. A page of the web may have a name lead here (DNS rebinding) and would then be of the same
// site, but it cannot do so with an address.
func (d *door) onlooker(to route, r *http.Request) error {
	if d.address.Network == "tcp" && !isOwnName(r.Host) {
		return &refusal{http.StatusForbidden, "without admin.users, this is to be reached by an address or as localhost, not by another name"}
	}
	if to.reach == acts {
		return &refusal{http.StatusForbidden, "without a login this changes nothing: set admin.users in the config of l7, or use the admin socket"}
	}
	return nil
}

// isOwnName is true for the value of a Host field that is an IP literal or localhost.
func isOwnName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	_, err := netip.ParseAddr(host)
	return err == nil || strings.EqualFold(host, "localhost")
}

// complaints is where net/http writes what went wrong with a connection, the stack of a panic included.
type complaints struct{ log zerolog.Logger }

func (c complaints) Write(p []byte) (int, error) {
	c.log.Warn().Str("complaint", string(bytes.TrimSpace(p))).Msg("admin connection")
	return len(p), nil
}
