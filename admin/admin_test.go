package admin

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
)

// everyPath is each route, and paths that are none or lie below one.
func everyPath(s *Server) map[string]route {
	all := map[string]route{}
	for path := range s.routes {
		all[path] = s.routeOf(path)
	}
	for _, path := range []string{"/", "/app.js", "/api/", "/api/nothing", "//api/reload", "/debug/pprof/heap"} {
		all[path] = s.routeOf(path)
	}
	return all
}

func TestUnauthorized(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	settle(t, s, Settings{Listen: loopback(t), Pprof: true, Users: usersOf(t, map[string]string{"bob": "sesame"})})
	f := func(name string, change func(*http.Request)) {
		t.Helper()
		for path, to := range everyPath(s) {
			response := ask(t, s.Addr(), to.method+" "+path, "{}", change)
			if to.reach == anyone {
				assert.Equal(t, http.StatusOK, response.StatusCode, "%s %s", name, path)
				continue
			}
			assert.Equal(t, http.StatusUnauthorized, response.StatusCode, "%s %s", name, path)
			assert.Contains(t, response.Header.Get("WWW-Authenticate"), "Basic ", "%s %s", name, path)
			assert.Contains(t, text(t, response), "admin.users", "%s %s", name, path)
		}
	}
	f("none", nil)
	f("wrong password", func(r *http.Request) { r.SetBasicAuth("bob", "nope") })
	f("unknown login", func(r *http.Request) { r.SetBasicAuth("eve", "sesame") })
	f("empty", func(r *http.Request) { r.Header.Set("Authorization", "") })
	f("another scheme", func(r *http.Request) { r.Header.Set("Authorization", "Bearer sesame") })
	f("two", func(r *http.Request) {
		r.SetBasicAuth("bob", "sesame")
		r.Header.Add("Authorization", "Basic x")
	})
	assert.Empty(t, p.heard())
}

func TestOnlookers(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	settle(t, s, Settings{Listen: loopback(t), Pprof: true})
	for path, to := range everyPath(s) {
		response := ask(t, s.Addr(), http.MethodPost+" "+path, "{}", nil)
		switch {
		case to.method == http.MethodGet:
			assert.Equal(t, http.StatusMethodNotAllowed, response.StatusCode, path)
		case to.reach == looks:
			assert.Equal(t, http.StatusBadRequest, response.StatusCode, path)
		default:
			assert.Equal(t, http.StatusForbidden, response.StatusCode, path)
			assert.Contains(t, text(t, response), "admin", path)
		}
	}
	assert.Empty(t, p.heard())
}

func TestForeignHost(t *testing.T) {
	s := newRoom(t, newFake())
	settle(t, s, Settings{Listen: loopback(t), Pprof: true})
	f := func(host string, refused bool) {
		t.Helper()
		for path, to := range everyPath(s) {
			if to.method != http.MethodGet {
				continue
			}
			response := ask(t, s.Addr(), http.MethodGet+" "+path, "", func(r *http.Request) { r.Host = host })
			assert.Equal(t, refused && to.reach != anyone, response.StatusCode == http.StatusForbidden, "%s %s", host, path)
		}
	}
	f("evil.example", true)
	f("evil.example:9901", true)
	f("127.0.0.1.evil.example", true)
	f("localhost.evil.example:80", true)
	f("127.0.0.1", false)
	f("127.0.0.1:9901", false)
	f("[::1]", false)
	f("[::1]:9901", false)
	f("LocalHost:9901", false)
}

func TestCrossSite(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket, Listen: loopback(t), Pprof: true, Users: usersOf(t, map[string]string{"bob": "sesame"})})
	f := func(name, value string) {
		t.Helper()
		change := func(r *http.Request) {
			r.SetBasicAuth("bob", "sesame")
			r.Header.Set(name, value)
		}
		for path := range everyPath(s) {
			assert.Equal(t, http.StatusForbidden, ask(t, s.Addr(), http.MethodPost+" "+path, "{}", change).StatusCode, path)
			assert.Equal(t, http.StatusForbidden, ask(t, unixAddr(socket), http.MethodPost+" "+path, "{}", change).StatusCode, path)
		}
	}
	f("Sec-Fetch-Site", "cross-site")
	f("Sec-Fetch-Site", "same-site")
	f("Origin", "http://evil.example")
	f("Origin", "null")
	assert.Empty(t, p.heard())
}

func TestAuthorized(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket, Listen: loopback(t), Pprof: true, Users: usersOf(t, map[string]string{"bob": "sesame"})})
	login := func(r *http.Request) {
		r.SetBasicAuth("bob", "sesame")
		r.Host = "admin.example"
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	refused := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed}
	for path, to := range everyPath(s) {
		status := ask(t, s.Addr(), to.method+" "+path, "", login).StatusCode
		if to.reach == socketOnly {
			assert.Equal(t, http.StatusForbidden, status, path)
		} else {
			assert.NotContains(t, refused, status, path)
		}
		assert.NotContains(t, refused, ask(t, unixAddr(socket), to.method+" "+path, "", nil).StatusCode, path)
	}
}

func TestMethods(t *testing.T) {
	s := newRoom(t, newFake())
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket, Pprof: true})
	for path, to := range everyPath(s) {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			if method == to.method || method == http.MethodHead && to.method == http.MethodGet {
				continue
			}
			response := ask(t, unixAddr(socket), method+" "+path, "", nil)
			assert.Equal(t, http.StatusMethodNotAllowed, response.StatusCode, "%s %s", method, path)
			assert.Contains(t, []string{"POST", "GET, HEAD"}, response.Header.Get("Allow"), "%s %s", method, path)
		}
	}
}

// A HEAD has the status and the fields of a GET, and no body; it does not start a stream.
func TestHead(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket, Pprof: true})
	for path, to := range everyPath(s) {
		if to.method != http.MethodGet {
			continue
		}
		get, head := ask(t, unixAddr(socket), http.MethodGet+" "+path, "", nil), ask(t, unixAddr(socket), http.MethodHead+" "+path, "", nil)
		assert.Equal(t, get.StatusCode, head.StatusCode, path)
		assert.Equal(t, get.Header.Get("Content-Type"), head.Header.Get("Content-Type"), path)
		assert.Empty(t, text(t, head), path)
	}
	assert.Len(t, p.followed, 1) // by the GET
}

func TestAnswers(t *testing.T) {
	p := newFake()
	s := newRoom(t, p)
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket})
	f := func(method, path, body string, status int, want string) {
		t.Helper()
		response := ask(t, unixAddr(socket), method+" "+path, body, nil)
		assert.Equal(t, status, response.StatusCode)
		assert.Equal(t, "no-store", response.Header.Get("Cache-Control"))
		assert.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
		if strings.HasPrefix(path, "/api/") {
			assert.Equal(t, "application/json", response.Header.Get("Content-Type"))
		}
		assert.Contains(t, text(t, response), want)
	}
	f("GET", "/api/status", "", 200, `"pid":2`)
	f("GET", "/api/config", "", 200, `{"generation":7,"yaml":"workers: 1 # default\n"}`)
	f("GET", "/api/history?server=a&backend=b", "", 200, `"backend":"b"`)
	f("GET", "/api/history?server=unknown", "", 404, ErrUnknown.Error())
	f("GET", "/api/history", "", 400, "server is missing")
	f("GET", "/api/events", "", 200, `[{"id":1,`)
	f("GET", "/api/nothing", "", 404, `{"error":"`)
	f("POST", "/api/reload", "", 200, `"generation":7`)
	f("POST", "/api/reload", "{}", 200, `"generation":7`)
	f("POST", "/api/reload", `{"x":1}`, 400, `unknown field \"x\"`)
	f("POST", "/api/diff", `{"file":"good.yml"}`, 200, `"generation":7`)
	f("POST", "/api/diff", `{"file":"bad.yml"}`, 422, `"problems":["bad.yml:1:2: no"]`)
	f("POST", "/api/diff", `{}`, 400, "file is missing")
	f("POST", "/api/drain", `{"backend":"b","server":"a","for_seconds":1.5}`, 200, `"drained":true`)
	f("POST", "/api/undrain", `{"server":"a"}`, 200, `"address":"127.0.0.1:8081"`)
	f("POST", "/api/drain", `{"server":"unknown"}`, 404, "cannot find server")
	f("POST", "/api/drain", `{"server":"two"}`, 400, "which backend")
	f("POST", "/api/drain", `{}`, 400, "server is missing")
	f("POST", "/api/drain", `null`, 400, "server is missing")
	f("POST", "/api/drain", ``, 400, "is empty")
	f("POST", "/api/drain", `{"server":"a","for_seconds":-1}`, 400, "for_seconds")
	f("POST", "/api/drain", `{"server":"a","for_seconds":1e300}`, 400, "for_seconds")
	f("POST", "/api/drain", `{"server":"a","seconds":1}`, 400, `unknown field \"seconds\"`)
	f("POST", "/api/drain", `{"server":1}`, 400, "cannot read the request")
	f("POST", "/api/drain", `{"server":"a"} {}`, 400, "more behind")
	f("POST", "/api/drain", `{"server":"a"}}`, 400, "cannot read the request")
	f("POST", "/api/drain", `{"server":"a`, 400, "cannot read the request")
	f("POST", "/api/drain", `{"server":"`+strings.Repeat("a", maxBody)+`"}`, 413, "larger than 65536 bytes")
	f("POST", "/api/drain", `{"server":"a"}`+strings.Repeat(" ", maxBody), 413, "larger than 65536 bytes")
	f("POST", "/api/explain", `{"url":"http://example.com/"}`, 200, `"rate_limit":"none"`)
	f("POST", "/api/explain", `{"url":"::"}`, 400, "cannot read the URL")
	f("POST", "/api/explain", `{"method":"GET"}`, 400, "url is missing")
	f("GET", "/healthz", "", 200, "ok\n")
	f("GET", "/readyz", "", 200, "ok\n")
	f("GET", "/metrics", "", 200, "metrics")
	f("GET", "/", "", 200, "page")
	f("GET", "/debug/pprof/heap", "", 404, "admin.pprof")
	assert.Equal(t, []string{
		"reload", "reload", "diff good.yml", "diff bad.yml", `drain "b" "a" 1.5 true`, `drain "" "a" 0 false`, `drain "" "unknown" 0 true`,
		`drain "" "two" 0 true`, "explain http://example.com/", "explain ::",
	}, p.heard())

	p.mu.Lock()
	p.notReady, p.reloading = errors.New("draining"), func() *api.Reload { return fakeReload("l7.yml:3:1: no") }
	p.mu.Unlock()
	f("GET", "/readyz", "", 503, "draining\n")
	f("GET", "/healthz", "", 200, "ok\n")
	f("POST", "/api/reload", "", 422, "l7.yml:3:1: no")
}

func TestWithoutHandlers(t *testing.T) {
	s := New(newFake(), zerolog.Nop(), nil, nil)
	defer s.Close()
	socket := socketIn(t)
	settle(t, s, Settings{Socket: socket})
	for _, path := range []string{"/", "/metrics", "/favicon.ico"} {
		response := ask(t, unixAddr(socket), http.MethodGet+" "+path, "", nil)
		assert.Equal(t, http.StatusNotFound, response.StatusCode, path)
		assert.Contains(t, text(t, response), `{"error":`, path)
	}
}

// The command line of a process may have secrets in it, and Go's profiles offer it.
func TestProfiles(t *testing.T) {
	s := newRoom(t, newFake())
	settle(t, s, Settings{Listen: loopback(t), Pprof: true})
	f := func(path string, want int) {
		t.Helper()
		assert.Equal(t, want, ask(t, s.Addr(), http.MethodGet+" "+path, "", nil).StatusCode, path)
	}
	f("/debug/pprof/", http.StatusOK)
	f("/debug/pprof/goroutine?debug=1", http.StatusOK)
	f("/debug/pprof/symbol", http.StatusOK)
	f("/debug/pprof/cmdline", http.StatusNotFound)
}

// Who has changed something stands in the log, without a password.
func TestLogged(t *testing.T) {
	var log bytes.Buffer
	s := New(newFake(), zerolog.New(&log), nil, nil)
	settle(t, s, Settings{Listen: loopback(t), Users: usersOf(t, map[string]string{"bob": "sesame"})})
	response := ask(t, s.Addr(), http.MethodPost+" "+api.PathReload, "", func(r *http.Request) { r.SetBasicAuth("bob", "sesame") })
	require.Equal(t, http.StatusOK, response.StatusCode)
	s.Close()
	assert.Contains(t, log.String(), `"path":"/api/reload","login":"bob"`)
	assert.NotContains(t, log.String(), "sesame")
}

// Who tries passwords stands in the log, without them; also what login they are tried for, if there is one.
func TestRefusedLoginsAreLogged(t *testing.T) {
	var log bytes.Buffer
	s := New(newFake(), zerolog.New(&log), nil, nil)
	settle(t, s, Settings{Listen: loopback(t), Users: usersOf(t, map[string]string{"bob": "sesame"})})
	f := func(login, password string) {
		t.Helper()
		response := ask(t, s.Addr(), http.MethodGet+" "+api.PathStatus, "", func(r *http.Request) {
			if login != "" {
				r.SetBasicAuth(login, password)
			}
		})
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	}
	f("", "")
	f("bob", "hunter2")
	f("hunter2", "sesame")
	for range 2 * clientLines {
		f("bob", "hunter2")
	}
	s.Close()
	assert.Regexp(t, `(?m)^\{"level":"warn","client":"127\.0\.0\.1:\d+","login":"bob","path":"/api/status","listen":"127\.0\.0\.1:0","message":"admin login refused"\}$`, log.String())
	assert.Contains(t, log.String(), `"login":"","path"`)
	assert.NotContains(t, log.String(), "hunter2")
	assert.Less(t, strings.Count(log.String(), "\n"), 2*clientLines, "there is no bound")
}

// A flood of wrong passwords does not lock out those whose password is known.
func TestManyLoginsAtOnce(t *testing.T) {
	s := newRoom(t, newFake())
	settle(t, s, Settings{Listen: loopback(t), Users: usersOf(t, map[string]string{"bob": "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=", "eve": slowHash})})
	f := func(login, password string, status int) {
		t.Helper()
		response := ask(t, s.Addr(), http.MethodGet+" "+api.PathStatus, "", func(r *http.Request) { r.SetBasicAuth(login, password) })
		assert.Equal(t, status, response.StatusCode)
		if status == http.StatusTooManyRequests {
			assert.Equal(t, "1", response.Header.Get("Retry-After"))
		}
	}
	f("eve", "open sesame", http.StatusOK)
	for range maxLogins { // that take their time
		s.logins <- struct{}{}
	}
	f("eve", "open sesame", http.StatusOK)
	f("bob", "open sesame", http.StatusOK)
	f("eve", "nope", http.StatusTooManyRequests)
	f("nobody", "nope", http.StatusTooManyRequests)
	assert.Equal(t, http.StatusUnauthorized, statusAt(t, s.Addr(), api.PathStatus), "nothing was to be verified")
	for range maxLogins {
		<-s.logins
	}
	f("eve", "nope", http.StatusUnauthorized)
}

// slowHash is a hash of "open sesame".
const slowHash = "$2y$04$CqKuqYO/xGEPkysb7oRgYOLBS3xpzruImqsmfdZ3X1H5WCEph4Knm"
