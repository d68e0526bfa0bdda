package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// fiveMistakes has one on each of the lines 1, 3, 5, 9 and 11.
const fiveMistakes = `port: 80800
timeouts:
  conect: 2s
backends:
  - example.com
  
users:
  alice: hunter2
  alice: hunter2
log:
  level: verbose
`

func TestCheckPrintsEveryMistake(t *testing.T) {
	t.Parallel()
	file := writeFile(t, fiveMistakes)
	got := command(t, "check", "--config", file)
	assert.Equal(t, 1, got.code)
	assert.Empty(t, got.stdout)
	lines := strings.Split(strings.TrimSpace(got.stderr), "\n")
	require.Len(t, lines, 5, got.stderr)
	assert.Regexp(t, `l7\.yml:1:7: port: .*80800`, lines[0])
	assert.Regexp(t, `l7\.yml:3:3: timeouts\.conect: unknown key; did you mean "connect"\?`, lines[1])
	assert.Regexp(t, `l7\.yml:5:3: backends: `, lines[2])
	assert.Regexp(t, `l7\.yml:9:3: users\.alice: .*twice`, lines[3])
	assert.Regexp(t, `l7\.yml:11:10: log\.level: .*verbose`, lines[4])
}

func TestServeRefusesWhatCheckRefuses(t *testing.T) {
	t.Parallel()
	file := writeFile(t, fiveMistakes)
	checked, served := command(t, "check", "-c", file), command(t, "-c", file)
	assert.Equal(t, 1, served.code)
	assert.Equal(t, checked.stderr, served.stderr)
}

func TestCheckAccepts(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	got := command(t, "check", "--port", port, "example.com=127.0.0.1:8081", "example.org=no-such-name.invalid")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "2 backends")
	assert.True(t, refused("127.0.0.1:"+port))

	got = command(t, "check", "--user", "alice:"+secret, "example.com=127.0.0.1:8081")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stderr, "alice", "a plain password deserves a warning")
}

func TestCheckRefusesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	got := command(t, "check", "-c", filepath.Join(t.TempDir(), "absent.yml"))
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "absent.yml")
	got = command(t, "check")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "no backends")
	file := writeFile(t, "backends: {example.com: {servers: ['127.0.0.1:1']}}\n")
	got = command(t, "check", "-c", file, "EXAMPLE.com=127.0.0.1:2")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "example.com")
	assert.Contains(t, got.stderr, "l7.yml:1")
}

func TestDumpShowsTheEffectiveConfig(t *testing.T) {
	t.Parallel()
	file := writeFile(t, text(
		"timeouts: {connect: 3s}",
		"users: {alice: "+secret+"}",
		"backends: {example.com: {servers: ['//127.0.0.1:8081']}}"))
	p := program{path: built.l7, env: []string{"L7_DRAIN__TIMEOUT=90s"}}
	p.args = []string{"dump", "-c", file, "-p", "8080", "example.org=127.0.0.1:8082"}
	plain := p.run(t)
	require.Zero(t, plain.code, plain.stderr)
	assert.NotContains(t, plain.stdout, "#")
	var dumped struct {
		Users    map[string]string
		Timeouts map[string]string
		Backends map[string]struct {
			Servers []struct{ Address string }
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(plain.stdout), &dumped))
	assert.Equal(t, map[string]string{"alice": "***"}, dumped.Users)
	assert.Equal(t, "3s", dumped.Timeouts["connect"])
	assert.Equal(t, "1m", dumped.Timeouts["idle"])
	assert.Equal(t, "http://127.0.0.1:8081", dumped.Backends["example.com"].Servers[0].Address)
	assert.Equal(t, "http://127.0.0.1:8082", dumped.Backends["example.org"].Servers[0].Address)

	p.args = append(p.args, "--origin")
	origin := p.run(t)
	require.Zero(t, origin.code, origin.stderr)
	for _, want := range []string{
		`8080.* # --port`,
		`connect: 3s # .*l7\.yml:1`,
		`alice: '\*\*\*' # .*l7\.yml:2`,
		`idle: 1m # default`,
		`timeout: (90s|1m30s) # L7_DRAIN__TIMEOUT`,
		`address: http://127\.0\.0\.1:8081 # .*l7\.yml:3`,
		`address: http://127\.0\.0\.1:8082 # argument "example\.org=`,
	} {
		assert.Regexp(t, want, origin.stdout)
	}
}

func TestDemoSaysWhoAnswers(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	l := run{args: []string{"demo", "--port", port}}.start(t)
	l.await("the line to try", func() bool { return strings.Contains(l.stdout.String(), "curl http://127.0.0.1:"+port+"/") })
	seen := map[string]bool{}
	for range 9 {
		seen[strings.SplitN(l.get("http://127.0.0.1:"+port+"/").is(http.StatusOK).body, ":", 2)[0]] = true
	}
	assert.Len(t, seen, 3, "%v", seen)
	assert.True(t, refused("127.0.0.2:"+port), "the demo is open to other machines")

	second := command(t, "demo", "--port", port)
	assert.Equal(t, 1, second.code)
	assert.Contains(t, second.stderr, port)
	assert.Contains(t, second.stderr, "address already in use")
	l.signal(syscall.SIGINT)
	assert.Zero(t, l.exit())
}

func TestPasswdMakesAHashThatWorks(t *testing.T) {
	t.Parallel()
	server := startUpstream(t, "a")
	password := secret + ": with ß and spaces "
	got := program{path: built.l7, args: []string{"passwd"}, stdin: stdin(password + "\nanother line"), hashes: true}.run(t)
	require.Zero(t, got.code, got.stderr)
	require.Regexp(t, `^\$2[aby]\$[0-9]{2}\$.{53}\n$`, got.stdout)

	l := startFile(t,
		listenAnywhere,
		"users: {alice: '"+strings.TrimSpace(got.stdout)+"'}",
		"backends: {example.com: {servers: ["+server.address+"]}}")
	for range 3 {
		l.send(call{url: "http://example.com/", user: "alice:" + password}).from("a")
	}
	l.send(call{url: "http://example.com/", user: "alice:" + strings.TrimSpace(password)}).is(http.StatusUnauthorized)
	l.send(call{url: "http://example.com/", user: "alice:" + strings.TrimSpace(got.stdout)}).is(http.StatusUnauthorized)
	assert.NotContains(t, l.stderr.String(), "plain text")

	for _, bad := range []string{"", "\n", strings.Repeat(secret, 20)} {
		got := program{path: built.l7, args: []string{"passwd"}, stdin: stdin(bad)}.run(t)
		assert.Equal(t, 1, got.code, "%q", bad)
		assert.Empty(t, got.stdout, "%q", bad)
	}
}

func TestSchemaKnowsGoodFromBad(t *testing.T) {
	t.Parallel()
	got := command(t, "schema")
	require.Zero(t, got.code)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(got.stdout))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("l7.json", document))
	schema, err := compiler.Compile("l7.json")
	require.NoError(t, err)

	validate := func(file string) error {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var value any
		require.NoError(t, yaml.Unmarshal(text, &value))
		asJSON, err := json.Marshal(value)
		require.NoError(t, err)
		value, err = jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		require.NoError(t, err)
		return schema.Validate(value)
	}
	assert.NoError(t, validate(filepath.Join("testdata", "seed.yml")))
	for _, file := range exampleFiles(t) {
		assert.NoError(t, validate(file), file)
	}
	for _, bad := range []string{
		"port: 80800\nbackends: {a: {servers: ['b:1']}}",
		"port: eighty\nbackends: {a: {servers: ['b:1']}}",
		"prot: 80\nbackends: {a: {servers: ['b:1']}}",
		"log: {level: verbose}\nbackends: {a: {servers: ['b:1']}}",
		"backends: {a: {server: ['b:1']}}",
		"backends: [a]",
	} {
		assert.Error(t, validate(writeFile(t, bad)), bad)
		assert.Equal(t, 1, command(t, "check", "-c", writeFile(t, bad)).code, bad)
	}
}

func TestVersionIsStamped(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--version"}, {"-v"}} {
		got := command(t, args...)
		assert.Zero(t, got.code, args)
		assert.Contains(t, got.stdout, version, args)
		assert.Empty(t, got.stderr, args)
	}
}

func TestHelpNamesEverything(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"-h"}} {
		got := command(t, args...)
		assert.Zero(t, got.code)
		for _, word := range []string{"--port", "--config", "--user", "--debug", "check", "dump", "demo", "passwd", "schema", "version", "HOST[/PREFIX]=ADDRESS"} {
			assert.Contains(t, got.stdout, word)
		}
	}
	for _, name := range []string{"serve", "check", "dump", "demo", "passwd", "schema", "version"} {
		got := command(t, name, "--help")
		assert.Zero(t, got.code, name)
		assert.Contains(t, got.stdout, "l7 "+name)
	}
}

func TestCompletionNamesTheCommands(t *testing.T) {
	t.Parallel()
	got := command(t, "--generate-bash-completion")
	assert.Zero(t, got.code)
	for _, name := range []string{"serve", "check", "dump", "demo", "passwd", "schema", "version"} {
		assert.Contains(t, strings.Fields(got.stdout), name)
	}
}

// TestCompletionNamesTheFlags asks as the shell does while a flag is being typed.
func TestCompletionNamesTheFlags(t *testing.T) {
	t.Parallel()
	got := command(t, "--po", "--generate-bash-completion")
	assert.Zero(t, got.code)
	assert.Contains(t, got.stdout, "--port")
	got = command(t, "dump", "--or", "--generate-bash-completion")
	assert.Zero(t, got.code)
	assert.Contains(t, got.stdout, "--origin")
}

// TestCompletionInBash presses Tab. Where only the dashes of a flag were there nothing came, and behind "--" the command was run.
func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	const tab = `source <("$1" completion bash); shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _l7; echo "${COMPREPLY[*]}"`
	f := func(want string, words ...string) {
		t.Helper()
		got := program{path: "bash", args: append([]string{"-c", tab, "bash", built.l7, built.l7}, words...)}.run(t)
		require.Zero(t, got.code, got.stderr)
		assert.Equal(t, want, strings.TrimSpace(got.stdout), "%q", words)
		assert.Empty(t, got.stderr, "%q", words)
	}
	const flags = "--port -p --config -c --user --debug -d --help -h"
	f(flags+" --version -v", "-")
	f(flags, "serve", "-")
	f("--port --config --user --debug --help", "serve", "--")
	f("--admin --config --json --wait --for --timeout --help", "drain", "--")
	f("--wait", "drain", "10.0.0.1:80", "--w")
	f("--port", "--p")
	f("check", "ch")
	f("bash zsh fish", "completion", "")
	f("", "check", "")       // a file
	f("", "check", "-c", "") // likewise
	f("", "roll", "api", "--", "ssh", "--")
}

// TestStandardInputAsConfig is read where it is read once.
func TestStandardInputAsConfig(t *testing.T) {
	t.Parallel()
	f := func(code int, want, config string, args ...string) {
		t.Helper()
		got := program{path: built.l7, args: args, stdin: stdin(config)}.run(t)
		assert.Equal(t, code, got.code, "%q: %s", args, got.stderr)
		assert.Contains(t, got.stdout+got.stderr, want, "%q", args)
	}
	const good = "backends: {a: {servers: ['127.0.0.1:1']}}"
	f(0, "fine: 1 backend\n", good, "check", "-c", "-")
	f(1, "/dev/stdin:1:1: prot: unknown key", "prot: 1", "check", "--config=-")
	f(0, "address: http://127.0.0.1:1\n", good, "dump", "-c", "-")
	f(0, "outcome     passed on\n", good, "explain", "http://a/", "-c", "-")
	f(2, "standard input", good, "-c", "-")
}

// TestNoPasswordOfArguments that stand in the wrong place.
func TestNoPasswordOfArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--user", "alice:x", "alice:" + secret}, {"check", "alice:" + secret}, {"serve", "--user", "alice", secret, "a=127.0.0.1:1"}} {
		assert.Equal(t, 2, command(t, args...).code) // no output has the secret
	}
}

func TestUsageErrorsExitWith2(t *testing.T) {
	t.Parallel()
	f := func(word string, args ...string) {
		t.Helper()
		got := command(t, args...)
		assert.Equal(t, 2, got.code, "%q", args)
		assert.Contains(t, got.stderr, word, "%q", args)
		assert.Empty(t, got.stdout, "%q", args)
	}
	f("-prot", "--prot", "80", "example.com=127.0.0.1:80")
	f("chek", "chek")
	f("example.com", "example.com")
	f("-nonsense", "check", "--nonsense")
	f("arguments", "demo", "x")
	f("port", "demo", "--port", "many")
	f("l7 demo --help", "demo", "--port", "99999")
	f("twice", "-p", "80", "-p", "90", "example.com=127.0.0.1:80")
	f("'*=127.0.0.1:8081'", "127.0.0.1:8081")
	f("l7 version --help", "version", "x")
}

// TestFlagWithoutItsValueIsAUsageError, wherever it stands.
func TestFlagWithoutItsValueIsAUsageError(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--port", "-p", "--config", "--user"} {
		for _, args := range [][]string{{flag}, {"example.com=127.0.0.1:80", flag}, {"check", "example.com=127.0.0.1:80", flag}} {
			got := command(t, args...)
			assert.Equal(t, 2, got.code, "%q", args)
			assert.Contains(t, got.stderr, strings.Trim(flag, "-"), "%q", args)
		}
	}
}

func TestMistypedCommandIsSuggested(t *testing.T) {
	t.Parallel()
	got := command(t, "chek")
	assert.Equal(t, 2, got.code)
	assert.Regexp(t, `(?i)did you mean "?check"?\?\n`, got.stderr)
	assert.Equal(t, 1, strings.Count(strings.ToLower(got.stderr), "did you mean"), got.stderr)
}

// TestMistakesInValuesExitWith1 tells them from a command line that cannot be understood.
func TestMistakesInValuesExitWith1(t *testing.T) {
	t.Parallel()
	for _, port := range []string{"http", "65536", "-1", "8o"} {
		got := command(t, "--port="+port, "example.com=127.0.0.1:80")
		assert.Equal(t, 1, got.code, port)
		assert.Contains(t, got.stderr, "--port: port: ")
		assert.Contains(t, got.stderr, port)
	}
}
