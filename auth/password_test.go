package auth

import (
	"strings"
	"testing"
)

func TestHash(t *testing.T) {
	f := func(password string) {
		t.Helper()
		hash, err := Hash([]byte(password))
		if err != nil || !strings.HasPrefix(hash, "$2y$10$") {
			t.Fatalf("got %q, %v", hash, err)
		}
		u := mustNew(t, NewVerifier(), map[string]string{"bob": hash})
		if _, ok := u.Check(basic("bob", password)); !ok {
			t.Error("refused")
		}
		if _, ok := u.Check(basic("bob", password[1:])); ok {
			t.Error("a part is accepted")
		}
	}
	f("pä:ss wörd")
	f(strings.Repeat("x", 72))
}

func TestHashRefuses(t *testing.T) {
	f := func(password, want string) {
		t.Helper()
		hash, err := Hash([]byte(password))
		if err == nil || hash != "" {
			t.Fatalf("got %q, %v", hash, err)
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "xxx") {
			t.Errorf("got %q", err)
		}
	}
	f("", "empty")
	f(strings.Repeat("x", 73), "73 bytes: bcrypt reads 72")
	f("xxx\n", "control character")
	f("xxx\x00xxx", "control character")
}
