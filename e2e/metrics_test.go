package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// needed finds a program of Debian's package prometheus.
func needed(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err, "this test asks the real Prometheus: apt-get install -y prometheus")
	return path
}

// deployed is the path of a file that is handed to users.
func deployed(name string) string { return filepath.Join("..", "deploy", name) }

// TestMetricsByPrometheus asks Prometheus itself: whether the metrics are well named, whether it accepts the example config and the
// alerts, and then, while it scrapes an l7 in trouble, every query of the dashboard and of the alerts.
func TestMetricsByPrometheus(t *testing.T) {
	promtool, prometheus := needed(t, "promtool"), needed(t, "prometheus")
	l, admin := startTroubled(t)

	scrape := newClient(t, admin).get("http://" + admin + "/metrics").is(http.StatusOK).body
	checked := program{path: promtool, args: []string{"check", "metrics"}, stdin: stdin(scrape)}.run(t)
	require.Zero(t, checked.code, "%s%s", checked.stdout, checked.stderr)
	require.Empty(t, checked.stdout+checked.stderr)

	p := startPrometheus(t, prometheus, promtool, admin)
	for _, e := range append(dashboardQueries(t), alertQueries(t)...) {
		p.requireData(e)
	}
	for _, alert := range p.rules() {
		assert.Equal(t, "ok", alert.Health, "%s: %s", alert.Name, alert.LastError)
	}
	assert.NotContains(t, scrape, secret)
	require.False(t, l.hasEnded())
}

// startTroubled starts an l7 that has every trouble there is an alert for, but those that are named in alertQueries, under load until
// the test ends. It returns the address of the metrics as well.
func startTroubled(t *testing.T) (l *l7, admin string) {
	t.Helper()
	servers := startActors(t, 3)
	full := servers[2]
	ending := pairOf(newAuthority(t).sign("ending", hence(time.Hour), "ending.io"))
	l = startFile(t, "listen: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: {certificates: ["+ending+"]}}]",
		"admin: {listen: '127.0.0.1:0', socket: 'off'}",
		"resolver: '127.0.0.1:"+freePort(t)+"'", "backends:",
		"  fine.io: {servers: ["+servers[0].address+", "+servers[1].address+"]}",
		"  cut.io: {servers: ["+servers[0].address+", "+servers[1].address+"], eject: {after: 0}, retry: {budget: 1%}}",
		"  down.io: {servers: [127.0.0.1:"+freePort(t)+", 127.0.0.1:"+freePort(t)+"], users: {bob: "+secret+"}}",
		"  lost.io: {servers: ['http://lost.test']}",
		"  bad.io: {servers: [127.0.0.1:"+freePort(t)+", 127.0.0.1:"+freePort(t)+"]}",
		"  full.io: {servers: [{address: '"+full.address+"', max_in_flight: 1}], queue: {length: 10, timeout: 0s}}")
	admin = l.awaitLog("admin listening", 1).field("address")
	for _, addr := range l.listening(2) {
		if strings.HasPrefix(addr, "127.0.0.1:") {
			l.client = newClient(t, addr)
		}
	}

	hold(t, l, "/?hold=1")
	full.awaitInFlight(1)
	hold(t, l, "/") // waits for as long as the test takes
	l.rewrite("nonsense: 1")
	l.signal(syscall.SIGHUP)
	l.awaitLog("cannot reload; the config in force stays", 1)

	var load sync.WaitGroup
	stop := make(chan struct{})
	for _, path := range []string{
		"fine.io/", "fine.io/?size=1000", "fine.io/?status=500", "fine.io/?delay=1200ms", "bad.io/", "nowhere.io/",
		"cut.io/?abort=1", "cut.io/?abort=1", "cut.io/?abort=1", "cut.io/?abort=1",
	} {
		load.Go(func() { repeat(l.client, "http://"+path, stop) })
	}
	t.Cleanup(func() {
		close(stop)
		load.Wait()
		full.tell("release")
	})
	return l, admin
}

// hold sends a request to full.io and does not wait for the answer.
func hold(t *testing.T, l *l7, target string) {
	t.Helper()
	_, err := io.WriteString(l.connect(), "GET "+target+" HTTP/1.1\r\nHost: full.io\r\n\r\n")
	require.NoError(t, err)
}

// repeat sends a request some twenty times a second, whatever the answer is.
func repeat(c *client, url string, stop <-chan struct{}) {
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		_, _ = c.try(call{method: http.MethodGet, url: url})
		select {
		case <-stop:
			return
		case <-pause.C:
		}
	}
}

// prometheus is a running Prometheus.
type prometheus struct {
	*process
	*client
	t testing.TB
}

// startPrometheus starts Prometheus with the config of deploy/, in which only the times and the address are others.
func startPrometheus(t *testing.T, binary, promtool, admin string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"prometheus.yml", "alerts.yml"} {
		text, err := os.ReadFile(deployed("prometheus/" + name))
		require.NoError(t, err)
		changed := strings.NewReplacer("127.0.0.1:9901", admin, "_interval: 15s", "_interval: 250ms").Replace(string(text))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o600))
	}
	config := filepath.Join(dir, "prometheus.yml")
	checked := program{path: promtool, args: []string{"check", "config", config}}.run(t) // and the rules that it names
	require.Zero(t, checked.code, "%s%s", checked.stdout, checked.stderr)
	address := "127.0.0.1:" + freePort(t)
	p := &prometheus{t: t, client: newClient(t, address)}
	p.process = start(t, program{path: binary, dir: dir, args: []string{
		"--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address,
	}})
	p.await("Prometheus is ready", func() bool {
		got, err := p.try(call{url: "http://prometheus/-/ready"})
		return err == nil && got.StatusCode == http.StatusOK
	})
	return p
}

// query is an expression as a dashboard or an alert has it.
type query struct {
	where, expr string
	quiet       bool // there need be no answer: the trouble that it looks for cannot be made here
}

// variables are those of the dashboard, and what Grafana would put in their place.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$backend", ".*")

func dashboardQueries(t *testing.T) (queries []query) {
	t.Helper()
	text, err := os.ReadFile(deployed("grafana/l7.json"))
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expr := variables.Replace(target.Expr)
			require.NotContains(t, expr, "$", panel.Title)
			queries = append(queries, query{where: "panel " + panel.Title, expr: expr})
		}
	}
	require.Greater(t, len(queries), 20)
	return queries
}

func alertQueries(t *testing.T) (queries []query) {
	t.Helper()
	text, err := os.ReadFile(deployed("prometheus/alerts.yml"))
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, rule := range file.Groups[0].Rules {
		assert.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		requireRunbook(t, rule.Annotations["action"])
		queries = append(queries, query{"alert " + rule.Alert, rule.Expr, rule.Alert == "L7Down" || rule.Alert == "L7AccessLogDropped"})
	}
	require.Len(t, queries, 12)
	return queries
}

var section = regexp.MustCompile(`docs/operations\.md, (Log|Runbook|Taking a server out)`)

// requireRunbook requires that an alert says where to read on, and that this is there.
func requireRunbook(t *testing.T, action string) {
	t.Helper()
	operations, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	require.NoError(t, err)
	found := section.FindStringSubmatch(action)
	require.NotNil(t, found, action)
	require.Contains(t, string(operations), "\n## "+found[1]+"\n")
}

// metricName finds the metrics of an expression.
var metricName = regexp.MustCompile(`\b(l7|go|process)_[a-z0-9_]+|\bup\b`)

// requireData requires that Prometheus has an answer to a query, or, to one that is to stay quiet, none; and that each metric in it is
// there, so that no name is mistyped.
func (p *prometheus) requireData(q query) {
	p.t.Helper()
	for _, name := range metricName.FindAllString(q.expr, -1) {
		p.await(fmt.Sprintf("%s: the metric %s", q.where, name), func() bool { return p.ask(q.where, name) > 0 })
	}
	if q.quiet {
		require.Zero(p.t, p.ask(q.where, q.expr), q.where)
		return
	}
	p.await(fmt.Sprintf("%s: data for %s", q.where, q.expr), func() bool { return p.ask(q.where, q.expr) > 0 })
}

// ask returns how many series a query is answered with.
func (p *prometheus) ask(where, expr string) int {
	p.t.Helper()
	got := p.get("http://prometheus/api/v1/query?query=" + url.QueryEscape(expr))
	var answer struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	require.NoError(p.t, json.Unmarshal([]byte(got.body), &answer), got.body)
	require.Equal(p.t, "success", answer.Status, "%s: %s: %s", where, expr, answer.Error)
	return len(answer.Data.Result)
}

// rule is an alert as Prometheus has it.
type rule struct{ Name, Health, LastError string }

// rules are all of them, once each was evaluated.
func (p *prometheus) rules() (rules []rule) {
	p.t.Helper()
	p.await("every rule is evaluated", func() bool {
		var answer struct {
			Data struct{ Groups []struct{ Rules []rule } }
		}
		got := p.get("http://prometheus/api/v1/rules").is(http.StatusOK)
		require.NoError(p.t, json.Unmarshal([]byte(got.body), &answer))
		rules = nil
		for _, group := range answer.Data.Groups {
			rules = append(rules, group.Rules...)
		}
		return len(rules) > 0 && !strings.Contains(got.body, `"health":"unknown"`)
	})
	return rules
}
