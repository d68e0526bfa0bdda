package config

import "testing"

// TestShownArgument: what may be a password stands behind a colon.
func TestShownArgument(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := ShownArgument(text); got != want {
			t.Errorf("%q is shown as %s; want %s", text, got, want)
		}
	}
	f("chek", `"chek"`)
	f("alice:hunter2", `"alice:..." (for a user, write --user alice:PASSWORD)`)
	f("al ice:hunter2:x", `"al ice:..." (for a user, write --user "al ice":PASSWORD)`)
	f(":hunter2", `":..."`)
	f("http://alice:hunter2@a.io", `"http:..."`)
}

// TestHostWithScheme: a scheme before the host was taken for a login, and the rest for its password.
func TestHostWithScheme(t *testing.T) {
	f := func(argument, want string) {
		t.Helper()
		_, err := loadLayers("", nil, Args{Servers: []string{argument}})
		if want = "argument 1: " + want; err == nil || err.Error() != want {
			t.Errorf("%s: got %v; want %s", argument, err, want)
		}
	}
	f("http://a.io=1.1.1.1", "a host has no scheme; write a.io=1.1.1.1")
	f("HTTPS://a.io:443/api/=unix:/run/a.sock", "a host has no scheme; write a.io:443/api/=unix:/run/a.sock")
	f("https://*=1.1.1.1", "a host has no scheme; write '*=1.1.1.1'")
	f("http://a.io=u:hunter2@b", "a host has no scheme; write a.io=ADDRESS")
	f("http://u:hunter2@a.io=1.1.1.1", `"http:..." is no HOST[/PREFIX]=ADDRESS, as in example.com=127.0.0.1:8081`)
	f("http://u@a.io=1.1.1.1", `"http:..." is no HOST[/PREFIX]=ADDRESS, as in example.com=127.0.0.1:8081`)
	f("ftp:hunter=2", `"ftp:..." (for a user, write --user ftp:PASSWORD) is no HOST[/PREFIX]=ADDRESS, as in example.com=127.0.0.1:8081`)
}
