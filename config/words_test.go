package config

import (
	"encoding"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wordType is a pointer to a value with a grammar of its own.
type wordType[T any] interface {
	*T
	encoding.TextUnmarshaler
	fmt.Stringer
}

// reads wants text to be the value, and the value to be that text again.
func reads[T any, P wordType[T]](t *testing.T, text string, want T) {
	t.Helper()
	var got T
	require.NoError(t, P(&got).UnmarshalText([]byte(text)))
	require.Equal(t, want, got)
	require.Equal(t, text, P(&got).String())
}

// refuses wants an error, and the value left as it was.
func refuses[T any, P wordType[T]](t *testing.T, text, message string) {
	t.Helper()
	var got, zero T
	require.ErrorContains(t, P(&got).UnmarshalText([]byte(text)), message, "%q", text)
	require.Equal(t, zero, got, "%q", text)
}

func TestStatusRange(t *testing.T) {
	good, bad := reads[StatusRange], refuses[StatusRange]
	good(t, "200", StatusRange{200, 200})
	good(t, "200-399", StatusRange{200, 399})
	good(t, "100-599", StatusRange{100, 599})
	for _, text := range []string{"", "-", "99", "600", "0200", "+200", "-200", "200-", "-200-300", "399-200", "200-600", "200 - 300", "2xx", "200-300-400", "２００"} {
		bad(t, text, "is not a status")
	}
	require.Empty(t, StatusRange{}.String())
}

func TestStatusRangeContainsItsEnds(t *testing.T) {
	f := func(r StatusRange, status int, want bool) {
		t.Helper()
		require.Equal(t, want, r.Contains(status))
	}
	f(StatusRange{200, 399}, 199, false)
	f(StatusRange{200, 399}, 200, true)
	f(StatusRange{200, 399}, 399, true)
	f(StatusRange{200, 399}, 400, false)
	f(StatusRange{503, 503}, 503, true)
	f(StatusRange{}, 200, false)
}

func TestPercent(t *testing.T) {
	good, bad := reads[Percent], refuses[Percent]
	good(t, "0%", 0)
	good(t, "20%", 20)
	good(t, "100%", 100)
	bad(t, "20", "has no unit; write 20%")
	for _, text := range []string{"", "%", "101%", "-1%", "-0%", "+1%", "1.5%", "020%", "20 %", "20%%", "all", "99999999999999999999%"} {
		bad(t, text, "is not a share")
	}
}

func TestRate(t *testing.T) {
	good, bad := reads[Rate], refuses[Rate]
	good(t, "", Rate{})
	good(t, "1/s", Rate{1, time.Second})
	good(t, "600/m", Rate{600, time.Minute})
	good(t, "1000000000/h", Rate{1_000_000_000, time.Hour})
	for _, text := range []string{
		"100", "100/", "/s", "0/s", "-1/s", "+1/s", "010/s", "1.5/s", "1e3/s", "100/d", "100/1s", "100/S", "100 / s", "100/s ", "100/s/s", "1000000001/s",
	} {
		bad(t, text, "is not a rate")
	}
}

func TestHashOn(t *testing.T) {
	good, bad := reads[HashOn], refuses[HashOn]
	good(t, "client_ip", HashOn{Part: "client_ip"})
	good(t, "path", HashOn{Part: "path"})
	good(t, "header:X-User", HashOn{"header", "X-User"})
	good(t, "cookie:session_id", HashOn{"cookie", "session_id"})
	bad(t, "client_ip:x", "takes no name")
	bad(t, "path:", "takes no name")
	bad(t, "header", "names no header; want header:NAME")
	bad(t, "header:", "names no header")
	bad(t, "header: X-User", "names no header")
	bad(t, "header:a:b", "names no header")
	bad(t, "cookie:a b", "names no cookie; want cookie:NAME")
	bad(t, "cookie:ä", "names no cookie")
	for _, text := range []string{"", "ip", "Path", "query:x", ":x", " path"} {
		bad(t, text, "want client_ip, path, header:NAME or cookie:NAME")
	}
	require.Empty(t, HashOn{}.String())
}

func TestIsTokenTakesTheNamesOfFields(t *testing.T) {
	for c := range 256 {
		text := string([]byte{'a', byte(c)})
		letter := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		mark := c > ' ' && c < 0x7f && !letter
		for _, delimiter := range `"(),/:;<=>?@[\]{}` { // RFC 9110 section 5.6.2
			mark = mark && c != int(delimiter)
		}
		require.Equal(t, letter || mark, isToken(text), "%q", text)
	}
	require.False(t, isToken(""))
}

func TestExpectTarget(t *testing.T) {
	f := func(request, method, url string) {
		t.Helper()
		gotMethod, target, err := Expect{Request: request}.Target()
		require.NoError(t, err)
		require.Equal(t, []string{method, url}, []string{gotMethod, target.String()})
	}
	f("https://example.com", "GET", "https://example.com")
	f("HTTP://example.com/a%2Fb?c=d", "GET", "http://example.com/a%2Fb?c=d")
	f("POST http://[::1]:8080/x", "POST", "http://[::1]:8080/x")
	// Each is refused; what stands before an '@' is not shown, nor is anything else.
	for _, request := range []string{
		"", "GET", "GET ", " http://a.io", "GET  http://a.io", "GET http://a.io /", "GET http://a.io/\t", "GET\thttp://a.io", "GET /hunter2",
		"a.io", "ws://a.io", "http:a.io", "http://", "http://:80", "http://hunter2@a.io", "http://a.io:hunter2", "http://a.io/%zz", "G:T http://a.io",
	} {
		_, _, err := Expect{Request: request}.Target()
		require.Error(t, err, "%q", request)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
