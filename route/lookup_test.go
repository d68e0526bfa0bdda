package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// newTable takes a list of keys, separated by blanks; the backend of each is its place in the list.
func newTable(tb testing.TB, keys string) *Table {
	tb.Helper()
	t, err := New(parseRules(tb, keys))
	if err != nil {
		tb.Fatalf("New(%q): %v", keys, err)
	}
	return t
}

func parseRules(tb testing.TB, keys string) []Rule {
	tb.Helper()
	var rules []Rule
	for i, s := range strings.Fields(keys) {
		k, err := ParseKey(s)
		if err != nil {
			tb.Fatal(err)
		}
		rules = append(rules, Rule{Key: k, Backend: i})
	}
	return rules
}

// wantRoute returns a check that a lookup gives the backend of the key want.
func wantRoute(t *testing.T) func(keys, host, path, want string) {
	return func(keys, host, path, want string) {
		t.Helper()
		b, err := newTable(t, keys).Lookup([]byte(host), []byte(path))
		if err != nil {
			t.Fatalf("Lookup(%q, %q) in %q: %v", host, path, keys, err)
		}
		if got := strings.Fields(keys)[b]; got != want {
			t.Fatalf("Lookup(%q, %q) in %q = %q; want %q", host, path, keys, got, want)
		}
	}
}

func TestLookup_Hosts(t *testing.T) {
	f := wantRoute(t)

	hosts := "*.b.c a.b.c * *.a.b.c b.c *.c [::1]"
	f(hosts, "a.b.c", "/", "a.b.c")
	f(hosts, "b.c", "/", "b.c")
	f(hosts, "x.b.c", "/", "*.b.c")
	f(hosts, "x.y.b.c", "/", "*.b.c")
	f(hosts, "x.a.b.c", "/", "*.a.b.c")
	f(hosts, "xb.c", "/", "*.c")
	f(hosts, "c", "/", "*")
	f(hosts, "", "/", "*")
	f(hosts, "[::1]", "/", "[::1]")
	f(hosts, "[::2]", "/", "*")
	f(hosts, "[::ffff:1.2.3.4]", "/", "*")
	f(hosts, strings.Repeat("a.", 126)+"c", "/", "*.c")

	// *.x does not cover x, and lengths between those of the wildcards are passed over.
	f("*.b.c *", "b.c", "/", "*")
	f("*.d *.a.b.c.d", "x.a.b.c.d", "/", "*.a.b.c.d")
	f("*.d *.a.b.c.d", "a.b.c.d", "/", "*.d")
	f("*.d *.a.b.c.d", "b.c.d", "/", "*.d")

	// As many labels as a wildcard can have, and more than a host can.
	longest := strings.Repeat("a.", maxLabels-1) + "a"
	f("*."+longest+" *.a *", "b."+longest, "/", "*."+longest)
	f("*."+longest+" *.a *", strings.Repeat("a.", 254)+"a", "/", "*."+longest)
	f("*."+longest+" *.a *", longest, "/", "*.a")
}

func TestLookup_Paths(t *testing.T) {
	f := wantRoute(t)

	paths := "a a/api a/api/v2 a/API *"
	f(paths, "a", "/", "a")
	f(paths, "a", "", "a")
	f(paths, "a", "*", "a")
	f(paths, "a", "api", "a")
	f(paths, "a", "xapi", "a")
	f(paths, "a", "/api", "a/api")
	f(paths, "a", "/api/", "a/api")
	f(paths, "a", "/api/x", "a/api")
	f(paths, "a", "/apix", "a")
	f(paths, "a", "/ap", "a")
	f(paths, "a", "/x/api", "a")
	f(paths, "a", "/Api", "a")
	f(paths, "a", "/API", "a/API")
	f(paths, "a", "/api/v2", "a/api/v2")
	f(paths, "a", "/api/v2/x/y", "a/api/v2")
	f(paths, "a", "/api/v22", "a/api")
	f(paths, "b", "/api", "*")

	// Decoded, once, with slashes merged.
	f(paths, "a", "/%61p%69", "a/api")
	f(paths, "a", "//api", "a/api")
	f(paths, "a", "///api////v2//", "a/api/v2")
	f(paths, "a", "/api/%76%32", "a/api/v2")
	f(paths, "a", "/%2561pi", "a")
	f(paths, "a", "/.api/...", "a")
	f(paths, "a", "/a..", "a")
	f("a a/b%20c", "a", "/b%20c/d", "a/b%20c")
	f("a a/é", "a", "/%c3%A9", "a/é")
	f("a a/%25", "a", "/%25", "a/%25")

	// A prefix deep below a place where no rule ends.
	f("a/b/c/d a", "a", "/b/c", "a")
	f("a/b/c/d a/b", "a", "/b/c/x", "a/b")

	// A host whose prefixes do not cover the path leaves it to the next.
	fall := "a.b.c/x *.b.c/y *.c/z *.c */w"
	f(fall, "a.b.c", "/x", "a.b.c/x")
	f(fall, "a.b.c", "/y", "*.b.c/y")
	f(fall, "a.b.c", "/z", "*.c/z")
	f(fall, "a.b.c", "/", "*.c")
	f(fall, "a.b.c", "/w", "*.c")
	f(fall, "a.b.c", "*", "*.c")
	f(fall, "d", "/w", "*/w")
	f("a/x *", "a", "/y", "*")
	f("a/x *", "a", "", "*")

	// A path on which nothing depends is not looked at.
	f("a *.b */x", "a", "/../%2f%00%\\", "a")
	f("a *.b */x", "c.b", "/../%2f%00%\\", "*.b")
}

func TestLookup_Failure(t *testing.T) {
	f := func(keys, host, path string, want error) {
		t.Helper()
		if b, err := newTable(t, keys).Lookup([]byte(host), []byte(path)); !errors.Is(err, want) {
			t.Fatalf("Lookup(%q, %q) in %q = %d, %v; want the error %v", host, path, keys, b, err, want)
		}
	}

	f("", "a", "/", ErrNoRoute)
	f("", "", "", ErrNoRoute)
	f("a *.b", "", "/", ErrNoRoute)
	f("a *.b", "b", "/", ErrNoRoute)
	f("a *.b", "xb", "/", ErrNoRoute)
	f("a *.b", "a.a", "/", ErrNoRoute)
	f("a *.b", "*", "/", ErrNoRoute)
	f("a/x", "a", "/", ErrNoRoute)
	f("a/x", "a", "*", ErrNoRoute)
	f("a/x", "a", "", ErrNoRoute)
	f("a/x", "a", "x", ErrNoRoute)
	f("a/x */y", "a", "/z", ErrNoRoute)
	f("a/x", "b", "/..", ErrNoRoute)

	for _, path := range []string{
		"/.", "/..", "/./x", "/../x", "/x/.", "/x/..", "/x/../", "/x//..//y", ".", "..",
		"/%2e", "/%2E%2e", "/.%2e", "/%2e.", "/x/%2e./y",
		"/x%2fy", "/%2F", "%2fx", "/x%00", "/x\x00", "/x%5c", "/x%5Cy", "/x\\y",
		"/%", "/%2", "/%zz", "/%2g", "/x%", "/%%32e", "/x/" + strings.Repeat("y", 65536) + "/..",
	} {
		f("a a/x", "a", path, ErrAmbiguousPath)
		f("a/x *", "a", path, ErrAmbiguousPath)
		f("b */x *", "a", path, ErrAmbiguousPath)
		f("b/x *.b/x", "a.b", path, ErrAmbiguousPath)
	}
}

// TestLookup_LongestPrefix: a path cut short for matching must not pass for a prefix as long as the cut.
func TestLookup_LongestPrefix(t *testing.T) {
	f := func(prefix, path string, want error) {
		t.Helper()
		if _, err := newTable(t, "a"+prefix).Lookup([]byte("a"), []byte(path)); !errors.Is(err, want) {
			t.Fatalf("Lookup of a path of %d bytes for a prefix of %d: %v; want %v", len(path), len(prefix), err, want)
		}
	}

	for _, n := range []int{1, 2, MaxPrefix - 2, MaxPrefix - 1} {
		prefix := "/" + strings.Repeat("b", n)
		f(prefix, prefix, nil)
		f(prefix, prefix+"/", nil)
		f(prefix, prefix+"/c", nil)
		f(prefix, strings.Repeat("/", 60000)+prefix+"/c", nil)
		f(prefix, "/"+strings.Repeat("%62", n)+"/c", nil)
		f(prefix, prefix+"b", ErrNoRoute)
		f(prefix, prefix+"bb", ErrNoRoute)
		f(prefix, prefix+"%2562", ErrNoRoute)
		f(prefix, prefix[:n], ErrNoRoute)
	}
}

func TestNew_Failure(t *testing.T) {
	f := func(rules []Rule, want string) {
		t.Helper()
		if _, err := New(rules); err == nil || err.Error() != want {
			t.Fatalf("New(%v): error %v; want %s", rules, err, want)
		}
	}

	f(parseRules(t, "b a/x A.//x/ a"), `cannot route "a/x" twice: rules 1 and 2 have the same key`)
	f(parseRules(t, "*.b.C *.b.c."), `cannot route "*.b.c" twice: rules 0 and 1 have the same key`)
	f(parseRules(t, "[::1] [::0001]"), `cannot route "[::1]" twice: rules 0 and 1 have the same key`)
	for _, k := range []Key{{"A", ""}, {"a/b", ""}, {"a:80", ""}, {"", ""}, {"a", "/"}, {"a", "b"}, {"a", "/b/"}, {"a", "/../b"}} {
		f([]Rule{{Key: k}}, fmt.Sprintf("cannot route %q: the key is not as ParseKey returns it", k))
	}

	var dup *DuplicateError
	if _, err := New(parseRules(t, "b a c A")); !errors.As(err, &dup) || dup.First != 1 || dup.Second != 3 {
		t.Fatalf("New: error %v; want a DuplicateError of the rules 1 and 3", err)
	}
}

func TestNew_KeepsItsArgument(t *testing.T) {
	rules := parseRules(t, "c b a a/x a/x/y")
	before := slices.Clone(rules)
	table, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rules, before) {
		t.Fatalf("New changed its argument to %v", rules)
	}
	clear(rules)
	if b, err := table.Lookup([]byte("a"), []byte("/x")); b != 3 || err != nil {
		t.Fatalf("Lookup = %d, %v; want 3, whatever becomes of New's argument", b, err)
	}
}

func TestExplain(t *testing.T) {
	f := func(keys, host, path, want string, wantErr error) {
		t.Helper()
		tried, err := newTable(t, keys).Explain([]byte(host), []byte(path))
		var got []string
		for _, r := range tried {
			got = append(got, r.Key.String())
		}
		if strings.Join(got, " ") != want || !errors.Is(err, wantErr) {
			t.Fatalf("Explain(%q, %q) in %q = %q, %v; want %q, %v", host, path, keys, got, err, want, wantErr)
		}
	}

	keys := "*/w a.b.c/x *.c/z a.b.c/x/long *.c *.b.c/y other"
	f(keys, "a.b.c", "/x", "a.b.c/x/long a.b.c/x", nil)
	f(keys, "a.b.c", "/x/long/y", "a.b.c/x/long", nil)
	f(keys, "a.b.c", "/", "a.b.c/x/long a.b.c/x *.b.c/y *.c/z *.c", nil)
	f(keys, "other", "/..", "other", nil)
	f(keys, "none", "/w", "*/w", nil)
	f(keys, "none", "/", "*/w", ErrNoRoute)
	f(keys, "none", "/..", "*/w", ErrAmbiguousPath)
	f("a", "b", "/", "", ErrNoRoute)
}

func TestLookup_AllocatesNothing(t *testing.T) {
	table := newTable(t, "a a.b/x/y/z *.b/x *.c.d * */w")
	f := func(host, path string) {
		t.Helper()
		h, p := []byte(host), []byte(path)
		allocs := testing.AllocsPerRun(100, func() {
			_, _ = table.Lookup(h, p)
		})
		if allocs != 0 {
			t.Fatalf("Lookup(%q, %q) allocates %v times", host, path, allocs)
		}
	}

	f("a", "/")
	f("a.b", "/x//%79/z")
	f("a.b", "/"+strings.Repeat("long/", 10000))
	f("x.y.c.d", "/")
	f("none", "/w")
	f("none", "/../w")
	f(strings.Repeat("a.", 126)+"b", "/")
}

// TestLookup_HostileInputIsCheap gives a time that a quadratic lookup could not meet by far: the deepest keys there can
// be, and the requests that go through all of them. They take about 1 ms.
func TestLookup_HostileInputIsCheap(t *testing.T) {
	var rules []Rule
	add := func(host, prefix string) {
		rules = append(rules, Rule{Key: Key{Host: host, Prefix: prefix}})
	}
	add("*", strings.Repeat("/a", MaxPrefix/2))
	for n := 1; n < maxLabels; n++ {
		add("*"+strings.Repeat(".a", n), strings.Repeat("/a", MaxPrefix/2-1)+"/b")
	}
	table, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	host := []byte(strings.Repeat("a.", maxLabels-1) + "a")
	for _, path := range []string{strings.Repeat("/", 65536), strings.Repeat("/a", 32768), strings.Repeat("/a", 400), "/"} {
		start := time.Now()
		const n = 10
		for range n {
			_, _ = table.Lookup(host, []byte(path))
		}
		each := time.Since(start) / n
		t.Logf("%d bytes of %.4q: %v", len(path), path, each)
		if each > 500*time.Millisecond {
			t.Fatalf("a path of %d bytes of %.4q takes %v", len(path), path, each)
		}
	}
}

// Servers of Java cut parameters off a segment before they look at it: "/api;x" is "/api" to them, and "/..;/api" is too.
func TestLookup_Parameters(t *testing.T) {
	route := wantRoute(t)
	const keys = "a a/api a/api/v"
	route(keys, "a", "/x;y=1/;z", "a")
	route(keys, "a", "/api/x;y", "a/api")
	route(keys, "a", "/api/x;/v", "a/api")
	route("a", "a", "/..;/x", "a") // nothing depends on it
	f := func(path string) {
		t.Helper()
		b, err := newTable(t, keys).Lookup([]byte("a"), []byte(path))
		if !errors.Is(err, ErrAmbiguousPath) {
			t.Errorf("%s leads to %d, %v", path, b, err)
		}
	}
	f("/api;x")
	f("/api;x/y")
	f("/api%3bx")
	f("/;x/api")
	f("/..;/api")
	f("/x/..;y=1/api")
	f("/x/.;/api")
	f("/x/%2e%2e%3b/api")
	f("/api/v;x")
	if _, err := ParseKey("a/b;c"); !errors.Is(err, ErrAmbiguousPath) {
		t.Errorf("a key with parameters: %v", err)
	}
}
