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
	require.Len(t, problems, 3)
	require.ErrorContains(t, problems[0], `:4:5: expect[2]: http://b.com/ leads to no backend; want "a.com"`)
	require.ErrorContains(t, problems[1], `:5:5: expect[3]: http://a.com/x leads to backend "a.com"; want "a.com/api"`)
	require.ErrorContains(t, problems[2], `:6:5: expect[4]: http://a.com/ ends with status 200 (ok); want 404`)
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
