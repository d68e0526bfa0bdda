package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"l7/admin/api"
	"l7/server"
)

// document is docs/openapi.yaml.
type document struct {
	root     map[string]any
	compiler *jsonschema.Compiler
}

func readDocument(t *testing.T) document {
	t.Helper()
	content, err := os.ReadFile("../docs/openapi.yaml")
	require.NoError(t, err)
	d := document{compiler: jsonschema.NewCompiler()}
	require.NoError(t, yaml.Unmarshal(content, &d.root))
	asJSON, err := json.Marshal(d.root)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	d.compiler.AssertFormat()
	require.NoError(t, d.compiler.AddResource("openapi.json", value))
	return d
}

// at follows keys, and a $ref wherever there is one. The pointer is that of what it has come to.
func (d document) at(t *testing.T, keys ...string) (value any, pointer string) {
	t.Helper()
	value = d.root
	for _, key := range keys {
		m, _ := value.(map[string]any)
		if ref, ok := m["$ref"].(string); ok {
			value, pointer = d.at(t, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
			m, _ = value.(map[string]any)
		}
		value = m[key]
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
	}
	return value, pointer
}

func (d document) validate(t *testing.T, name string, content []byte, keys ...string) {
	t.Helper()
	_, pointer := d.at(t, keys...)
	schema, err := d.compiler.Compile("openapi.json#" + pointer)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	require.NoError(t, err)
	assert.NoError(t, schema.Validate(value), name)
}

// operations are the "METHOD path" of the file, with the statuses that it lists.
func (d document) operations(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	paths, _ := d.at(t, "paths")
	for path, item := range paths.(map[string]any) {
		for method := range item.(map[string]any) {
			responses, _ := d.at(t, "paths", path, method, "responses")
			all[strings.ToUpper(method)+" "+path] = slices.Sorted(maps.Keys(responses.(map[string]any)))
		}
	}
	return all
}

func TestOpenAPIHasEveryRoute(t *testing.T) {
	var registered []string
	for path, to := range newRoom(t, newFake()).routes {
		registered = append(registered, to.method+" "+path)
	}
	assert.ElementsMatch(t, registered, slices.Collect(maps.Keys(readDocument(t).operations(t))))
}

// call is a question whose answer the file has to describe. Who asks is set by login: an empty one comes in without a password.
type call struct {
	operation, query, body, accept, login string
	status                                int
}

func calls() []call {
	return []call{
		{operation: "GET /api/status", status: 200},
		{operation: "GET /api/config", status: 200},
		{operation: "GET /api/history", query: "?server=a", status: 200},
		{operation: "GET /api/history", query: "?server=unknown", status: 404},
		{operation: "GET /api/history", status: 400},
		{operation: "GET /api/events", status: 200},
		{operation: "GET /api/events", accept: "text/event-stream", status: 200},
		{operation: "GET /api/stream", status: 200},
		{operation: "POST /api/reload", status: 200},
		{operation: "POST /api/reload", body: "{", status: 400},
		{operation: "POST /api/drain", body: `{"backend":"*","server":"a","for_seconds":2}`, status: 200},
		{operation: "POST /api/drain", body: `{"server":"unknown"}`, status: 404},
		{operation: "POST /api/drain", body: `{}`, status: 400},
		{operation: "POST /api/drain", body: `{"server":"late"}`, status: 503},
		{operation: "POST /api/undrain", body: `{"server":"a"}`, status: 200},
		{operation: "POST /api/undrain", body: `{"server":"unknown"}`, status: 404},
		{operation: "POST /api/undrain", body: `{"server":"late"}`, status: 503},
		{operation: "POST /api/undrain", body: strings.Repeat(" ", maxBody+1), status: 413},
		{operation: "POST /api/diff", body: `{"file":"good.yml"}`, status: 200},
		{operation: "POST /api/diff", body: `{"file":"bad.yml"}`, status: 422},
		{operation: "POST /api/diff", body: `{"file":"good.yml"}`, login: "bob", status: 403},
		{operation: "POST /api/explain", body: `{"method":"GET","url":"http://a/","fields":["A: b"],"from":"::1"}`, status: 200},
		{operation: "POST /api/explain", body: `{"url":"::"}`, status: 400},
		{operation: "GET /healthz", status: 200},
		{operation: "GET /readyz", status: 200},
		{operation: "GET /metrics", status: 200},
		{operation: "GET /metrics", login: "eve", status: 401},
		{operation: "GET /debug/pprof/", status: 200},
		{operation: "GET /debug/pprof/", query: "heap", status: 200},
		{operation: "GET /debug/pprof/", query: "cmdlin", status: 404},
	}
}

// TestOpenAPI asks for everything that the file lists, and looks whether the answer is as it says.
func TestOpenAPI(t *testing.T) {
	d, p := readDocument(t), newFake()
	s := newRoom(t, p)
	settings := Settings{Socket: socketIn(t), Listen: loopback(t), Users: usersOf(t, map[string]string{"bob": "sesame"}), Pprof: true}
	settle(t, s, settings)
	seen := map[string][]string{}
	f := func(c call) {
		t.Helper()
		response := c.do(t, s)
		name := c.operation + c.query + " " + strconv.Itoa(c.status)
		require.Equal(t, c.status, response.StatusCode, name)
		seen[c.operation] = append(seen[c.operation], d.check(t, c, response))
	}
	for _, c := range calls() {
		f(c)
	}
	p.mu.Lock()
	p.notReady, p.reloading = errors.New("starting"), func() *api.Reload { return fakeReload("l7.yml:1:1: no") }
	p.mu.Unlock()
	f(call{operation: "GET /readyz", status: 503})
	f(call{operation: "POST /api/reload", status: 422})
	settings.Pprof = false
	settle(t, s, settings)
	f(call{operation: "GET /debug/pprof/", status: 404})
	for range maxStreams - len(s.streams) {
		s.streams <- struct{}{}
	}
	f(call{operation: "GET /api/stream", status: 503})
	f(call{operation: "GET /api/events", accept: "text/event-stream", status: 503})

	for operation, statuses := range d.operations(t) {
		for _, status := range statuses {
			assert.True(t, status == "default" || slices.Contains(seen[operation], status), "no call for %s %s", operation, status)
		}
	}
}

// do asks by the socket, or over TCP as the login.
func (c call) do(t *testing.T, s *Server) *http.Response {
	t.Helper()
	to := unixAddr(s.SocketPath())
	if c.login != "" {
		to = s.Addr()
	}
	return ask(t, to, c.operation+c.query, c.body, func(r *http.Request) {
		r.Header.Set("Accept", c.accept)
		if c.login != "" {
			r.SetBasicAuth(c.login, "sesame")
		}
	})
}

// check compares an answer with what the file says of it, and a good question too. It returns the status by its name in the file.
func (d document) check(t *testing.T, c call, response *http.Response) string {
	t.Helper()
	method, path, _ := strings.Cut(c.operation, " ")
	name := c.operation + c.query
	operation := []string{"paths", path, strings.ToLower(method)}
	status := strconv.Itoa(response.StatusCode)
	if listed, _ := d.at(t, append(operation, "responses", status)...); listed == nil {
		status = "default"
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	require.NoError(t, err, name)
	content, _ := d.at(t, append(operation, "responses", status, "content", kind)...)
	if plain := strings.HasPrefix(path, api.PathPprof) && kind == "text/plain"; !plain { // Go's own errors
		require.NotNil(t, content, "%s %s: %s is not in the file", name, status, kind)
	}
	if kind == "application/json" {
		answer, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		d.validate(t, name, answer, append(operation, "responses", status, "content", kind, "schema")...)
	}
	if c.body != "" && response.StatusCode == http.StatusOK {
		d.validate(t, name+", the question", []byte(c.body), append(operation, "requestBody", "content", "application/json", "schema")...)
	}
	return status
}

// TestOpenAPITypes compares the schemas with the Go types, field by field.
func TestOpenAPITypes(t *testing.T) {
	d := readDocument(t)
	answers := []any{
		api.Status{},
		api.Traffic{},
		api.Point{},
		api.Backend{},
		api.Name{},
		api.Certificate{},
		api.Server{},
		api.Check{},
		api.Failure{},
		api.Event{},
		api.History{},
		api.Reload{},
		api.Config{},
		api.Error{},
		server.Decision{},
		server.Candidate{},
		server.NamedLimit{},
	}
	questions := []any{api.DrainRequest{}, api.DiffRequest{}, api.ExplainRequest{}}
	var named []string
	for i, v := range append(answers, questions...) {
		name := reflect.TypeOf(v).Name()
		named = append(named, name)
		required, properties := fieldsOf(reflect.TypeOf(v))
		got, _ := d.at(t, "components", "schemas", name, "properties")
		require.NotNil(t, got, name)
		found := map[string]string{}
		for key, schema := range got.(map[string]any) {
			found[key] = shapeOf(schema.(map[string]any))
		}
		assert.Equal(t, properties, found, name)
		if i < len(answers) { // what a question needs is the handlers' matter
			listed, _ := d.at(t, "components", "schemas", name, "required")
			assert.ElementsMatch(t, required, listed, name)
		}
	}
	schemas, _ := d.at(t, "components", "schemas")
	assert.ElementsMatch(t, named, slices.Collect(maps.Keys(schemas.(map[string]any))))
}

// fieldsOf are the JSON fields of a struct: those that are always there, and the shape of each.
func fieldsOf(kind reflect.Type) (required []string, shapes map[string]string) {
	shapes = map[string]string{}
	for field := range kind.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		shapes[name] = shapeOfType(field.Type)
		if !strings.HasPrefix(options, "omit") {
			required = append(required, name)
		}
	}
	return required, shapes
}

func shapeOfType(kind reflect.Type) string {
	switch {
	case kind == reflect.TypeFor[time.Time]():
		return "date-time"
	case kind.Kind() == reflect.Pointer:
		return shapeOfType(kind.Elem())
	case kind.Kind() == reflect.Slice:
		return "list of " + shapeOfType(kind.Elem())
	case kind.Kind() == reflect.Map:
		return "map of " + shapeOfType(kind.Elem())
	case kind.Kind() == reflect.Struct:
		return kind.Name()
	case kind.Kind() == reflect.Bool:
		return "boolean"
	case kind.Kind() == reflect.String:
		return "string"
	case kind.Kind() == reflect.Float64:
		return "number"
	}
	return "integer"
}

func shapeOf(schema map[string]any) string {
	inner := func(key string) string { return shapeOf(schema[key].(map[string]any)) }
	switch {
	case schema["$ref"] != nil:
		return strings.TrimPrefix(schema["$ref"].(string), "#/components/schemas/")
	case schema["format"] != nil:
		return schema["format"].(string)
	case schema["type"] == "array":
		return "list of " + inner("items")
	case schema["additionalProperties"] != nil:
		return "map of " + inner("additionalProperties")
	}
	return schema["type"].(string)
}
