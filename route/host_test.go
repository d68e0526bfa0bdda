package route

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestNormalizeHost_Success(t *testing.T) {
	f := func(host, want string) {
		t.Helper()
		got, err := NormalizeHost([]byte("kept "), []byte(host))
		if err != nil {
			t.Fatalf("NormalizeHost(%q): %v", host, err)
		}
		if string(got) != "kept "+want {
			t.Fatalf("NormalizeHost(%q) = %q; want %q behind what was there", host, got, want)
		}
	}

	f("", "")
	f("example.com", "example.com")
	f("EXAMPLE.Com", "example.com")
	f("a", "a")
	f("a_b.c-d.9", "a_b.c-d.9")
	f("-a", "-a")

	f("a.", "a")
	f("a.:80", "a")
	f("a:", "a")
	f("a:0", "a")
	f("a:0080", "a")
	f("a:65535", "a")

	f("127.0.0.1:8080", "127.0.0.1")
	f("127.1", "127.1")

	f("[::1]", "[::1]")
	f("[::0001]", "[::1]")
	f("[0:0:0:0:0:0:0:1]:80", "[::1]")
	f("[2001:DB8::A]:", "[2001:db8::a]")
	f("[::ffff:7f00:1]", "[::ffff:127.0.0.1]")

	f(strings.Repeat("a", 63), strings.Repeat("a", 63))
	f(strings.Repeat("a.", 127)+":80", strings.Repeat("a.", 126)+"a")
}

func TestNormalizeHost_Failure(t *testing.T) {
	f := func(host string, want error) {
		t.Helper()
		got, err := NormalizeHost([]byte("kept"), []byte(host))
		if !errors.Is(err, want) {
			t.Fatalf("NormalizeHost(%q): error %v; want %v", host, err, want)
		}
		if string(got) != "kept" {
			t.Fatalf("NormalizeHost(%q) = %q; want what was there", host, got)
		}
	}

	f(".", errHostEmpty)
	f(":80", errHostEmpty)
	f(".:80", errHostEmpty)
	f("a..", errHostLabel)
	f("a..b", errHostLabel)
	f(".a", errHostLabel)
	f("..", errHostLabel)
	f(strings.Repeat("a", 64), errHostLabel)
	f(strings.Repeat("a.", 126)+"aa", errHostLength)
	f(strings.Repeat("a.", 127)+"a", errHostLength)

	f("a:65536", errHostPort)
	f("a:99999999999999999999999", errHostPort)
	f("a:x", errHostPort)
	f("a:-1", errHostPort)
	f("a:+1", errHostPort)
	f("a: 80", errHostPort)
	f("a:80:80", errHostPort)
	f("user:pw@a", errHostPort)
	f("::1", errHostPort)
	f("[::1]:65536", errHostPort)

	f("u@a", errHostByte)
	f("a b", errHostByte)
	f(" a", errHostByte)
	f("a ", errHostByte)
	f("a, b", errHostByte)
	f("a/b", errHostByte)
	f("a\\b", errHostByte)
	f("%61", errHostByte)
	f("a\x00", errHostByte)
	f("a\r\n", errHostByte)
	f("*", errHostByte)
	f("*.a", errHostByte)
	f("a]", errHostByte)
	f("\x7f", errHostByte)
	f("é", errHostASCII)
	f("a\x80", errHostASCII)

	f("[", errHostIPv6)
	f("[]", errHostIPv6)
	f("[::1", errHostIPv6)
	f("[::1]a", errHostIPv6)
	f("[::1].", errHostIPv6)
	f("[[::1]]", errHostIPv6)
	f("[::g]", errHostIPv6)
	f("[::1%eth0]", errHostIPv6)
	f("[::1%25eth0]", errHostIPv6)
	f("[127.0.0.1]", errHostIPv6)
	f("[v1.x]", errHostIPv6)
	f("["+strings.Repeat("0", 9000)+"]", errHostIPv6)
}

func TestNormalizeHost_AllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, maxHost)
	f := func(host string) {
		t.Helper()
		in := []byte(host)
		allocs := testing.AllocsPerRun(100, func() {
			_, _ = NormalizeHost(dst, in)
		})
		if allocs != 0 {
			t.Fatalf("NormalizeHost(%q) allocates %v times", host, allocs)
		}
	}

	f("Example.com.:8080")
	f("[2001:DB8:0::1]:8080")
	f(strings.Repeat("a.", 127))
	f("a b")
	f("a:x")
}

var normalized = regexp.MustCompile(`^([a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|\[[0-9a-f:.]+\])?$`)

// FuzzNormalizeHost wants only allowed bytes, and nothing more to do for a second call.
func FuzzNormalizeHost(f *testing.F) {
	for _, s := range []string{
		"", "a", "A.b.:80", "a..", "a:65536", "[::1]", "[::0001]:80", "[::ffff:7f00:ffff]", "[1::%eth0]", "u:p@a",
		"a, b", "127.0.0.1", "*.a", "\x80", "[::1", strings.Repeat("a", 64), strings.Repeat("a.", 127),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		once, err := NormalizeHost(nil, []byte(host))
		if err != nil {
			return
		}
		if !normalized.Match(once) || len(once) > maxHost {
			t.Fatalf("NormalizeHost(%q) = %q, which is not a normal host", host, once)
		}
		twice, err := NormalizeHost(nil, once)
		if err != nil || string(twice) != string(once) {
			t.Fatalf("NormalizeHost(%q) = %q, but %q, %v the second time", host, once, twice, err)
		}
	})
}
