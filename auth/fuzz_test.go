package auth

import (
	"encoding/base64"
	"strings"
	"testing"
)

// FuzzCheck compares Check with a reference that is slow and plain, on a set of all three kinds.
func FuzzCheck(f *testing.F) {
	passwords := map[string]string{"Aladdin": "open sesame", "pl": "a:b", "bob": "open sesame", "eve": "pä"}
	v := NewVerifier()
	u, err := New(v, map[string]string{"Aladdin": "open sesame", "pl": "a:b", "bob": sesameSHA, "eve": bcryptOf(f, "pä")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Basic ", "Aladdin:open sesame", "")
	f.Add("bAsIc   ", "pl:a:b", "")
	f.Add("Basic ", "bob:open sesame", "")
	f.Add("Basic ", "eve:pä", "")
	f.Add("Basic ", "eve:p", "")
	f.Add("Basic ", "nobody:open sesame", "")
	f.Add("Basic ", "Aladdin", "")
	f.Add("Basic ", "", "QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
	f.Add("Basic ", "", "QWxhZGRpbjpvcGVu\nIHNlc2FtZQ==")
	f.Add("Basic ", "", "QWxhZGRpbjpvcGVuIHNlc2FtZR==")
	f.Add("Basic\t", "Aladdin:open sesame", "=")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, head, text, tail string) {
		authorization := []byte(head + base64.StdEncoding.EncodeToString([]byte(text)) + tail)
		name, want := reference(passwords, string(authorization))
		login, ok := u.Check(authorization)
		if ok != want || login != name {
			t.Fatalf("%q: got %q %v, want %q %v", authorization, login, ok, name, want)
		}
		again, verdict := u.Peek(authorization)
		if again != login || verdict != verdictOf(ok) {
			t.Fatalf("%q: peeked %q %v after %q %v", authorization, again, verdict, login, ok)
		}
	})
}

func reference(passwords map[string]string, authorization string) (name string, ok bool) {
	if len(authorization) > maxField || len(authorization) < 6 || strings.ToLower(authorization[:6]) != "basic " {
		return "", false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(authorization[6:], " "))
	if err != nil || strings.ContainsAny(authorization, "\r\n") || strings.ContainsFunc(string(text), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false
	}
	login, password, ok := strings.Cut(string(text), ":")
	want, known := passwords[login]
	if !ok || !known {
		return "", false
	}
	return login, password == want
}

// FuzzParseFile: what is read compiles, is all hashed and reads the same when written again; and errors keep what
// stands where passwords do to themselves.
func FuzzParseFile(f *testing.F) {
	f.Add("# users\nbob:"+sesameBcrypt, "\n")
	f.Add("bob:"+sesameSHA+":comment\r\n\r\n a:"+sesameApr1, "hunter2")
	f.Add("bob:"+sesameSSHA, "\nbob:"+sesameSHA512)
	f.Add("bob:"+sesameSHA256+"\nbob:x\n:\n", "$1$\x00")
	f.Add("\uFEFFx", "{x}")
	f.Fuzz(func(t *testing.T, before, after string) {
		checkParsed(t, before)
		const secret = "S3CR3T"
		if strings.Contains(before+after, secret) {
			return
		}
		for _, start := range []string{"", "$2y$", "$6$rounds=", "{SHA}", "{", "$"} {
			_, err := ParseFile("f", []byte(before+"\nlast:"+start+secret+after))
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Fatalf("%q: got %v", start, err)
			}
		}
	})
}

func checkParsed(t *testing.T, text string) {
	users, err := ParseFile("f", []byte(text))
	if (err == nil) != (users != nil) {
		t.Fatalf("got %v, %v", users, err)
	}
	u, err := New(NewVerifier(), users)
	if err != nil || u.Len() != len(users) || u.Plain() != nil {
		t.Fatalf("%v does not compile to hashes: %v", users, err)
	}
	for login, hash := range users {
		again, err := ParseFile("f", []byte(login+":"+hash))
		if err != nil || len(again) != 1 || again[login] != hash {
			t.Fatalf("%q: read again as %v, %v", login+":"+hash, again, err)
		}
	}
}
