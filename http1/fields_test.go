package http1

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func parsed(t testing.TB, lines string) *Request {
	t.Helper()
	var r Request
	if _, err := r.Parse([]byte("GET / HTTP/1.1\r\n"+lines+"\r\n"), Limits{}); err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	return &r
}

func TestKindOf(t *testing.T) {
	for _, n := range names {
		for _, name := range []string{n.name, strings.ToUpper(n.name), strings.ToUpper(n.name[:1]) + n.name[1:]} {
			if got := kindOf([]byte(name)); got != n.kind {
				t.Errorf("%s: got %d, want %d", name, got, n.kind)
			}
		}
		for i := range n.name {
			other := n.name[:i] + "*" + n.name[i+1:]
			if got := kindOf([]byte(other)); got != Plain && got != XForwardedOther {
				t.Errorf("%s: got %d", other, got)
			}
		}
		if got := kindOf([]byte(n.name + "s")); got != Plain && got != XForwardedOther {
			t.Errorf("%ss: got %d", n.name, got)
		}
	}
	for name, want := range map[string]Kind{"x": Plain, "accept": Plain, "X-Forwarded-Prefix": XForwardedOther, "x-forwarded-": Plain, "x-forwarded": Plain} {
		if got := kindOf([]byte(name)); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
}

func TestAppendFields(t *testing.T) {
	f := func(lines string, drop Kinds, want string) {
		t.Helper()
		r := parsed(t, lines)
		if got := string(AppendFields([]byte("dst "), r.Bytes(), r.Fields, drop)); got != "dst "+want {
			t.Errorf("%q: got %q, want %q", lines, got, want)
		}
	}
	f("Host: a\r\nX:  y\t\r\nx: Y\r\n", 0, "Host: a\r\nX:  y\t\r\nx: Y\r\n")
	f("Host: a\r\nX:  y\t\r\nx: Y\r\n", Host.Bit(), "X:  y\t\r\nx: Y\r\n")
	f("Host: a\r\n", Host.Bit(), "")
	f("A: 1\r\nVia: 2\r\nVia: 3\r\nB: 4\r\nHost: a\r\n", Host.Bit()|Via.Bit(), "A: 1\r\nB: 4\r\n")
	f("A_B: 1\r\nHost: a\r\nDate: 2\r\n", Underscored.Bit()|Date.Bit(), "Host: a\r\n")
	f("Host: a\r\nConnection: x\r\nX: 1\r\nKeep-Alive: 2\r\nProxy-Connection: 3\r\nProxy-Authenticate: 4\r\nProxy-Authorization: 5\r\nTE: 6\r\nTrailer: 7\r\n"+
		"Transfer-Encoding: chunked\r\nUpgrade: 8\r\nY: 9\r\n", HopByHop, "Host: a\r\nY: 9\r\n")
	if got := AppendFields(nil, nil, nil, 0); got != nil {
		t.Errorf("no fields: got %q", got)
	}
}

// TestNomination names RFC 9110 section 7.6.1: what Connection names ends here, but for what servers rely on.
func TestNomination(t *testing.T) {
	f := func(options string, want ...Kind) {
		t.Helper()
		r := parsed(t, "Foo: 1\r\nConnection: "+options+"\r\nHost: a\r\nFOO: 2\r\nBar_Baz: 3\r\nCookie: 4\r\nX-Forwarded-For: 5\r\nTE: 6\r\nDate: 7\r\n")
		got := []Kind{}
		for _, f := range r.Fields {
			got = append(got, f.Kind)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", options, got, want)
		}
		if r.Has(Nominated) != slices.Contains(want, Nominated) {
			t.Errorf("%s: Has(Nominated) is %v", options, r.Has(Nominated))
		}
	}
	f("close", Plain, Connection, Host, Plain, Underscored, Cookie, XForwardedFor, TE, Date)
	f("fOO", Nominated, Connection, Host, Nominated, Underscored, Cookie, XForwardedFor, TE, Date)
	f("x, bar_baz,\tfoo ,close, date", Nominated, Connection, Host, Nominated, Nominated, Cookie, XForwardedFor, TE, Nominated)
	f("host, cookie, x-forwarded-for, te, connection, upgrade, keep-alive, fo, fooo", Plain, Connection, Host, Plain, Underscored, Cookie, XForwardedFor, TE, Date)
	f("foo\r\nConnection: bar_baz", Nominated, Connection, Connection, Host, Nominated, Nominated, Cookie, XForwardedFor, TE, Date)
}

// TestNominationProtected has every name that a client must not be able to take away from what servers see.
func TestNominationProtected(t *testing.T) {
	for _, name := range []string{
		"Host", "Content-Length", "Authorization", "Cookie", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
		"X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP", "Via", "X-Request-ID", "Expect",
	} {
		value := map[string]string{"Content-Length": "1", "Expect": "100-continue"}[name]
		lines := name + ": " + value + "\r\nConnection: " + strings.ToLower(name) + "\r\n"
		if name == "Host" {
			lines = "Connection: host\r\n"
		}
		r := parsed(t, lines+"Host: a\r\n")
		if r.Has(Nominated) {
			t.Errorf("%s: nominated", name)
		}
	}
}

func TestNominationBound(t *testing.T) {
	list := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "x%d,", i)
		}
		return "Host: a\r\nConnection: close, keep-alive, te, host, " + b.String() + "\r\n"
	}
	parsed(t, list(maxNominations))
	var r Request
	_, err := r.Parse([]byte("GET / HTTP/1.1\r\n"+list(maxNominations+1)+"\r\n"), Limits{})
	if e := asError(err); e.Reason != "too_many_nominations" || e.Status != 400 {
		t.Errorf("got %v", err)
	}
}

func TestValue(t *testing.T) {
	r := parsed(t, "Host: a\r\nAuthorization:  Basic eA== \r\nCookie: 1\r\nCookie: 2\r\nDate: x\r\nConnection: date\r\n")
	f := func(k Kind, want string, has bool) {
		t.Helper()
		if got := r.Value(k); string(got) != want || r.Has(k) != has {
			t.Errorf("%d: got %q, %v", k, got, r.Has(k))
		}
	}
	f(Authorization, "Basic eA==", true)
	f(Cookie, "1", true)
	f(Via, "", false)
	f(Date, "", true)
	f(Nominated, "x", true)
}

func TestTextEnd(t *testing.T) {
	for n := range 40 {
		b := []byte(strings.Repeat("a", n) + "z")
		for c := range 256 {
			b[n] = byte(c)
			want := n + 1
			if c < ' ' && c != '\t' || c == 0x7f {
				want = n
			}
			for i := range n {
				if got := textEnd(b, i); got != want {
					t.Fatalf("%q from %d: got %d, want %d", b, i, got, want)
				}
			}
		}
	}
}

func TestSameFold(t *testing.T) {
	for n := range 3 {
		a := []byte(strings.Repeat("a", n) + "z")
		b := slices.Clone(a)
		for c := range 256 {
			for d := range 256 {
				a[n], b[n] = byte(c), byte(d)
				if got := sameFold(a, b); got != (lower[c] == lower[d]) {
					t.Fatalf("%q and %q: got %v", a, b, got)
				}
			}
		}
	}
	if sameFold([]byte("a"), []byte("ab")) {
		t.Error("names of different length are the same")
	}
}
