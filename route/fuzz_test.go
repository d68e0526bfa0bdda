package route

import (
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The reference says the same as the package in the plainest way: it looks at every rule.

var (
	hostForm  = regexp.MustCompile(`^(?i:([a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*)\.?)(?::0*([0-9]{0,5}))?$`)
	ipv6Form  = regexp.MustCompile(`^\[([0-9A-Fa-f:.]+)\](?::0*([0-9]{0,5}))?$`)
	slashes   = regexp.MustCompile(`/+`)
	badInPath = regexp.MustCompile(`(?i)%2f|%5c|\\|%00|\x00`)
)

func referenceHost(host string) (string, bool) {
	if host == "" {
		return "", true
	}
	if m := ipv6Form.FindStringSubmatch(host); m != nil {
		addr, err := netip.ParseAddr(m[1])
		return "[" + addr.String() + "]", err == nil && addr.Is6() && referencePort(m[2])
	}
	m := hostForm.FindStringSubmatch(host)
	if m == nil || len(m[1]) > 253 {
		return "", false
	}
	return strings.ToLower(m[1]), referencePort(m[2])
}

func referencePort(port string) bool {
	return len(port) < 5 || port <= "65535"
}

// referencePath returns "" for a path that no prefix covers, with and without its parameters.
func referencePath(path string) (whole, cut string, ok bool) {
	decoded, err := url.PathUnescape(path)
	if err != nil || badInPath.MatchString(path) {
		return "", "", false
	}
	segments := strings.Split(decoded, "/")
	for i := range segments {
		segments[i], _, _ = strings.Cut(segments[i], ";")
		if segments[i] == "." || segments[i] == ".." {
			return "", "", false
		}
	}
	if !strings.HasPrefix(path, "/") {
		return "", "", true
	}
	return slashes.ReplaceAllString(decoded, "/"), slashes.ReplaceAllString(strings.Join(segments, "/"), "/"), true
}

func referenceCovers(keyHost, host string) bool {
	if name, isWild := strings.CutPrefix(keyHost, "*."); isWild {
		return strings.HasSuffix(host, "."+name)
	}
	return keyHost == "*" || keyHost == host
}

// referenceRank orders the hosts of the keys that cover one host: exact, then the longest wildcard, then "*".
func referenceRank(keyHost string) int {
	if strings.HasPrefix(keyHost, "*") {
		return len(keyHost)
	}
	return 1000
}

func referenceLookup(rules []Rule, host, path string) (int, error) {
	rules = slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return !referenceCovers(r.Key.Host, host) })
	slices.SortFunc(rules, func(a, b Rule) int {
		if d := referenceRank(b.Key.Host) - referenceRank(a.Key.Host); d != 0 {
			return d
		}
		return len(b.Key.Prefix) - len(a.Key.Prefix)
	})
	whole, cut, ok := referencePath(path)
	// The rules of a host come longest first, so that the path is needed from the first one with a prefix on.
	if !ok && len(rules) > 0 && rules[0].Key.Prefix != "" {
		return 0, ErrAmbiguousPath
	}
	match := func(path string) (int, error) {
		for _, r := range rules {
			if r.Key.Prefix == "" || strings.HasPrefix(path+"/", r.Key.Prefix+"/") {
				return r.Backend, nil
			}
		}
		return 0, ErrNoRoute
	}
	backend, err := match(whole)
	if other, failed := match(cut); other != backend || (failed == nil) != (err == nil) {
		return 0, ErrAmbiguousPath
	}
	return backend, err
}

// fuzzRules reads what it can of the keys, and passes over what is there already.
func fuzzRules(t *testing.T, keys string) []Rule {
	var rules []Rule
	for i, s := range strings.Split(keys, "\n") {
		k, err := ParseKey(s)
		if err != nil {
			continue
		}
		if again, err := ParseKey(k.String()); err != nil || again != k {
			t.Fatalf("ParseKey(%q) = %#v, but its text %q gives %#v, %v", s, k, k, again, err)
		}
		if !slices.ContainsFunc(rules, func(r Rule) bool { return r.Key == k }) {
			rules = append(rules, Rule{Key: k, Backend: i})
		}
	}
	return rules
}

// FuzzLookup wants what the reference says, and the same for a host in capitals, with a port and with a trailing dot.
func FuzzLookup(f *testing.F) {
	f.Add("a\na/api\n*", "a", "/api/x")
	f.Add("a\na/api\n*", "a", "/apix")
	f.Add("*.b.c\na.b.c/x\n*.c/y\n*.c\n*/z", "a.b.c", "/y")
	f.Add("*.b\n*.a.b.c.b\n*", "X.a.b.c.b.:80", "//x%20y/")
	f.Add("a/x\n*", "A:8080", "/%2e%2E/x")
	f.Add("a\n*/x", "a", "/..")
	f.Add("*.a/x\n*", "b.a", "/x%2fy")
	f.Add("[::1]/x\n[::1]\n*", "[::0001]:80", "/%78")
	f.Add("*\n*/a/b/c", "", "/a/b")
	f.Add("a/%C3%A9\na", "a", "/é/..x")
	f.Add("a/b%20c\na/%25/%3f\n*.a", "x.a", "/%25//%3F/")
	f.Add("a/bbbb\na", "a", "/bbbbb")
	f.Add("a/x", "a", "*")
	f.Add("a/x\na/\\", "a", "/%5c\x00%00%")
	f.Add("a/x\na", "a", "/x;y/z")
	f.Add("a/x\na", "a", "/;/x/%3b/..;")
	f.Add("a/x\n*", "a", "/;x/x")
	f.Fuzz(func(t *testing.T, keys, host, path string) {
		rules := fuzzRules(t, keys)
		table, err := New(rules)
		if err != nil {
			t.Fatalf("New(%v): %v", rules, err)
		}
		name, err := NormalizeHost(nil, []byte(host))
		wantName, ok := referenceHost(host)
		if ok != (err == nil) || ok && string(name) != wantName {
			t.Fatalf("NormalizeHost(%q) = %q, %v; want %q, %v", host, name, err, wantName, ok)
		}
		if !ok {
			return
		}
		want := answer{host: wantName, path: path}
		want.backend, want.err = referenceLookup(rules, wantName, path)
		want.compare(t, table, name)
		if len(name) == 0 {
			return
		}
		variants := []string{strings.ToUpper(string(name)), string(name) + ":", string(name) + ":8080"}
		if name[0] != '[' {
			variants = append(variants, string(name)+".", string(name)+".:0")
		}
		for _, v := range variants {
			again, err := NormalizeHost(nil, []byte(v))
			if err != nil {
				t.Fatalf("NormalizeHost(%q): %v", v, err)
			}
			want.compare(t, table, again)
		}
	})
}

// answer is what the reference says of a host and path.
type answer struct {
	host, path string
	backend    int
	err        error
}

func (a answer) compare(t *testing.T, table *Table, host []byte) {
	t.Helper()
	if string(host) != a.host {
		t.Fatalf("the host is %q; want %q", host, a.host)
	}
	got, err := table.Lookup(host, []byte(a.path))
	if got != a.backend || !errors.Is(err, a.err) {
		t.Fatalf("Lookup(%q, %q) = %d, %v; want %d, %v", host, a.path, got, err, a.backend, a.err)
	}
	tried, err := table.Explain(host, []byte(a.path))
	if !errors.Is(err, a.err) || err == nil && tried[len(tried)-1].Backend != a.backend {
		t.Fatalf("Explain(%q, %q) = %v, %v; want %d at the end, %v", host, a.path, tried, err, a.backend, a.err)
	}
}
