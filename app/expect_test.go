package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"l7/config"
)

// A config in which an expected request does not become what it has to is refused, with each of them and its place.
func TestExpect(t *testing.T) {
	file := configFile(t, `expect:
  - {request: 'GET http://a.com/', backend: a.com, status: 200}
  - 'http://b.com/'
  - {request: 'http://b.com/', backend: a.com}
  - {request: 'http://a.com/x', backend: a.com/api}
  - {request: 'http://a.com/', status: 404}
  - {request: 'http://b.com/', status: 404}
backends:
  a.com: {servers: ['127.0.0.1:1']}
  a.com/api: {servers: ['127.0.0.1:1']}
`)
	_, err := Prepare(Source{Args: config.Args{File: file}}, NewParts(Ignore))
	var problems config.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 4)
	require.ErrorContains(t, problems[0], `:3:5: expect[1]: http://b.com/ leads to no backend; it is answered 404 (no_route)`)
	require.ErrorContains(t, problems[1], `:4:5: expect[2]: http://b.com/ leads to no backend; it is answered 404 (no_route); want "a.com"`)
	require.ErrorContains(t, problems[2], `:5:5: expect[3]: http://a.com/x leads to backend "a.com"; want "a.com/api"`)
	require.ErrorContains(t, problems[3], `:6:5: expect[4]: http://a.com/ ends with status 200 (ok); want 404`)
}

// Without a backend and a status a request has to lead to some backend: nothing was tried then. What is answered by design to one that does,
// a 401 say, is as good as any.
func TestExpectAnyBackend(t *testing.T) {
	file := configFile(t, `listen: [{address: ':80'}, {address: ':81', redirect_https: true}, {address: ':82', deny: 127.0.0.1}, {address: ':443', tls: self}]
expect:
  - http://nosuch.test/
  - POST http://a.test/..%2f
  - http://nosuch.test:81/
  - http://nosuch.test:82/
  - http://a.test:443/
  - CONNECT http://a.test/
  - http://a.test/login
  - POST http://a.test:81/
  - http://a.test:82/
  - https://denied.test/
  - http://limited.test/
  - http://empty.test/
backends:
  a.test: {servers: ['127.0.0.1:1'], users: {bob: x}}
  a.test/api: {servers: ['127.0.0.1:1']}
  denied.test: {servers: ['127.0.0.1:1'], deny: 127.0.0.1}
  limited.test: {servers: ['127.0.0.1:1'], rate_limit: 1/h}
  empty.test: {}
`)
	_, err := Prepare(Source{Args: config.Args{File: file}}, NewParts(Ignore))
	var problems config.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 6, err)
	for i, want := range []string{
		`:3:5: expect[0]: http://nosuch.test/ leads to no backend; it is answered 404 (no_route)`,
		`:4:5: expect[1]: POST http://a.test/..%2f leads to no backend; it is answered 400 (ambiguous_path): `,
		`:5:5: expect[2]: http://nosuch.test:81/ leads to no backend; it is answered 308 (redirected)`,
		`:6:5: expect[3]: http://nosuch.test:82/ leads to no backend; it is answered 403 (forbidden)`,
		`:7:5: expect[4]: http://a.test:443/ leads to no backend; it is answered 400 (bad_request)`,
		`:8:5: expect[5]: CONNECT http://a.test/ leads to no backend; it is answered 400 (bad_request): bad_target`,
	} {
		require.ErrorContains(t, problems[i], want)
	}
}

// Expect goes by the config: a server of weight 0 never gets a request, one that a check has not found healthy yet may. And it knows the
// listeners: 503 and 308 were refused with "ends with status 200 (ok)".
func TestExpectGoesByTheConfig(t *testing.T) {
	file := configFile(t, `listen: [{address: ':80', redirect_https: true}, {address: ':443', tls: {certificate: self}}]
expect:
  - {request: 'https://weightless.com/', status: 503}
  - {request: 'https://empty.com/', status: 503}
  - {request: 'https://unchecked.com/', status: 200}
  - {request: 'http://unchecked.com/', backend: unchecked.com, status: 308}
  - {request: 'http://unchecked.com/', status: 200}
backends:
  weightless.com: {servers: [{address: '127.0.0.1:1', weight: 0}]}
  empty.com: {servers: []}
  unchecked.com: {servers: ['127.0.0.1:1'], health: {path: /, required: true}}
`)
	_, err := Prepare(Source{Args: config.Args{File: file}}, NewParts(Ignore))
	var problems config.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 1)
	require.ErrorContains(t, problems[0], `:7:5: expect[4]: http://unchecked.com/ ends with status 308 (redirected); want 200`)
}

// configFile is the name of a file with that text.
func configFile(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
	return file
}
