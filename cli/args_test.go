package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFlagsFirst(t *testing.T) {
	f := func(argv, want []string) {
		t.Helper()
		got, err := flagsFirst(newApp(Process{}), append([]string{"l7"}, argv...))
		require.NoError(t, err)
		require.Equal(t, append([]string{"l7"}, want...), got)
	}
	words := func(w ...string) []string { return w }
	f(words("a=1", "--port", "80"), words("--port", "80", "--", "a=1"))
	f(words("a=1", "--port=80", "b=2", "-d"), words("--port=80", "-d", "--", "a=1", "b=2"))
	f(words("check", "a=1", "-c", "x.yml"), words("check", "-c", "x.yml", "--", "a=1"))
	f(words("dump", "a=1", "--origin"), words("dump", "--origin", "--", "a=1"))
	f(words("--user", "-x:y", "a=1"), words("--user", "-x:y", "--", "a=1"))
	f(words("a=1", "--", "-p=1"), words("--", "a=1", "-p=1"))
	f(words("--port", "80"), words("--port", "80"))
	f(words("--help"), words("--help"))
	f(words("--port", "80", "check", "a=1"), words("check", "--port", "80", "--", "a=1"))
	f(words("-d", "dump", "--origin"), words("dump", "-d", "--origin"))
	f(words(), words())
}

// refused checks that a command line is told to be wrong, and where its help is: with "l7 help" it is that itself.
func refused(t *testing.T, want, help string, argv ...string) {
	t.Helper()
	if help != "l7 help" {
		help += " --help"
	}
	assert.Equal(t, ran{exitUsage, "", "l7: " + want + "\nSee `" + help + "`.\n"}, run(nil, argv...), "%q", argv)
}

// TestNoPasswordOfArguments: what stood in the place of a server was printed whole, though it may be a user without its flag, or the password
// of one.
func TestNoPasswordOfArguments(t *testing.T) {
	f := func(argv ...string) {
		t.Helper()
		for _, command := range []string{"", "serve", "check", "dump"} {
			line := append(strings.Fields(command), argv...)
			got := run(nil, line...)
			assert.Equal(t, exitUsage, got.code, "%q", line)
			assert.NotContains(t, got.stdout+got.stderr, "hunter2", "%q", line)
		}
	}
	f("--user", "alice:x", "alice:hunter2")
	f("alice:hunter2")
	f("alice:hunter2:x")
	f("http://alice:hunter2@10.0.0.1")
	f("--user", "alice", "hunter2")
	f("--user", "alice", "hunter2", "a.io=10.0.0.1")
	f("a.io=10.0.0.1", "hunter2", "--user", "alice:")
	f("--user", "alice", "hunter2==", "a.io=10.0.0.1")
	f("--user", "alice:my", "hunter2", "a.io=10.0.0.1")
	f("--user", "alice:x", "hunter2")
	f("--usr=alice:hunter2", "a.io=10.0.0.1")
	f("--user:hunter2", "a.io=10.0.0.1")
	f("-ualice:hunter2", "a.io=10.0.0.1")
	f("--debug=alice:hunter2", "a.io=10.0.0.1")
	for _, line := range [][]string{{"completion", "alice:hunter2"}, {"help", "alice:hunter2"}, {"demo", "hunter2"}, {"status", "hunter2"}, {"drain", "a", "b", "hunter2"}} {
		got := run(nil, line...)
		assert.Equal(t, exitUsage, got.code, "%q", line)
		assert.NotContains(t, got.stdout+got.stderr, "hunter2", "%q", line)
	}
}

// TestWhatIsNoServer: suggestions were commands that have nothing in common with the word, or nothing at all.
func TestWhatIsNoServer(t *testing.T) {
	const form = " is neither a command nor a server (HOST[/PREFIX]=ADDRESS, as in example.com=127.0.0.1:8081)"
	refused(t, `"127.0.0.1:8081" has no host before it; for any host write '*=127.0.0.1:8081'`, "l7", "127.0.0.1:8081")
	refused(t, `"http://nginx" has no host before it; for any host write '*=http://nginx'`, "l7 check", "check", "http://nginx")
	refused(t, `"unix:/run/a.sock" has no host before it; for any host write '*=unix:/run/a.sock'`, "l7", "-d", "unix:/run/a.sock")
	refused(t, `"localhost:80" has no host before it; for any host write '*=localhost:80'`, "l7", "localhost:80")
	refused(t, `"alice:..." (for a user, write --user alice:PASSWORD)`+form, "l7", "alice:1234")
	refused(t, `"foo"`+form, "l7", "foo")
	refused(t, `"a.io"`+form, "l7", "a.io")
	refused(t, `"hepl"`+form+`; did you mean "help"?`, "l7", "hepl")
	refused(t, `"chek"`+form+`; did you mean "check"?`, "l7 serve", "serve", "chek")
	refused(t, "an argument"+form+"; a user is one word, as in --user alice:secret", "l7", "--user", "a:b", "foo")
	refused(t, "--user number 2 has no password; want LOGIN:PASSWORD in one word, as in alice:secret", "l7", "--user", "a:b", "--user", "b", "c=d")
}

// TestWrongFlags: the library names a flag with one dash, suggests none, and takes the last of two.
func TestWrongFlags(t *testing.T) {
	refused(t, `there is no flag --prot; did you mean "--port"?`, "l7", "--prot", "80", "a=b")
	refused(t, `there is no flag --prot; did you mean "--port"?`, "l7 check", "--prot=80", "check", "a=b")
	refused(t, `there is no flag --orign; did you mean "--origin"?`, "l7 dump", "dump", "--orign")
	refused(t, "there is no flag --origin", "l7 check", "check", "--origin", "a=b")
	refused(t, "there is no flag -x", "l7 drain", "drain", "-x", "a")
	refused(t, "there is no flag --", "l7", "--=x")
	refused(t, "--config wants a value", "l7", "a=b", "--config")
	refused(t, "-p wants a value", "l7 check", "check", "a=b", "-p")
	refused(t, `cannot use "5" for --for; want a time with its unit, as in 5m or 30s`, "l7 drain", "drain", "a", "--for", "5")
	refused(t, `cannot use "" for --timeout; want a time with its unit, as in 5m or 30s`, "l7 drain", "drain", "a", "--timeout=")
	refused(t, `cannot use "maybe" for -d; want true or false, or no value`, "l7", "-d=maybe", "a=b")
	refused(t, `cannot use "many" for --port; want a whole number, as in 8080`, "l7 demo", "demo", "--port", "many")
	refused(t, "cannot use 99999 for --port; want a number from 0 to 65535", "l7 demo", "demo", "--port", "99999")
	refused(t, "--port is given twice", "l7", "-p", "80", "--port", "90", "a=b")
	refused(t, "-c is given twice", "l7 status", "-c", "a", "status", "-c", "b")
}

// TestArguments: some commands passed over what they do not take, others showed it as Go does.
func TestArguments(t *testing.T) {
	for _, name := range []string{"version", "schema", "passwd", "demo", "status", "reload", "events", "top"} {
		refused(t, name+" wants no arguments, and got 1 argument", "l7 "+name, name, "x")
	}
	refused(t, "diff wants a FILE", "l7 diff", "diff")
	refused(t, "diff wants a FILE, and got 2 arguments", "l7 diff", "diff", "a", "b")
	refused(t, "why wants the ADDRESS of a server", "l7 why", "why")
	refused(t, "drain wants a BACKEND and the ADDRESS of one of its servers, and got 3 arguments", "l7 drain", "drain", "a", "b", "c")
	refused(t, "completion wants a shell: bash, zsh or fish", "l7 completion", "completion")
	refused(t, "help wants one COMMAND, and got 2 arguments", "l7 help", "help", "a", "b")
}

func TestHelp(t *testing.T) {
	all := run(nil, "--help")
	assert.Zero(t, all.code)
	assert.Equal(t, all, run(nil, "help"))
	for _, name := range commandNames(newApp(Process{})) {
		if name == "help" {
			continue // the library takes its --help for that of l7
		}
		of := run(nil, name, "--help")
		assert.Zero(t, of.code, name)
		assert.Contains(t, of.stdout, "l7 "+name)
		assert.Equal(t, of, run(nil, "help", name))
	}
	refused(t, `there is no command "srve"; did you mean "serve"?`, "l7 help", "help", "srve")
}

// TestDemoHasTheVersion that was stamped: status, top and events told of another one than l7 version.
func TestDemoHasTheVersion(t *testing.T) {
	assert.Equal(t, "v1.2.3", demoSource(Process{Version: "v1.2.3"}, 0, nil).Version)
}

// TestStandardInput that is read more than once would be empty the second time.
func TestStandardInput(t *testing.T) {
	refused(t, "cannot serve standard input, which a reload could not read again; name a file", "l7", "-c", "-")
	refused(t, "cannot serve standard input, which a reload could not read again; name a file", "l7 serve", "serve", "--config", "-")
	refused(t, "diff wants a FILE: the running process reads it, and cannot read the standard input of this one", "l7 diff", "diff", "-")
}

// TestCompletion: a flag of which only the dashes were there was not completed, and a flag behind "--" had the command run.
func TestCompletion(t *testing.T) {
	f := func(has, hasNot string, words ...string) {
		t.Helper()
		got := run(nil, append(words, completionFlag)...)
		assert.Zero(t, got.code, "%q", words)
		assert.Empty(t, got.stderr, "%q", words)
		for _, word := range strings.Fields(has) {
			assert.Contains(t, strings.Fields(got.stdout), word, "%q", words)
		}
		for _, word := range strings.Fields(hasNot) {
			assert.NotContains(t, strings.Fields(got.stdout), word, "%q", words)
		}
	}
	none := "serve drain --port --admin --help bash"
	f("serve check help --port -p --config --help --version", "--origin --admin bash")
	f("serve --port", "", "--debug")
	f("--port --config --debug --help", "serve --version --admin", "serve")
	f("--origin --port", "serve", "dump", "a=b", "--por")
	f("--wait --for --admin", "serve", "drain", "10.0.0.1:80")
	f("bash zsh fish --help", "serve", "completion")
	f("serve drain help", "--port", "help")
	f("--port", "serve", "a=b")
	f("", none, "--config")
	f("", none, "check", "-c")
	f("", none, "roll", "api", "--", "ssh")
	f("", none, "serve", "--")
}
