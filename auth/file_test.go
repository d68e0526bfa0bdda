package auth

import (
	"maps"
	"strings"
	"testing"
)

func TestParseFile(t *testing.T) {
	f := func(text string, want map[string]string) {
		t.Helper()
		got, err := ParseFile("users", []byte(text))
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("got %v, %v", got, err)
		}
	}
	f("", map[string]string{})
	f("\n# nobody:x\n  \t\n#\n", map[string]string{})
	f("bob:"+sesameBcrypt, map[string]string{"bob": sesameBcrypt})
	f("\uFEFFbob:"+sesameBcrypt+"\r\n", map[string]string{"bob": sesameBcrypt})
	f("  bob:"+sesameBcrypt+" \n\t# x\neve ning:"+sesameSHA+"\n", map[string]string{"bob": sesameBcrypt, "eve ning": sesameSHA})
	f("bob:"+sesameApr1+":the builder: and more\n", map[string]string{"bob": sesameApr1})
	f("a:"+sesameSSHA+"\nb:"+sesameSHA256+"\nc:"+helloRounds, map[string]string{"a": sesameSSHA, "b": sesameSHA256, "c": helloRounds})
}

func TestParseFileRefuses(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		got, err := ParseFile("users", []byte(text))
		if err == nil || got != nil {
			t.Fatalf("got %v, %v", got, err)
		}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q contains a secret", err)
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(want) {
			t.Fatalf("got %q", lines)
		}
		for i := range want {
			if !strings.HasPrefix(lines[i], "users:"+want[i]) {
				t.Errorf("%q does not start with %q", lines[i], want[i])
			}
		}
	}
	f("hunter2", "1: cannot read the line")
	f(":hunter2", "1: cannot use an empty login")
	f("b\x01b:"+sesameSHA, `1: cannot use login "b\x01b"`)
	f("bob:", `1: cannot use the password of login "bob": it is empty`)
	f("bob: ", `1: cannot use the password of login "bob": it is empty`)
	f("\n\nbob:hunter2", `3: cannot use the password of login "bob": plain text and DES crypt are not read from a file; make a hash with`)
	f("bob:QyyQcPmrzLtSI", `1: cannot use the password of login "bob": plain text and DES crypt`)
	f("bob:{PLAIN}hunter2", `1: cannot use the password of login "bob": it looks like a hash, but`)
	f("bob:$apr1$hunter2", `1: cannot use the password of login "bob": it starts like, but is not, a well-formed apr1 hash`)
	f("bob:"+sesameSHA+"\n#\nbob:"+sesameBcrypt, `3: login "bob" is already on line 1`)
	f("bob:hunter2\nbob:"+sesameSHA+"\neve\nbob:"+sesameSHA, `1: cannot use`, `3: cannot read`, `4: login "bob" is already on line 2`)
}
