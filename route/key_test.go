package route

import (
	"strings"
	"testing"
)

func TestParseKey_Success(t *testing.T) {
	f := func(s, host, prefix, text string) {
		t.Helper()
		k, err := ParseKey(s)
		if err != nil {
			t.Fatalf("ParseKey(%q): %v", s, err)
		}
		if want := (Key{Host: host, Prefix: prefix}); k != want {
			t.Fatalf("ParseKey(%q) = %#v; want %#v", s, k, want)
		}
		if k.String() != text {
			t.Fatalf("ParseKey(%q).String() = %q; want %q", s, k, text)
		}
		if again, err := ParseKey(text); err != nil || again != k {
			t.Fatalf("ParseKey(%q) = %#v, %v; want what %q gave: %#v", text, again, err, s, k)
		}
	}

	f("example.com", "example.com", "", "example.com")
	f("Example.COM.", "example.com", "", "example.com")
	f("*", "*", "", "*")
	f("*.Example.com.", "*.example.com", "", "*.example.com")
	f("*.com", "*.com", "", "*.com")
	f("[::1]", "[::1]", "", "[::1]")
	f("[0::0001]/x", "[::1]", "/x", "[::1]/x")
	f("127.0.0.1", "127.0.0.1", "", "127.0.0.1")

	f("a/", "a", "", "a")
	f("a//", "a", "", "a")
	f("*/api", "*", "/api", "*/api")
	f("*.a/api/", "*.a", "/api", "*.a/api")
	f("a//b///c//", "a", "/b/c", "a/b/c")
	f("a/B", "a", "/B", "a/B")
	f("a/..b/...", "a", "/..b/...", "a/..b/...")
	f("a/b*:@=&", "a", "/b*:@=&", "a/b*:@=&")

	f("a/%61pi", "a", "/api", "a/api")
	f("a/b c", "a", "/b c", "a/b%20c")
	f("a/%3f%23%25", "a", "/?#%", "a/%3F%23%25")
	f("a/%252e", "a", "/%2e", "a/%252e")
	f("a/é", "a", "/é", "a/%C3%A9")
	f("a/%FF", "a", "/\xff", "a/%FF")
	f("a/"+strings.Repeat("b", MaxPrefix-1), "a", "/"+strings.Repeat("b", MaxPrefix-1), "a/"+strings.Repeat("b", MaxPrefix-1))
}

func TestParseKey_Failure(t *testing.T) {
	f := func(s string, want string) {
		t.Helper()
		k, err := ParseKey(s)
		if err == nil {
			t.Fatalf("ParseKey(%q) = %#v; want an error", s, k)
		}
		if !strings.HasPrefix(err.Error(), want) {
			t.Fatalf("ParseKey(%q): error %q; want one that begins with %q", s, err, want)
		}
	}

	f("", `cannot read key "": the host is missing`)
	f("/api", `cannot read key "/api": the host is missing`)
	f("http://a", `cannot read key "http://a": a key has no scheme`)

	f("a b", `cannot read host "a b": a host has only letters`)
	f("a b/c", `cannot read host "a b": a host has only letters`)
	f("a..b", `cannot read host "a..b": a part between the dots is empty`)
	f(".", `cannot read host ".": it is empty`)
	f(strings.Repeat("a", 64), `cannot read host "`+strings.Repeat("a", 64)+`": a part between the dots is empty or longer`)
	f("bücher.de", `cannot read host "bücher.de": a host has only ASCII`)
	f("a?b", `cannot read host "a?b": a host has only letters`)
	f("u@a", `cannot read host "u@a": a host has only letters`)
	f("[::1", `cannot read host "[::1": it is not an IPv6 address in brackets`)
	f("[:80", `cannot read host "[:80": it is not an IPv6 address in brackets`)
	f("[::1]80", `cannot read host "[::1]80": it is not an IPv6 address in brackets`)
	f("[::1%eth0]", `cannot read host "[::1%eth0]": it is not an IPv6 address in brackets`)
	f(":", `cannot read host ":": it is empty`)
	f("a:x", `cannot read host "a:x": the port is not a number`)
	f("u:p@a", `cannot read host "u:p@a": the port is not a number`)
	f("::1", `cannot read host "::1": an IPv6 address is written in brackets: "[::1]"`)

	f("a:80", `cannot read host "a:80": ports are ignored when a request is matched; write "a"`)
	f("a:/b", `cannot read host "a:": ports are ignored when a request is matched; write "a"`)
	f("*:80", `cannot read host "*:80": ports are ignored when a request is matched; write "*"`)
	f("[::1]:80", `cannot read host "[::1]:80": ports are ignored when a request is matched; write "[::1]"`)

	f("*a.com", `cannot read host "*a.com": a wildcard is the whole first part`)
	f("a.*.com", `cannot read host "a.*.com": a wildcard is the whole first part`)
	f("*.*.com", `cannot read host "*.*.com": a wildcard is the whole first part`)
	f("**", `cannot read host "**": a wildcard is the whole first part`)
	f("*.", `cannot read host "*.": a wildcard is the whole first part`)
	f("a.*", `cannot read host "a.*": a wildcard is the whole first part`)
	f("*.[::1]", `cannot read host "*.[::1]": a wildcard is the whole first part`)

	f("a/./b", `cannot read prefix "/./b" of host "a": ambiguous path: it has a dot segment`)
	f("a/b/..", `cannot read prefix "/b/.." of host "a": ambiguous path: it has a dot segment`)
	f("a/%2e", `cannot read prefix "/%2e" of host "a": ambiguous path: it has a dot segment`)
	f("a/b%2Fc", `cannot read prefix "/b%2Fc" of host "a": ambiguous path: it has an encoded slash`)
	f("a/b\\c", `cannot read prefix "/b\\c" of host "a": ambiguous path: it has a backslash`)
	f("a/%0", `cannot read prefix "/%0" of host "a": ambiguous path: it has a '%' without two hex digits`)
	f("a/%00", `cannot read prefix "/%00" of host "a": ambiguous path: it has a NUL byte`)
	f("a/b\nc", `cannot read prefix "/b\nc" of host "a": it has a control byte`)
	f("a/b%7Fc", `cannot read prefix "/b%7Fc" of host "a": it has a control byte`)
	f("a/b?c", `cannot read prefix "/b?c" of host "a": a prefix has no '?' or '#'`)
	f("a/b#c", `cannot read prefix "/b#c" of host "a": a prefix has no '?' or '#'`)
	f("a/"+strings.Repeat("b", MaxPrefix), `cannot read prefix "/`+strings.Repeat("b", MaxPrefix)+`" of host "a": it is longer than 1024 bytes`)
}
