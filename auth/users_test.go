package auth

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

func TestCheckAccepts(t *testing.T) {
	f := func(stored, password string) {
		t.Helper()
		u := mustNew(t, NewVerifier(), map[string]string{"bob": stored, "eve": "other"})
		for _, round := range []string{"first", "remembered"} {
			if login, ok := u.Check(basic("bob", password)); !ok || login != "bob" {
				t.Errorf("%s: got %q %v", round, login, ok)
			}
			for _, wrong := range []string{password + "x", "x" + password, password[:len(password)/2] + "?", "?", strings.ToUpper(password) + " "} {
				if login, ok := u.Check(basic("bob", wrong)); ok || login != "bob" {
					t.Errorf("%s: password %q: got %q %v", round, wrong, login, ok)
				}
			}
		}
	}
	f("open sesame", "open sesame")
	f("with:colon:", "with:colon:")
	f("\u00a3\u20ac pä", "\u00a3\u20ac pä")
	f("$5", "$5")
	f("{", "{")
	f(strings.Repeat("x", 1500), strings.Repeat("x", 1500))
	f(sesameBcrypt, "open sesame")
	f("$2a"+sesameBcrypt[3:], "open sesame")
	f("$2b"+sesameBcrypt[3:], "open sesame")
	f(emptyBcrypt, "")
	f(sesameApr1, "open sesame")
	f(umlautApr1, "pä:ss")
	f(sesameSHA, "open sesame")
	f(sesameSSHA, "open sesame")
	f(sesameSHA256, "open sesame")
	f(sesameSHA512, "open sesame")
	f(helloSHA256, "Hello world!")
	f(helloSHA512, "Hello world!")
	f(helloRounds, "Hello world!")
}

// The examples of RFC 7617 sections 2 and 2.1.
func TestCheckRFC7617(t *testing.T) {
	u := mustNew(t, NewVerifier(), map[string]string{"Aladdin": "open sesame", "test": "123\u00a3"})
	f := func(authorization, want string) {
		t.Helper()
		if login, ok := u.Check([]byte(authorization)); !ok || login != want {
			t.Errorf("got %q %v", login, ok)
		}
	}
	f("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin")
	f("Basic dGVzdDoxMjPCow==", "test")
	f("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin")
	f("BASIC    QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin")
}

func TestCheckRefuses(t *testing.T) {
	v := NewVerifier()
	w := countWork(v)
	u := mustNew(t, v, map[string]string{"Aladdin": sesameBcrypt})
	f := func(authorization string) {
		t.Helper()
		if login, ok := u.Check([]byte(authorization)); ok || login != "" {
			t.Errorf("got %q %v", login, ok)
		}
		if login, verdict := u.Peek([]byte(authorization)); verdict != Refused || login != "" {
			t.Errorf("peek: got %q %v", login, verdict)
		}
	}
	encode := base64.StdEncoding.EncodeToString
	f("")
	f("Basic")
	f("Basic ")
	f("Basic   ")
	f("Basic\tQWxhZGRpbjpvcGVuIHNlc2FtZQ==")
	f(" Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
	f("BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==")
	f("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
	f("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ")    // no padding
	f("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=")   // half of it
	f("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ===") // too much
	f("Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==")  // bits behind the end
	f("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== ")
	f("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==, Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
	f("Basic QWxhZGRpbjpvcGVu\r\nIHNlc2FtZQ==")
	f("Basic QWxhZGRpbjpvcGVu IHNlc2FtZQ==")
	f("Basic QWxhZGRpbjpvcGVuIHNlc2Ft-Q==")
	f("Basic Aladdin:open sesame")
	f("Basic " + encode([]byte("Aladdin")))
	f("Basic " + encode([]byte(":open sesame")))
	f("Basic " + encode([]byte("Ala\x00ddin:open sesame")))
	f("Basic " + encode([]byte("Aladdin\x7f:open sesame")))
	f("Basic " + encode([]byte("Aladdin:open sesame\n")))
	f("Basic " + encode([]byte("Aladdin:open sesame\x00open sesame"))) // bcrypt takes it for "open sesame"
	f("Basic " + encode([]byte("Aladdin:"+strings.Repeat("x", maxText))))
	f("Basic " + strings.Repeat(" ", maxField) + "QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
	if n := w.total(); n != 0 {
		t.Errorf("malformed fields cost %d verifications", n)
	}
	if login, ok := mustNew(t, v, nil).Check(basic("", "")); ok || login != "" {
		t.Errorf("no users: got %q %v", login, ok)
	}
	if login, verdict := mustNew(t, v, nil).Peek(basic("a", "b")); verdict != Refused || login != "" {
		t.Errorf("no users: peeked %q %v", login, verdict)
	}
}

func TestPeek(t *testing.T) {
	v := NewVerifier()
	w := countWork(v)
	u := mustNew(t, v, map[string]string{"hashed": sesameBcrypt, "plain": "open sesame", "cheap": sesameSHA})
	f := func(login, password, wantLogin string, want Verdict) {
		t.Helper()
		if login, verdict := u.Peek(basic(login, password)); verdict != want || login != wantLogin {
			t.Errorf("got %q %v, want %q %v", login, verdict, wantLogin, want)
		}
	}
	f("plain", "open sesame", "plain", Accepted)
	f("plain", "wrong", "plain", Refused)
	f("cheap", "open sesame", "cheap", Accepted)
	f("cheap", "wrong", "cheap", Refused)
	f("hashed", "open sesame", "hashed", Unknown)
	f("hashed", "wrong", "hashed", Unknown)
	f("stranger", "open sesame", "", Refused)
	if n := w.total(); n != 0 {
		t.Errorf("peeking cost %d verifications", n)
	}
	u.Check(basic("hashed", "open sesame"))
	u.Check(basic("hashed", "wrong"))
	f("hashed", "open sesame", "hashed", Accepted)
	f("hashed", "wrong", "hashed", Refused)
}

func TestUsersPlainLen(t *testing.T) {
	u := mustNew(t, NewVerifier(), map[string]string{"b": "x", "a": "y", "c": sesameSHA, "d": sesameBcrypt})
	if got := u.Plain(); !slices.Equal(got, []string{"a", "b"}) || u.Len() != 4 {
		t.Errorf("got %v, %d", got, u.Len())
	}
	if u := mustNew(t, NewVerifier(), nil); u.Plain() != nil || u.Len() != 0 {
		t.Errorf("no users: got %v, %d", u.Plain(), u.Len())
	}
}

func TestVerdictString(t *testing.T) {
	if got := Unknown.String() + Refused.String() + Accepted.String(); got != "unknownrefusedaccepted" {
		t.Error(got)
	}
}

func TestNewRefuses(t *testing.T) {
	f := func(login, value, want string) {
		t.Helper()
		u, err := New(NewVerifier(), map[string]string{login: value, "ok": "plain"})
		if err == nil || u != nil {
			t.Fatal("accepted")
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
		if len(value) > 8 && strings.Contains(err.Error(), value[3:]) {
			t.Errorf("%q contains the value", err)
		}
	}
	f("", "secret", "empty login")
	f("bob:hunter2", "secret", `it starts with "bob"`)
	f("bob\n", "secret", "control character")
	f(strings.Repeat("x", 256), "secret", "256 bytes")
	f("bob", "", `login "bob": it is empty`)
	f("bob", "secret\n", "control character")
	f("bob", strings.Repeat("x", 2000), "longer than 1530 bytes")

	f("bob", sesameBcrypt[:59], "well-formed bcrypt")
	f("bob", sesameBcrypt+"x", "well-formed bcrypt")
	f("bob", sesameBcrypt+"\n", "well-formed bcrypt")
	f("bob", "$2y$03"+sesameBcrypt[6:], "cost 04 to 17")
	f("bob", "$2y$31"+sesameBcrypt[6:], "cost 04 to 17")
	f("bob", "$2y$10$", "`l7 passwd`")
	f("bob", sesameApr1[:20], "well-formed apr1")
	f("bob", "$apr1$toolongsalt$ceUxdrP2.4ZMZ6VfKxz80/", "well-formed apr1")
	f("bob", sesameSHA[:20], "well-formed {SHA}")
	f("bob", "{SSHA}W8r/fyL/UzygmbNAjq2HbA67q===", "well-formed {SSHA}")
	f("bob", sesameSHA256+"x", "well-formed sha256-crypt")
	f("bob", "$6$salt", "well-formed sha512-crypt")
	f("bob", strings.Replace(helloRounds, "10000", "10000000", 1), "9999999 rounds")
	f("bob", strings.Replace(helloRounds, "10000", "010000", 1), "9999999 rounds")
	f("bob", strings.Replace(helloRounds, "10000", "999", 1), "9999999 rounds")

	f("bob", "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "looks like a hash")
	f("bob", "$2x$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "looks like a hash")
	f("bob", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7", "`l7 passwd`")
	f("bob", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA", "looks like a hash")
	f("bob", "{sha}W8r/fyL/UzygmbNAjq2HbA67qac=", "looks like a hash")
	f("bob", "{PLAIN}secret", "looks like a hash")
	f("bob", strings.ReplaceAll(sesameBcrypt, "$", "$$"), "looks like a hash")
}

func TestNewJoinsErrors(t *testing.T) {
	_, err := New(NewVerifier(), map[string]string{"c": "", "a": "$9$x", "b": "fine", "": "x"})
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], `"a"`) || !strings.Contains(lines[2], `"c"`) {
		t.Errorf("got %q", lines)
	}
}
