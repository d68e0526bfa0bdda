package accesslog

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var moment = time.Date(2026, 3, 9, 7, 5, 1, 42_999_999, time.FixedZone("", 2*3600))

// usual is a request of a browser, with all that is known of one.
func usual() *Entry {
	return &Entry{
		Time: moment,
		ID:   []byte("0f2c9d6e"), Client: "2001:db8::7", User: "alice",
		Method: []byte("POST"), Host: []byte("shop.example"), Target: []byte("/cart?token=s3cret&n=1"), Proto: "HTTP/1.1",
		Status: 201, BytesIn: 17, BytesOut: 5120,
		Referer: []byte("https://shop.example/?q=a&token=x"), UserAgent: []byte("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/150.0"),
		Backend: "shop", Server: "10.0.0.3:8080", Attempts: 2,
		Queue: 1234567, Connect: 999, FirstByte: 20 * time.Millisecond, Total: 61*time.Second + 2*time.Millisecond,
	}
}

// hostile has in each value what could forge a line, a field or what a terminal shows.
func hostile() *Entry {
	return &Entry{
		Time: moment,
		ID:   []byte("a b"), Client: "-", User: "bob [01/Jan/2026:00:00:00 +0000] \"GET /",
		Method: []byte("GE\"T"), Host: []byte("h=\\"), Target: []byte("/\r\n{\"status\":200}\x00\xff"), Proto: "HTTP/1.1\n",
		Status: 400, BytesIn: -1,
		Referer:   []byte("\x1b[2J\x7f\t\v\f\b\x80\xc3"),
		UserAgent: []byte("\u2028\u0085\u202egnp\u00e9 \U0001f600\U000e0001\ufffd"),
		Backend:   "\"", Server: "", Cause: "bad_request", Total: -5,
	}
}

// record returns the lines that a log with these options writes.
func record(t testing.TB, o Options, entries ...*Entry) string {
	t.Helper()
	var out bytes.Buffer
	w, err := Open(standardOutput, &out)
	require.NoError(t, err)
	l := New(w, o)
	for _, e := range entries {
		l.Log(e, 3)
	}
	require.NoError(t, w.Close())
	require.Zero(t, w.Dropped())
	return out.String()
}

func all(format Format, redact ...string) Options {
	return Options{Format: format, Redact: redact, Sample: 1}
}

func TestLines(t *testing.T) {
	f := func(o Options, e *Entry, want string) {
		t.Helper()
		require.Equal(t, want+"\n", record(t, o, e))
	}
	f(all(JSON, "token"), usual(), `{"time":"2026-03-09T05:05:01.042Z","id":"0f2c9d6e","client":"2001:db8::7","user":"alice",`+
		`"method":"POST","host":"shop.example","path":"/cart?token=***&n=1","proto":"HTTP/1.1","status":201,"bytes_in":17,"bytes_out":5120,`+
		`"backend":"shop","server":"10.0.0.3:8080","attempts":2,"queue_ms":1.234,"connect_ms":0.000,"first_byte_ms":20.000,"total_ms":61002.000,`+
		`"referer":"https://shop.example/?q=a&token=***","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/150.0"}`)
	f(all(Logfmt, "token"), usual(), `time=2026-03-09T05:05:01.042Z id=0f2c9d6e client=2001:db8::7 user=alice `+
		`method=POST host=shop.example path="/cart?token=***&n=1" proto=HTTP/1.1 status=201 bytes_in=17 bytes_out=5120 `+
		`backend=shop server=10.0.0.3:8080 attempts=2 queue_ms=1.234 connect_ms=0.000 first_byte_ms=20.000 total_ms=61002.000 `+
		`referer="https://shop.example/?q=a&token=***" user_agent="Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/150.0"`)
	f(all(CLF, "token"), usual(), `2001:db8::7 - alice [09/Mar/2026:05:05:01 +0000] "POST /cart?token=***&n=1 HTTP/1.1" 201 5120 `+
		`"https://shop.example/?q=a&token=***" "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/150.0"`)

	f(all(JSON), hostile(), `{"time":"2026-03-09T05:05:01.042Z","id":"a b","client":"-","user":"bob [01/Jan/2026:00:00:00 +0000] \"GET /",`+
		`"method":"GE\"T","host":"h=\\","path":"/\u000d\u000a{\"status\":200}\u0000`+"\ufffd"+`","proto":"HTTP/1.1\u000a","status":400,"bytes_in":-1,"bytes_out":0,`+
		`"backend":"\"","attempts":0,"cause":"bad_request","queue_ms":0.000,"connect_ms":0.000,"first_byte_ms":0.000,"total_ms":0.000,`+
		`"referer":"\u001b[2J\u007f\u0009\u000b\u000c\u0008`+"\ufffd\ufffd"+`","user_agent":"\u2028\u0085\u202egnpé 😀\udb40\udc01`+"\ufffd"+`"}`)
	f(all(Logfmt), hostile(), `time=2026-03-09T05:05:01.042Z id="a b" client=- user="bob [01/Jan/2026:00:00:00 +0000] \"GET /" `+
		`method="GE\"T" host="h=\\" path="/\u000d\u000a{\"status\":200}\u0000`+"\ufffd"+`" proto="HTTP/1.1\u000a" status=400 bytes_in=-1 bytes_out=0 `+
		`backend="\"" attempts=0 cause=bad_request queue_ms=0.000 connect_ms=0.000 first_byte_ms=0.000 total_ms=0.000 `+
		`referer="\u001b[2J\u007f\u0009\u000b\u000c\u0008`+"\ufffd\ufffd"+`" user_agent="\u2028\u0085\u202egnpé 😀\udb40\udc01`+"\ufffd"+`"`)
	f(all(CLF), hostile(), `- - bob\x20[01/Jan/2026:00:00:00\x20+0000]\x20\"GET\x20/ [09/Mar/2026:05:05:01 +0000] `+
		`"GE\"T /\r\n{\"status\":200}\x00\xff HTTP/1.1\n" 400 - "\x1b[2J\x7f\t\v\x0c\b\x80\xc3" `+
		`"\xe2\x80\xa8\xc2\x85\xe2\x80\xaegnp\xc3\xa9 \xf0\x9f\x98\x80\xf3\xa0\x80\x81\xef\xbf\xbd"`)

	// A connection that ended before there was a request.
	empty := &Entry{Time: time.Unix(0, 0)}
	f(all(JSON), empty, `{"time":"1970-01-01T00:00:00.000Z","status":0,"bytes_in":0,"bytes_out":0,"attempts":0,`+
		`"queue_ms":0.000,"connect_ms":0.000,"first_byte_ms":0.000,"total_ms":0.000}`)
	f(all(Logfmt), empty, `time=1970-01-01T00:00:00.000Z status=0 bytes_in=0 bytes_out=0 attempts=0 `+
		`queue_ms=0.000 connect_ms=0.000 first_byte_ms=0.000 total_ms=0.000`)
	f(all(CLF), empty, `- - - [01/Jan/1970:00:00:00 +0000] "-" - - "-" "-"`)

	// A request line of which only some was understood.
	f(all(CLF), &Entry{Time: time.Unix(0, 0), Client: "::1", Method: []byte("GET"), Status: 400},
		`::1 - - [01/Jan/1970:00:00:00 +0000] "GET -" 400 - "-" "-"`)
}

// TestTimes checks that what is kept of one second is not taken for another.
func TestTimes(t *testing.T) {
	var c clock
	f := func(at time.Time) {
		t.Helper()
		c.set(at)
		require.Equal(t, at.UTC().Format("2006-01-02T15:04:05.000Z"), string(c.appendISO(nil)))
		require.Equal(t, at.UTC().Format("02/Jan/2006:15:04:05 -0700"), string(c.clf))
	}
	f(time.Unix(0, 0))
	f(time.Unix(0, 999_999_999))
	f(time.Unix(1, 0))
	f(time.Unix(0, 1_000_000))
	f(moment)
	f(moment.Add(time.Hour))
	f(time.Time{})
	f(time.Unix(-1, 7_000_000))
}

func TestDurations(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		require.Equal(t, want, string(appendMillis(nil, d)))
	}
	f(0, "0.000")
	f(999, "0.000")
	f(1000, "0.001")
	f(12345678, "12.345")
	f(time.Hour, "3600000.000")
	f(-time.Hour, "0.000")
	f(math.MaxInt64, "9223372036854.775")
}

func TestParseFormat(t *testing.T) {
	f := func(name string, want Format) {
		t.Helper()
		got, ok := ParseFormat(name)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	f("json", JSON)
	f("logfmt", Logfmt)
	f("clf", CLF)
	for _, name := range []string{"", "JSON", "combined"} {
		_, ok := ParseFormat(name)
		require.False(t, ok, name)
	}
}

func TestWhatIsLogged(t *testing.T) {
	f := func(o Options, e Entry, want bool) {
		t.Helper()
		require.Equal(t, want, New(nil, o).wants(&e))
	}
	const slow = time.Second
	f(Options{Sample: 1}, Entry{Status: 200}, true)
	f(Options{Sample: 1}, Entry{Status: 200, Total: -1}, true)
	f(Options{Sample: 2}, Entry{}, true)
	f(Options{}, Entry{Status: 200}, false)
	f(Options{}, Entry{Status: 499}, false)
	f(Options{}, Entry{Status: 500}, true)
	f(Options{}, Entry{Status: 404, Cause: "no_route"}, true)
	f(Options{Sample: math.NaN()}, Entry{Status: 200}, false)
	f(Options{Sample: 1, Slow: slow}, Entry{Status: 200, Total: slow - 1}, false)
	f(Options{Sample: 1, Slow: slow}, Entry{Status: 200, Total: slow}, true)
	f(Options{Sample: 1, Slow: slow}, Entry{Status: 503}, true)
	f(Options{Sample: 1, Slow: slow}, Entry{Status: 404, Cause: "no_route"}, false)
	f(Options{Slow: slow}, Entry{Status: 200, Total: slow}, false)
	f(Options{Slow: slow}, Entry{Status: 404, Total: slow, Cause: "no_route"}, true)
}

func TestSample(t *testing.T) {
	const n = 100_000
	l, logged := New(nil, Options{Sample: 0.25}), 0
	for range n {
		if l.wants(&Entry{Status: 200}) {
			logged++
		}
	}
	require.InDelta(t, n/4, logged, 1500) // eleven standard deviations
}

func TestLeftOutIsNotDropped(t *testing.T) {
	require.Empty(t, record(t, Options{}, usual()))
}

// TestOptionsAreCopied checks that a log stays as it was made.
func TestOptionsAreCopied(t *testing.T) {
	keys := []string{"token"}
	l := New(nil, all(CLF, keys...))
	keys[0] = "n"
	require.Contains(t, string(l.append(nil, usual(), &scratch{})), "token=***&n=1")
}

func TestAllocations(t *testing.T) {
	f := func(o Options) {
		t.Helper()
		w, err := Open(standardOutput, io.Discard)
		require.NoError(t, err)
		defer w.Close()
		l, e := New(w, o), usual()
		e.UserAgent = []byte("é\x00\xff")
		w.shard(1).lines = make([]byte, 0, 2*fullSize)
		require.Zero(t, testing.AllocsPerRun(500, func() { l.Log(e, 1) }))
	}
	f(all(JSON))
	f(all(JSON, "token", "n"))
	f(all(Logfmt, "token"))
	f(all(CLF, "token"))
	f(Options{Sample: 0.5})
}

// FuzzLine checks that an entry is one line of printable text, and that its values can be read back.
func FuzzLine(f *testing.F) {
	for _, e := range []*Entry{usual(), hostile(), {}} {
		f.Add(e.ID, e.Client, e.User, e.Method, e.Target, e.Proto, e.Referer, e.Cause, e.Status, e.BytesIn, int64(e.Total))
	}
	f.Fuzz(func(t *testing.T, id []byte, client, user string, method, target []byte, proto string, referer []byte, cause string,
		status int, bytesIn, total int64,
	) {
		e := &Entry{
			Time: moment, ID: id, Client: client, User: user, Method: method, Host: referer, Target: target, Proto: proto,
			Status: status, BytesIn: bytesIn, BytesOut: -bytesIn, Referer: referer, UserAgent: target,
			Backend: user, Server: client, Attempts: status, Cause: cause, Total: time.Duration(total), Queue: time.Duration(bytesIn),
		}
		want := wantFields(e)
		line := formatted(t, JSON, e)
		var got map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &got), "%q", line)
		require.Len(t, got, len(want)+9) // time, four counts and four durations
		for name, value := range want {
			require.Equal(t, value, got[name], name)
		}

		pairs := parseLogfmt(t, formatted(t, Logfmt, e))
		require.Len(t, pairs, len(want)+9)
		for name, value := range want {
			require.Equal(t, value, pairs[name], name)
		}

		words := parseCLF(t, formatted(t, CLF, e))
		require.Equal(t, []string{orDash(client), "-", orDash(user)}, words[:3])
		require.Equal(t, []string{orDash(string(referer)), orDash(string(target))}, words[8:])
	})
}

// formatted returns one line without its end, having checked that nothing in it can pass for another.
func formatted(t *testing.T, format Format, e *Entry) string {
	line, ok := strings.CutSuffix(string(New(nil, all(format)).append(nil, e, &scratch{})), "\n")
	require.True(t, ok)
	require.NotContains(t, line, "\n")
	require.False(t, strings.ContainsFunc(line, func(r rune) bool {
		return r < ' ' || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 || format == CLF && r > '~'
	}), "%q", line)
	return line
}

// wantFields is what can be read back of the texts: a byte that is no UTF-8 has become U+FFFD.
func wantFields(e *Entry) map[string]string {
	fields := map[string]string{
		"id": string(e.ID), "client": e.Client, "user": e.User, "method": string(e.Method), "host": string(e.Host),
		"path": string(e.Target), "proto": e.Proto, "backend": e.Backend, "server": e.Server, "cause": e.Cause,
		"referer": string(e.Referer), "user_agent": string(e.UserAgent),
	}
	for name, value := range fields {
		fields[name] = string([]rune(value))
		if value == "" {
			delete(fields, name)
		}
	}
	return fields
}

// parseLogfmt reads pairs of which a value may be quoted as in JSON.
func parseLogfmt(t *testing.T, line string) map[string]string {
	pairs := make(map[string]string)
	for line != "" {
		name, rest, ok := strings.Cut(line, "=")
		require.True(t, ok, "%q", line)
		require.NotContains(t, pairs, name)
		value, next := rest, ""
		if strings.HasPrefix(rest, `"`) {
			d := json.NewDecoder(strings.NewReader(rest))
			require.NoError(t, d.Decode(&value), "%q", rest)
			next = rest[d.InputOffset():]
			require.True(t, next == "" || next[0] == ' ', "%q", rest)
			next = strings.TrimPrefix(next, " ")
		} else {
			value, next, _ = strings.Cut(rest, " ")
		}
		pairs[name], line = value, next
	}
	return pairs
}

// parseCLF splits at spaces outside quotes and undoes the escapes: three words, two of the time, the request line, status,
// bytes, referer and user agent.
func parseCLF(t *testing.T, line string) []string {
	var words []string
	var word []byte
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			words, word = append(words, string(word)), nil
		case c == '\\':
			value, size := unescapeCLF(t, line[i:])
			word = append(word, value)
			i += size - 1
		default:
			word = append(word, c)
		}
	}
	require.False(t, quoted, "%q", line)
	words = append(words, string(word))
	require.Len(t, words, 10, "%q", line)
	return words
}

func unescapeCLF(t *testing.T, s string) (value byte, size int) {
	require.Greater(t, len(s), 1)
	switch s[1] {
	case 'x':
		require.Greater(t, len(s), 3)
		return digit(s[2])<<4 | digit(s[3]), 4
	case '"', '\\':
		return s[1], 2
	}
	i := strings.IndexByte("btnv.r", s[1])
	require.GreaterOrEqual(t, i, 0)
	return '\b' + byte(i), 2
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
