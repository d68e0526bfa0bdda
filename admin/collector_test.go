package admin

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
	"l7/auth"
	"l7/balancer"
	"l7/cause"
	"l7/config"
	"l7/exchange"
	"l7/metrics"
	"l7/server"
)

// fakeSource has a real snapshot, and cells that nobody but the test counts in.
type fakeSource struct {
	snapshot     *server.Snapshot
	done, failed uint64
	last         time.Time
	ok           bool
}

func (s *fakeSource) Snapshot() *server.Snapshot     { return s.snapshot }
func (s *fakeSource) Connections() int               { return 5 }
func (s *fakeSource) LogDropped() uint64             { return 7 }
func (s *fakeSource) Reloads() (done, failed uint64) { return s.done, s.failed }
func (s *fakeSource) LastReload() (time.Time, bool)  { return s.last, s.ok }
func (s *fakeSource) Names() []api.Name {
	return []api.Name{{Name: "web.lab", Known: true}, {Name: "old.lab", Known: true, Error: "SERVFAIL"}}
}

func (s *fakeSource) Certificates() []api.Certificate {
	return []api.Certificate{{Names: []string{"a.io", "b.io"}, File: "a.pem", Until: time.Unix(2e9, 0)}, {File: "unnamed.pem", Until: time.Unix(1e9, 0)}}
}

func (s *fakeSource) view(name string) server.View             { v, _ := s.snapshot.View(name); return v }
func (s *fakeSource) member(i int, of string) *balancer.Member { return s.view(of).Members()[i] }

// newSource is a source with the backends of a config.
func newSource(t testing.TB, lines ...string) *fakeSource {
	t.Helper()
	file := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	loaded, err := config.Load(config.Args{File: file}, nil)
	require.NoError(t, err)
	pools := exchange.NewPools()
	parts := server.Parts{
		Registry: balancer.NewRegistry(pools, func(balancer.Change) {}), Verifier: auth.NewVerifier(), Pools: pools,
		Limiters: server.NewLimiters(), Cells: server.NewCells(),
	}
	snapshot, findings := server.NewSnapshot(&loaded.Config, parts)
	require.Empty(t, findings)
	t.Cleanup(snapshot.Close)
	snapshot.Generation = 3
	return &fakeSource{snapshot: snapshot}
}

// scraped are the series of a scrape by what stands before their value.
func scraped(t testing.TB, h http.Handler) map[string]string {
	t.Helper()
	series := map[string]string{}
	for line := range strings.Lines(scrapeText(t, h)) {
		if !strings.HasPrefix(line, "#") {
			space := strings.LastIndexByte(line, ' ')
			series[line[:space]] = strings.TrimSpace(line[space:])
		}
	}
	return series
}

func scrapeText(t testing.TB, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	return w.Body.String()
}

// ours are the series of l7 itself, without the buckets of histograms.
func ours(series map[string]string) map[string]string {
	own := map[string]string{}
	for name, value := range series {
		if strings.HasPrefix(name, "l7_") && !strings.Contains(name, "_bucket{") {
			own[name] = value
		}
	}
	return own
}

const twoBackends = `backends:
  a.io: {servers: ['127.0.0.1:1', '127.0.0.1:2']}
  b.io: {servers: ['127.0.0.1:1']}`

// TestMetrics is the whole page of a process with two backends that share a server.
func TestMetrics(t *testing.T) {
	s := newSource(t, twoBackends)
	s.done, s.failed, s.last = 4, 1, time.UnixMilli(1700000000500)
	a, m := s.view("a.io"), s.member(0, "a.io")
	a.Cells.Observe(0, metrics.Request{Status: 200, Took: 2 * time.Second, BytesIn: 10, BytesOut: 100})
	a.Cells.Observe(1, metrics.Request{Status: 502, Cause: uint8(cause.ConnectRefused), Took: time.Millisecond})
	a.Cells.Observe(2, metrics.Request{Cause: uint8(cause.ClientGone), Took: time.Millisecond})
	s.snapshot.Cells().Nowhere().Observe(0, metrics.Request{Status: 404, Cause: uint8(cause.NoRoute)})
	m.Cells().Observe(0, 200, false, 500*time.Millisecond)
	m.Cells().Observe(0, 302, false, 500*time.Millisecond)
	m.Cells().Observe(1, 0, true, time.Second)
	s.member(1, "a.io").Drain(true)

	series := scraped(t, NewMetrics(s, "v1"))
	want := map[string]string{
		`l7_build_info{goversion="` + runtime.Version() + `",version="v1"}`:          "1",
		`l7_tls_certificate_not_after_timestamp_seconds{file="a.pem",name="a.io"}`:   "2e+09",
		`l7_tls_certificate_not_after_timestamp_seconds{file="unnamed.pem",name=""}`: "1e+09", // there was none of it, and so no alert
		`l7_name_resolved{name="web.lab"}`:                                           "1", `l7_name_resolved{name="old.lab"}`: "0",
		"l7_client_connections": "5", "l7_config_generation": "3", "l7_access_log_dropped_total": "7",
		`l7_config_reloads_total{result="done"}`: "4", `l7_config_reloads_total{result="refused"}`: "1",
		"l7_config_last_reload_success": "0", "l7_config_last_reload_timestamp_seconds": "1.7000000005e+09",
	}
	backend := func(name string, codes [6]int, more ...string) {
		for class, code := range []string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
			want[fmt.Sprintf("l7_requests_total{backend=%q,code=%q}", name, code)] = fmt.Sprint(codes[class])
		}
		for i := 0; i < len(more); i += 2 {
			first, labels, _ := strings.Cut(more[i], "{")
			want[fmt.Sprintf("l7_%s{backend=%q%s}", first, name, strings.TrimSuffix(labels, "}"))] = more[i+1]
		}
	}
	backend("a.io", [6]int{1, 0, 1, 0, 0, 1}, "requests_ended_total{,cause=\"ok\"}", "1", "requests_ended_total{,cause=\"connect_refused\"}", "1",
		"requests_ended_total{,cause=\"client_gone\"}", "1", "request_duration_seconds_sum", "2.002", "request_duration_seconds_count", "3",
		"request_body_bytes_total", "10", "response_body_bytes_total", "100", "requests_in_flight", "0", "backend_up", "1", "backend_servers", "2",
		"backend_servers_available", "1", "backend_retries_total", "0", "backend_retries_denied_total", "0", "queue_waiting", "0")
	backend("b.io", [6]int{}, "requests_ended_total{,cause=\"ok\"}", "0", "request_duration_seconds_sum", "0", "request_duration_seconds_count", "0",
		"request_body_bytes_total", "0", "response_body_bytes_total", "0", "requests_in_flight", "0", "backend_up", "1", "backend_servers", "1",
		"backend_servers_available", "1", "backend_retries_total", "0", "backend_retries_denied_total", "0", "queue_waiting", "0")
	backend("", [6]int{0, 0, 0, 0, 1, 0}, "requests_ended_total{,cause=\"ok\"}", "0", "requests_ended_total{,cause=\"no_route\"}", "1",
		"request_duration_seconds_sum", "0", "request_duration_seconds_count", "1", "request_body_bytes_total", "0", "response_body_bytes_total", "0")
	placed := func(backend, address, state string, values ...string) {
		pair := fmt.Sprintf("backend=%q,server=%q}", backend, address)
		for i, name := range []string{"available", "in_flight", "ejections_total", "failures_total", "response_header_seconds_sum", "response_header_seconds_count"} {
			want["l7_server_"+name+"{"+pair] = values[i]
		}
		want[fmt.Sprintf("l7_server_state{backend=%q,server=%q,state=%q}", backend, address, state)] = "1"
		for _, code := range []string{"2xx", "5xx"} {
			want[fmt.Sprintf("l7_server_attempts_total{backend=%q,code=%q,server=%q}", backend, code, address)] = "0"
		}
	}
	one, two := m.Name(), s.member(1, "a.io").Name()
	placed("a.io", one, "available", "1", "0", "0", "1", "1", "2")
	placed("a.io", two, "draining", "0", "0", "0", "0", "0", "0")
	placed("b.io", one, "available", "1", "0", "0", "0", "0", "0")
	for _, code := range []string{"none", "2xx", "3xx"} {
		want[fmt.Sprintf("l7_server_attempts_total{backend=%q,code=%q,server=%q}", "a.io", code, one)] = "1"
	}
	for _, address := range []string{one, two} {
		want[fmt.Sprintf("l7_server_connections{server=%q,state=\"idle\"}", address)] = "0"
		want[fmt.Sprintf("l7_server_connections{server=%q,state=\"busy\"}", address)] = "0"
		want[fmt.Sprintf("l7_server_connections_opened_total{server=%q}", address)] = "0"
	}
	assert.Equal(t, want, ours(series))
	assert.Equal(t, "2", series[`l7_request_duration_seconds_bucket{backend="a.io",le="0.001"}`])
	assert.Equal(t, "2", series[`l7_request_duration_seconds_bucket{backend="a.io",le="1"}`])
	assert.Equal(t, "3", series[`l7_request_duration_seconds_bucket{backend="a.io",le="2.5"}`])
	assert.Equal(t, "3", series[`l7_request_duration_seconds_bucket{backend="a.io",le="+Inf"}`])
	for _, name := range []string{"go_goroutines", "process_open_fds", `promhttp_metric_handler_errors_total{cause="gathering"}`} {
		assert.Contains(t, series, name)
	}
}

// Before any reload there is none that failed, and no time of one.
func TestMetricsOfReloads(t *testing.T) {
	f := func(last time.Time, ok bool, success, at string) {
		t.Helper()
		s := newSource(t, twoBackends)
		s.last, s.ok = last, ok
		series := scraped(t, NewMetrics(s, ""))
		assert.Equal(t, success, series["l7_config_last_reload_success"])
		assert.Equal(t, at, series["l7_config_last_reload_timestamp_seconds"])
	}
	f(time.Time{}, false, "1", "")
	f(time.Unix(1e9, 0), true, "1", "1e+09")
	f(time.Unix(1e9, 0), false, "0", "1e+09")
}

// With more than 1,000 backends an idle one is told of in short, with a word more where a server is not available, and whole as soon as it
// has had a request.
func TestManyBackends(t *testing.T) {
	s := newSource(t, backends(manyBackends+1, 1)...)
	s.member(0, "b1.io").Drain(true)
	s.view("b2.io").Cells.Observe(0, metrics.Request{Status: 200})
	series := ours(scraped(t, NewMetrics(s, "")))
	f := func(backend string, count int, up, available string) {
		t.Helper()
		n := 0
		for name := range series {
			if strings.Contains(name, fmt.Sprintf("backend=%q", backend)) {
				n++
			}
		}
		assert.Equal(t, count, n, backend)
		assert.Equal(t, up, series[fmt.Sprintf("l7_backend_up{backend=%q}", backend)])
		assert.Equal(t, available, series[fmt.Sprintf("l7_backend_servers_available{backend=%q}", backend)])
	}
	f("b0.io", 1, "1", "")
	f("b1.io", 3, "0", "0")
	f("b2.io", 27, "1", "1")
}

// Scrapes may go on at the same time, while all is counted and drained.
func TestConcurrentScrapes(t *testing.T) {
	s := newSource(t, backends(20, 5)...)
	h := NewMetrics(s, "")
	var busy, scrapes sync.WaitGroup
	stop := make(chan struct{})
	busy.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			v := s.view(fmt.Sprintf("b%d.io", n%20))
			v.Cells.Observe(uint(n), metrics.Request{Status: 200 + n%400, Cause: uint8(n % 30), Took: time.Duration(n)})
			v.Members()[n%5].Cells().Observe(uint(n), 200, n%3 == 0, time.Duration(n))
			v.Members()[n%5].Drain(n%2 == 0)
		}
	})
	for range maxScrapes {
		scrapes.Go(func() {
			for range 10 {
				series := scraped(t, h)
				assert.Equal(t, "0", series[`promhttp_metric_handler_errors_total{cause="gathering"}`])
				assert.Contains(t, series, `l7_backend_up{backend="b19.io"}`)
			}
		})
	}
	scrapes.Wait()
	close(stop)
	busy.Wait()
}

// backends are the lines of a config with n backends of so many servers, each with an address of its own.
func backends(n, servers int) []string {
	lines := []string{"backends:"}
	for i := range n {
		var list []string
		for j := range servers {
			address := i*servers + j
			list = append(list, fmt.Sprintf("'10.%d.%d.%d:80'", address>>16, address>>8&255, address&255))
		}
		lines = append(lines, fmt.Sprintf("  b%d.io: {servers: [%s]}", i, strings.Join(list, ", ")))
	}
	return lines
}

// BenchmarkScrape is what docs/metrics.md has its figures from. All has been asked at least once, except where it is idle.
func BenchmarkScrape(b *testing.B) {
	f := func(name string, backendCount, servers int, idle bool) {
		b.Run(name, func(b *testing.B) {
			s := newSource(b, backends(backendCount, servers)...)
			for _, v := range s.snapshot.Views() {
				for _, m := range v.Members() {
					if !idle {
						v.Cells.Observe(0, metrics.Request{Status: 200, Took: time.Millisecond})
						m.Cells().Observe(0, 200, false, time.Millisecond)
					}
				}
			}
			scrapeOften(b, NewMetrics(s, "v1"))
		})
	}
	f("10_backends_with_3_servers", 10, 3, false)
	f("1000_backends_with_1_server", 1000, 1, false)
	f("1000_servers_in_1_backend", 1, 1000, false)
	f("10000_servers_in_100_backends", 100, 100, false)
	f("100000_idle_backends", 100_000, 1, true)
}

func scrapeOften(b *testing.B, h http.Handler) {
	for _, encoding := range []string{"", "gzip"} {
		b.Run("encoding="+encoding, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept-Encoding", encoding)
			var text bytes.Buffer
			for b.Loop() {
				text.Reset()
				h.ServeHTTP(&answer{header: http.Header{}, body: &text}, r)
			}
			b.ReportMetric(float64(text.Len()), "bytes")
			b.ReportMetric(float64(bytes.Count(text.Bytes(), []byte("\n"))), "lines")
		})
	}
}

// answer is a response that keeps no copy of its header.
type answer struct {
	header http.Header
	body   io.Writer
}

func (a *answer) Header() http.Header               { return a.header }
func (a *answer) WriteHeader(int)                   {}
func (a *answer) Write(p []byte) (n int, err error) { return a.body.Write(p) }
