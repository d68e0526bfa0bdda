package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// mustLoad loads a file of the given text ("" for no file), an environment and arguments.
func mustLoad(t *testing.T, file string, environ []string, args Args) *Loaded {
	t.Helper()
	loaded, err := loadLayers(file, environ, args)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func loadLayers(file string, environ []string, args Args) (*Loaded, error) {
	if file != "" {
		args.File = "l7.yml"
	}
	return load(args, environ, func(string) ([]byte, error) { return []byte(file), nil })
}

const aBackend = "backends: {a.io: {servers: [10.0.0.1:80]}}\n"

// The line of the issue, with its passwords and servers.
func TestLoadArguments(t *testing.T) {
	loaded := mustLoad(t, "", nil, Args{
		Port:  "8080",
		Users: []string{"admin:admin", "someone:my:passwd"},
		Servers: []string{
			"mydomain.com=127.0.0.1:8081", "MyDomain.com=127.0.0.1:8082", "example.io/Api=http://127.0.0.1:1337",
			"[::1]=unix:/run/a=b.sock",
		},
	})
	want := Default()
	want.Port = 8080
	want.Listen = []Listener{listenerOn(8080)}
	want.Users = map[string]Secret{"admin": "admin", "someone": "my:passwd"}
	server := func(port uint16) Server {
		return Server{Address: Address{Scheme: "http", Host: "127.0.0.1", Port: port}, Weight: 1}
	}
	want.Backends = onDefaults(map[string]Backend{
		"mydomain.com":   {Servers: []Server{server(8081), server(8082)}},
		"example.io/Api": {Servers: []Server{server(1337)}},
		"[::1]":          {Servers: []Server{{Address: Address{Scheme: "unix", Path: "/run/a=b.sock"}, Weight: 1}}},
	})
	if !reflect.DeepEqual(loaded.Config, want) {
		t.Errorf("got %+v\nwant %+v", loaded.Config, want)
	}
	if loaded.File != "" || loaded.Warnings != nil {
		t.Errorf("file %q, warnings %v", loaded.File, loaded.Warnings)
	}
}

// onDefaults gives backends, of which only the servers are told, all the rest.
func onDefaults(backends map[string]Backend) map[string]Backend {
	for name, b := range backends {
		backend := DefaultBackend()
		backend.Servers = b.Servers
		backends[name] = backend
	}
	return backends
}

func TestLoadEnvironment(t *testing.T) {
	loaded := mustLoad(t, "", []string{
		"HOME=/root", "L7_PORT=8080", "L7_LOG__LEVEL=warn", "L7_TIMEOUTS__CONNECT=3s", "L7_DEBUG=1", "L7_DRAIN__TIMEOUT=1m",
		"L7_USERS=admin:admin  bob:x:y", "L7_USERS_FILE=/a b", "L7_SERVERS=a.io=10.0.0.1 a.io=10.0.0.2:81\tb.io=c", "L7_TIMEOUTS__IDLE=",
	}, Args{})
	want := Default()
	want.Port, want.Debug, want.UsersFile = 8080, true, "/a b"
	want.Listen = []Listener{listenerOn(8080)}
	want.Log.Level, want.Timeouts.Connect, want.Drain.Timeout = "warn", 3*time.Second, time.Minute
	want.Users = map[string]Secret{"admin": "admin", "bob": "x:y"}
	server := func(host string, port uint16) Server {
		return Server{Address: Address{Scheme: "http", Host: host, Port: port}, Weight: 1}
	}
	want.Backends = onDefaults(map[string]Backend{
		"a.io": {Servers: []Server{server("10.0.0.1", 80), server("10.0.0.2", 81)}},
		"b.io": {Servers: []Server{server("c", 80)}},
	})
	if !reflect.DeepEqual(loaded.Config, want) {
		t.Errorf("got %+v\nwant %+v", loaded.Config, want)
	}
	if origin := loaded.Origin([]string{"users", "bob"}); origin.String() != "L7_USERS" {
		t.Errorf("bob comes from %s", origin)
	}
}

// Each case: what the layers give, and one value with its place in the result.
func TestLayers(t *testing.T) {
	f := func(file, environ string, args Args, path, want, origin string) {
		t.Helper()
		args.Servers = append(args.Servers, "x.io=127.0.0.1:1")
		loaded, err := loadLayers(file, strings.Split(environ, "|"), args)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		steps := strings.Split(path, ".")
		k, v := Keys(), reflect.ValueOf(loaded.Config)
		for _, step := range steps {
			if k = k.child(step); v.Kind() == reflect.Map {
				v = v.MapIndex(reflect.ValueOf(step))
			} else if v.Kind() == reflect.Struct {
				v = v.Field(k.index)
			} else {
				v = v.Index(int(step[0] - '0'))
			}
		}
		if got := textOf(v); got != want {
			t.Errorf("%s is %q; want %q", path, got, want)
		}
		if got := loaded.Origin(steps).String(); got != origin {
			t.Errorf("%s comes from %q; want %q", path, got, origin)
		}
	}
	none := Args{}
	f("", "", none, "timeouts.connect", "2s", "default")
	f("timeouts: {connect: 3s}", "", none, "timeouts.connect", "3s", "l7.yml:1:21")
	f("timeouts: {connect: 3s}", "L7_TIMEOUTS__CONNECT=4s", none, "timeouts.connect", "4s", "L7_TIMEOUTS__CONNECT")
	f("timeouts: {connect: 3s}", "L7_TIMEOUTS__IDLE=4s", none, "timeouts.connect", "3s", "l7.yml:1:21")
	f("timeouts: {connect: 3s}", "", none, "timeouts.idle", "1m", "default")
	f("users_file: a", "L7_USERS_FILE=", none, "users_file", "a", "l7.yml:1:13")

	f("", "", none, "listen.0.address", ":80", "default")
	f("port: 81", "", none, "listen.0.address", ":81", "l7.yml:1:7")
	f("port: 81", "L7_PORT=82", none, "listen.0.address", ":82", "L7_PORT")
	f("port: 81", "L7_PORT=82", Args{Port: "83"}, "listen.0.address", ":83", "--port")
	f("listen: ['a:81', 'b:81']", "", none, "listen.1.address", "b:81", "l7.yml:1:18")
	f("listen: ['a:81', 'b:81']", "L7_LISTEN=c:81 unix:/d", none, "listen.1.address", "unix:/d", "L7_LISTEN")
	f("listen: ['a:81', 'b:81']", "L7_PORT=82", none, "listen.0.address", ":82", "L7_PORT")
	f("port: 81", "L7_LISTEN=c:81", none, "port", "0", "l7.yml:1:7")

	// The short form gives the address alone: what stands beside it in the section is a default.
	for _, key := range []string{"tls.certificate", "tls.acme.email", "tls.strict_sni", "mode", "redirect_https"} {
		value := map[bool]string{true: "false"}[key == "tls.strict_sni" || key == "redirect_https"]
		f("listen: ':81'", "", none, "listen.0."+key, value, "default")
		f("listen: [':81']", "", none, "listen.0."+key, value, "default")
		f("listen: {address: ':81'}", "", none, "listen.0."+key, value, "default")
		f("", "L7_LISTEN=:81", none, "listen.0."+key, value, "default")
		f("", "L7_PORT=81", none, "listen.0."+key, value, "default")
	}
	f("listen: ':81'", "", none, "listen.0.address", ":81", "l7.yml:1:9")
	f("listen: {address: ':81'}", "", none, "listen.0.address", ":81", "l7.yml:1:19")
	f("listen: {address: ':81', tls: self}", "", none, "listen.0.tls.certificate", "self", "l7.yml:1:31")
	f("listen: {address: ':81', tls: self}", "", none, "listen.0.tls.min_version", "1.2", "default")
	f("listen: {address: ':81', proxy_protocol: 10.0.0.1}", "", none, "listen.0.proxy_protocol.trusted.0", "10.0.0.1", "l7.yml:1:42")
	f("listen: {address: ':81', proxy_protocol: [10.0.0.1]}", "", none, "listen.0.proxy_protocol.trusted.0", "10.0.0.1", "l7.yml:1:43")
	f("", "L7_FORWARDING=via", none, "forwarding.0", "via", "L7_FORWARDING")

	f("debug: true", "", none, "log.level", "debug", "l7.yml:1:8")
	f("debug: true\nlog: {level: info}", "", none, "log.level", "info", "l7.yml:2:14")
	f("log: {level: info}", "", Args{Debug: true}, "log.level", "debug", "--debug")
	f("log: {level: info}", "L7_DEBUG=true", none, "log.level", "debug", "L7_DEBUG")
	f("debug: true", "L7_LOG__LEVEL=warn", none, "log.level", "warn", "L7_LOG__LEVEL")
	f("debug: true", "L7_DEBUG=false", none, "log.level", "info", "default")
	f("debug: true\nlog: {level: warn}", "", Args{Debug: true}, "log.level", "debug", "--debug")

	file := "users: {a: file, b: file, c: file}"
	f(file, "L7_USERS=b:env c:env", Args{Users: []string{"c:arg"}}, "users.a", "file", "l7.yml:1:12")
	f(file, "L7_USERS=b:env c:env", Args{Users: []string{"c:arg"}}, "users.b", "env", "L7_USERS")
	f(file, "L7_USERS=b:env c:env", Args{Users: []string{"c:arg"}}, "users.c", "arg", "--user")
}

func TestOriginOfBackends(t *testing.T) {
	loaded := mustLoad(t, aBackend, []string{"L7_SERVERS=b.io=10.0.0.2"}, Args{Servers: []string{"c.io=10.0.0.3", "c.io=10.0.0.4"}})
	f := func(origin string, place string, path ...string) {
		t.Helper()
		if got := loaded.Origin(path).String(); got != origin {
			t.Errorf("%v comes from %q; want %q", path, got, origin)
		}
		if got := loaded.Problem(path, "x").Origin.String(); got != place {
			t.Errorf("a problem of %v is at %q; want %q", path, got, place)
		}
	}
	f("l7.yml:1:12", "l7.yml:1:12", "backends", "a.io")
	f("l7.yml:1:29", "l7.yml:1:29", "backends", "a.io", "servers", "0", "address")
	f("default", "l7.yml:1:12", "backends", "a.io", "hosts")
	f("default", "l7.yml:1:19", "backends", "a.io", "servers", "7")
	f("default", "l7.yml:1:1", "backends", "z.io")
	f("default", "l7.yml:1:1", "timeouts", "idle")
	f("L7_SERVERS", "L7_SERVERS", "backends", "b.io", "servers", "0", "address")
	f("default", "L7_SERVERS", "backends", "b.io", "servers", "0", "weight")
	f("default", "L7_SERVERS", "backends", "b.io", "hosts")
	f(`argument "c.io=..."`, `argument "c.io=..."`, "backends", "c.io", "servers", "1")
	f(`argument "c.io=..."`, `argument "c.io=..."`, "backends", "c.io")
	problem := loaded.Problem([]string{"backends", "c.io", "servers", "1"}, "what a server")
	if got := problem.Error(); got != `argument "c.io=...": backends.c.io.servers[1]: what a server` {
		t.Error(got)
	}
}

func TestWarnings(t *testing.T) {
	f := func(file, environ string, args Args, want ...string) {
		t.Helper()
		loaded := mustLoad(t, file+"\n"+aBackend, strings.Split(environ, "|"), args)
		var got []string
		for _, warning := range loaded.Warnings {
			got = append(got, warning.Error())
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	f("listen: ':81'", "", Args{Port: "82"}, "--port: port: replaces listen at l7.yml:1:9")
	f("port: 81", "L7_LISTEN=:82", Args{}, "L7_LISTEN: listen: replaces port at l7.yml:1:7")
	f("port: 81", "", Args{Port: "82"})
	f("", "L7_PORT=tcp://10.0.0.1:80|L7_SERVICE_HOST=10.0.0.1|L7_SERVICE_PORT_HTTP=80|L7_PORT_80_TCP_ADDR=10.0.0.1", Args{},
		"L7_PORT: passed over, for Kubernetes sets it for a Service (4 such: L7_PORT, L7_PORT_80_TCP_ADDR, L7_SERVICE_HOST, L7_SERVICE_PORT_HTTP)")
	f("", "L7_ADMIN_PORT=tcp://10.0.0.1:80|L7_ADMIN_SERVICE_HOST=10.0.0.1|L7_ADMIN_SERVICE_PORT_HTTP=80|L7_ADMIN_PORT_80_TCP=x", Args{},
		"L7_ADMIN_PORT: passed over, for Kubernetes sets it for a Service (4 such: L7_ADMIN_PORT, L7_ADMIN_PORT_80_TCP, L7_ADMIN_SERVICE_HOST, L7_ADMIN_SERVICE_PORT_HTTP)")
}

func TestLoadErrors(t *testing.T) {
	f := func(file, environ string, args Args, want ...string) {
		t.Helper()
		loaded, err := loadLayers(file, strings.Split(environ, "|"), args)
		if loaded != nil || err == nil {
			t.Errorf("it loads; want %q", want)
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || err.Error() != strings.Join(want, "\n") {
			t.Errorf("got:\n%v\nwant:\n%s", err, strings.Join(want, "\n"))
		}
	}
	servers := func(texts ...string) Args { return Args{Servers: texts} }
	form := " is no HOST[/PREFIX]=ADDRESS, as in example.com=127.0.0.1:8081"
	none := "there are no backends; name one as an argument, as in example.com=127.0.0.1:8081," +
		" or in the file: backends: {example.com: {servers: [{address: '127.0.0.1:8081'}]}}"

	f("", "", Args{}, none)
	f("{}", "", Args{}, "l7.yml: "+none)
	f("{}", "", Args{Port: "x"}, "l7.yml: "+none, `--port: port: cannot use "x"; want a whole number in plain digits`)
	f("", "", servers("a.io"), `argument 1: "a.io"`+form)
	f("", "", servers("a.io=b", "admin:hunter2"), `argument 2: "admin:..." (for a user, write --user admin:PASSWORD)`+form)
	f("", "", servers("admin:hunter=2"), `argument 1: "admin:..." (for a user, write --user admin:PASSWORD)`+form)
	f("", "", servers("=b"), "argument 1: the host is missing or no text; want HOST[/PREFIX]=ADDRESS, as in example.com=127.0.0.1:8081")
	f("", "", servers("a.io=", "b.io=u:hunter2@c"),
		`argument "a.io=...": backends.a.io.servers[0]: cannot use server address "": the host is missing, as in http://10.0.0.4:8081`,
		`argument "b.io=...": backends.b.io.servers[0]: cannot use server address "***@c": user information has no meaning here; remove all up to the '@'`)
	f("", "", servers("a.io=b", "a.io=http://B:80/"),
		`argument "a.io=...": backends.a.io.servers[1]: http://b:80 is given twice; first at argument "a.io=..."`)
	f(aBackend, "", servers("A.io=b"), `argument "A.io=...": backends.a.io: the host is named at l7.yml:1:12 too; name it in one place`)
	f(aBackend, "L7_SERVERS=a.io=c b.io=c", servers("B.io=b"),
		"L7_SERVERS: backends.a.io: the host is named at l7.yml:1:12 too; name it in one place",
		`argument "B.io=...": backends.b.io: the host is named at L7_SERVERS too; name it in one place`)
	f(aBackend, "", Args{Users: []string{"hunter2", ":hunter2", "a:", "b:***", "c:x", "c:y", "d\x01:x", "\xff:x", "e:\xff"}},
		"--user: users: number 1 has no colon in it; want LOGIN:PASSWORD, as in alice:secret",
		"--user: users.\"\": the login is empty",
		"--user: users.a: the password is empty",
		"--user: users.b: *** stands for a secret that a dump does not show; put the password or hash back in its place",
		"--user: users.c: the login is given twice",
		`--user: users."d\x01": the login contains a control character, or bytes that are not UTF-8`,
		`--user: users."\xff": the login contains a control character, or bytes that are not UTF-8`,
		"--user: users.e: the password contains bytes that are not UTF-8")
	f(aBackend, "L7_USERS=admin:my hunter2", Args{}, "L7_USERS: users: number 2 has no colon in it; want LOGIN:PASSWORD, as in alice:secret")
	f(aBackend, "L7_PORT=80|L7_LISTEN=:80", Args{}, "L7_PORT: port: port is short for listen, and both are given; listen is at L7_LISTEN")
	f(aBackend, "L7_PORT=x|L7_DEBUG=maybe|L7_LOG__LEVEL=inof|L7_TIMEOUTS__IDLE=5|L7_LISTEN=:81 :82x|L7_USERS_FILE=\xff", Args{},
		`L7_DEBUG: debug: cannot use "maybe"; want true or false`,
		`L7_LISTEN: listen: cannot listen on ":82x": bad port "82x": want a number from 0 to 65535`,
		`L7_LOG__LEVEL: log.level: cannot use "inof"; want one of debug, info, warn, error; did you mean "info"?`,
		`L7_PORT: port: cannot use "x"; want a whole number in plain digits`,
		`L7_TIMEOUTS__IDLE: timeouts.idle: "5" has no unit; write 5s for seconds, or ms, m, h`,
		"L7_USERS_FILE: users_file: the text is not UTF-8")
	f(aBackend, "L7_RESOLVE_INTERVAL=999ms", Args{}, "L7_RESOLVE_INTERVAL: resolve_interval: want 1s to 1h from one look to the next, as in 10s")
	f(aBackend, "L7_RESOLVE_INTERVAL=61m", Args{}, "L7_RESOLVE_INTERVAL: resolve_interval: want 1s to 1h from one look to the next, as in 10s")
	f(aBackend, "L7_LISTEN=:81 127.0.0.1:82 :81", Args{}, "L7_LISTEN: listen[2]: :81 is given twice; first at L7_LISTEN")
	f(aBackend, "L7_TIMEOUT__CONNECT=1s|L7_BACKENDS=x|L7_BACKENDS__A=x|L7_NONSENSE=x|L7_TIMEOUTS=x", Args{},
		`L7_BACKENDS: backends cannot be given in the environment; use L7_SERVERS="HOST=ADDRESS ..." or the file`,
		`L7_BACKENDS__A: backends cannot be given in the environment; use L7_SERVERS="HOST=ADDRESS ..." or the file`,
		"L7_NONSENSE: unknown variable; a key of the file is written as in L7_TIMEOUTS__CONNECT=2s",
		"L7_TIMEOUTS: unknown variable; a key of the file is written as in L7_TIMEOUTS__CONNECT=2s",
		`L7_TIMEOUT__CONNECT: unknown variable; did you mean "L7_TIMEOUTS__CONNECT"?`)
	f("port: 80\nlisten: ':80'\n"+aBackend, "", Args{Port: "81"}, "l7.yml:1:7: port: port is short for listen, and both are given; listen is at l7.yml:2:9")
	f("port: [1]\nx: 1", "L7_NONSENSE=x", Args{Port: "-1"},
		"l7.yml:1:7: port: want a whole number from 0 to 65535, as in 8080; this is a list",
		"l7.yml:2:1: x: unknown key; known here: port, listen, users, users_file, debug, log, timeouts, limits, trusted_proxies, forwarding, underscores, admin, resolver, resolve_interval, hsts, watch, drain, expect, backends",
		"L7_NONSENSE: unknown variable; a key of the file is written as in L7_TIMEOUTS__CONNECT=2s",
		`--port: port: cannot use "-1"; want a whole number from 0 to 65535, as in 8080`)
}

func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "my l7.yml")
	if err := os.WriteFile(name, []byte(aBackend), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []Args{{File: name}, {}} {
		loaded, err := Load(args, []string{"L7_CONFIG=" + name})
		if err != nil || loaded.File != name || len(loaded.Config.Backends) != 1 {
			t.Errorf("%v: got %+v, %v", args, loaded, err)
		}
	}
	f := func(args Args, environ []string, want string) {
		t.Helper()
		if _, err := Load(args, environ); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	f(Args{File: dir}, nil, dir+": cannot read the file: is a directory")
	f(Args{File: dir + "/none.yml"}, []string{"L7_CONFIG=" + name}, dir+"/none.yml: cannot read the file: no such file or directory")
	f(Args{}, []string{"L7_CONFIG=" + dir + "/none.yml"}, dir+"/none.yml: cannot read the file: no such file or directory (L7_CONFIG names it)")
}

// The nodes of a file are let go after Load; an Origin asked for later parses the text again.
func TestOriginAfterCollection(t *testing.T) {
	loaded := mustLoad(t, "timeouts:\n  idle: 1s\n"+aBackend, nil, Args{})
	for range 3 {
		collect(t, loaded)
		if got := loaded.Origin([]string{"timeouts", "idle"}).String(); got != "l7.yml:2:9" {
			t.Fatal(got)
		}
	}
}

func collect(t *testing.T, loaded *Loaded) {
	t.Helper()
	for range 10 {
		runtime.GC()
		if loaded.file.nodes.Value() == nil {
			return
		}
	}
	t.Error("the nodes of the file are still held")
}

// A conflict was told of at the one or the other of its two places, and the other one was not named.
func TestFoundBlamesTheLaterOfTwo(t *testing.T) {
	loaded := mustLoad(t, "backends:\n  b.io: {servers: a, hosts: [a.io]}\n  a.io: {servers: a}", nil, Args{Servers: []string{"c.io=b"}})
	f := func(want string, path, other []string) {
		t.Helper()
		for range 2 {
			if got := loaded.Found(Finding{Path: path, Other: other, Text: "x"}).Error(); got != want {
				t.Errorf("got %s\nwant %s", got, want)
			}
			path, other = other, path
		}
	}
	host, key := []string{"backends", "b.io", "hosts", "0"}, []string{"backends", "a.io"}
	f("l7.yml:3:3: backends.a.io: x; first at l7.yml:2:30", host, key)
	f(`argument "c.io=...": backends.c.io: x; first at l7.yml:3:3`, []string{"backends", "c.io"}, key)
	if got := loaded.Found(Finding{Path: host, Text: "x"}).Error(); got != "l7.yml:2:30: backends.b.io.hosts[0]: x" {
		t.Error(got)
	}
}
