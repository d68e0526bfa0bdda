package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestDiff(t *testing.T) {
	f := func(old, new string, want ...string) {
		t.Helper()
		a, b := mustLoad(t, old, nil, Args{}), mustLoad(t, new, nil, Args{})
		if got := Diff(&a.Config, &b.Config); !slices.Equal(got, want) {
			t.Errorf("%s\n-> %s\ngot  %q\nwant %q", old, new, got, want)
		}
	}
	backends := func(text string) string { return "backends: {" + text + "}" }
	f(aBackend, aBackend)
	f(aBackend, "port: 80\n"+aBackend)
	f(aBackend, "users: {}\n"+aBackend)
	f(aBackend, "port: 8080\n"+aBackend, "listen: +:8080 -:80")
	f(aBackend, "listen: [':80', 'unix:/a b']\n"+aBackend, `listen: +"unix:/a b"`)
	f("listen: ['a:1', 'b:1']\n"+aBackend, "listen: ['b:1', 'a:1']\n"+aBackend, "listen: order changed")
	f("debug: true\n"+aBackend, "log: {level: warn}\n"+aBackend, "log.level: debug -> warn")
	f(aBackend, "users_file: /x\ntimeouts: {connect: 3s, idle: 0s}\n"+aBackend,
		"timeouts.connect: 2s -> 3s", "timeouts.idle: 1m -> 0s", `users_file: "" -> /x`)
	f("users: {bob: x, carol: x}\n"+aBackend, "users: {alice: y, carol: y}\n"+aBackend, "users: +alice -bob ~carol")
	f("users: {bob: x}\n"+aBackend, aBackend, "users: -bob (none of its own)")
	f(backends("a.io: {servers: [10.0.0.5, c]}, b.io: {}, 'x y': {}"), backends("a.io: {servers: [10.0.0.4, c]}, c.io: {}"),
		`backend "x y": removed`, "backend a.io: +http://10.0.0.4:80 -http://10.0.0.5:80", "backend b.io: removed", "backend c.io: added")
	f(backends("a.io: {servers: [a, b], hosts: [x, y]}"), backends("a.io: {servers: [b, a], hosts: [y, z]}"),
		"backend a.io: hosts: +z -x", "backend a.io: order changed")
	f(backends("a.io: {users: {a: x}}"), backends("a.io: {users: {a: y}}"), "backend a.io: users: ~a")
	f(backends("a.io: {}"), backends("a.io: {users: {}}"), "backend a.io: users: (turned off)")
	f(backends("a.io: {users: {a: x}}"), backends("a.io: {users: {}}"), "backend a.io: users: -a (turned off)")
	f(backends("a.io: {users: {}}"), backends("a.io: {}"), "backend a.io: users: (none of its own)")
	f(backends("a.io: {servers: [a, b]}"), backends("a.io: {servers: [{address: a, weight: 2, backup: true}, b]}"),
		"backend a.io: http://a:80 backup: false -> true", "backend a.io: http://a:80 weight: 1 -> 2")
	f(backends("a.io: {sticky: {cookie: l7, secret: hunter2}}"), backends("a.io: {sticky: {cookie: l8, secret: hunter3}}"),
		"backend a.io: sticky.cookie: l7 -> l8", "backend a.io: sticky.secret: changed")
	f(backends("a.io: {health: /a, retry: {on: [502, 503]}}"), backends("a.io: {rate_limit: 5/s, hash: path, retry: {on: 502, budget: 0%}}"),
		"backend a.io: hash.on: client_ip -> path", `backend a.io: health.path: /a -> ""`, `backend a.io: rate_limit.requests: "" -> 5/s`,
		"backend a.io: retry.budget: 20% -> 0%", "backend a.io: retry.on: -503")
	f("expect: http://a.io\n"+aBackend, "expect: [{request: 'http://a.io', status: 401}]\n"+aBackend, "expect: http://a.io status: 0 -> 401")
}

// A key that is added later needs no line in Diff: here are forms that Config does not have yet.
func TestDiffOfLaterKeys(t *testing.T) {
	type item struct {
		Name   string        `koanf:"name" l7:"main"`
		Weight int           `koanf:"weight"`
		Wait   time.Duration `koanf:"wait"`
	}
	type later struct {
		Servers []item            `koanf:"servers"`
		Token   Secret            `koanf:"token"`
		Set     map[string]string `koanf:"set"`
		On      bool              `koanf:"on"`
	}
	old := later{Servers: []item{{"a", 1, 0}, {"b", 1, 0}}, Token: "hunter2", Set: map[string]string{"x": "1"}}
	new := later{Servers: []item{{"a", 2, time.Second}, {"c", 1, 0}}, Token: "hunter3", Set: map[string]string{"x": "2", "y": "1"}, On: true}
	d := differ{}
	d.section("", keyOf(reflect.TypeFor[later]()), reflect.ValueOf(old), reflect.ValueOf(new))
	slices.Sort(d.lines)
	want := []string{
		"on: false -> true", "servers: +c -b", "servers: a wait: 0s -> 1s", "servers: a weight: 1 -> 2", "set: +y ~x", "token: changed",
	}
	if !slices.Equal(d.lines, want) {
		t.Errorf("got  %q\nwant %q", d.lines, want)
	}
}

// Every list may differ, wherever it stands: one that had no name for its items took the process down at the reload that changed it.
func TestDiffOfEveryList(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "good", "everything.yml"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := mustLoad(t, string(text), nil, Args{}), mustLoad(t, string(text), nil, Args{})
	lists := lengthen(reflect.ValueOf(&b.Config).Elem())
	if lists < 10 {
		t.Errorf("%d lists are too few to be all", lists)
	}
	for _, both := range [][2]*Config{{&a.Config, &b.Config}, {&b.Config, &a.Config}} {
		if got := Diff(both[0], both[1]); len(got) < lists/2 {
			t.Errorf("%d lists, and this is all: %q", lists, got)
		}
	}
	old, new := "listen: [{address: 'a:1', tls: {certificates: [{cert: x, key: y}]}}]\n"+aBackend, "listen: [{address: 'a:1', tls: {certificates: [{cert: x, key: z}, {cert: v, key: w}]}}]\n"+aBackend
	got := Diff(&mustLoad(t, old, nil, Args{}).Config, &mustLoad(t, new, nil, Args{}).Config)
	if want := []string{"listen: a:1 tls.certificates: +v", "listen: a:1 tls.certificates: x key: y -> z"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// lengthen gives each list in a value one more item, and returns how many there are.
func lengthen(v reflect.Value) (lists int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				lists += lengthen(v.Field(i))
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			item := reflect.New(v.Type().Elem()).Elem()
			item.Set(v.MapIndex(k))
			lists += lengthen(item)
			v.SetMapIndex(k, item)
		}
	case reflect.Slice:
		for i := range v.Len() {
			lists += lengthen(v.Index(i))
		}
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		lists++
	}
	return lists
}
