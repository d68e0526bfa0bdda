package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"l7/admin/api"
)

func TestWhy(t *testing.T) {
	r := newRunning(t)
	server := api.Server{
		Address: "http://10.0.0.9:80", State: "unhealthy", Reason: "status 503, want 200-399", Weight: 1, Attempts: 20, Failures: 1,
		Changed: time.Now().Add(-2*time.Hour - 30*time.Second),
	}
	list := []api.History{
		{Backend: "web", Server: server, Changes: []api.Event{
			{Time: at("15:00:00"), State: "healthy"},
			{Time: at("15:57:30"), State: "unhealthy", Reason: "status 503, want 200-399"},
		}},
		{Backend: "api", Server: api.Server{
			Address: "http://10.0.0.9:80", State: "available", Weight: 2, Attempts: 7, Failures: 7,
			DrainedUntil: time.Now().Add(time.Hour + 30*time.Second),
			LastFailure:  &api.Failure{Time: time.Now().Add(-3*time.Second - 30*time.Millisecond), Reason: "connect_refused: connection refused"},
		}},
	}
	r.answers[api.PathHistory] = list
	want := "http://10.0.0.9:80 in web: unhealthy, for 2h00m: status 503, want 200-399\n" +
		"weight 1, 0 in flight, 20 attempts, 1 failure\n" +
		"  " + moment(at("15:00:00")) + "  healthy\n" +
		"  " + moment(at("15:57:30")) + "  unhealthy: status 503, want 200-399\n" +
		"\nhttp://10.0.0.9:80 in api: available; undrained in 1h00m\n" +
		"weight 2, 0 in flight, 7 attempts, 7 failures\n" +
		"the last attempt failed 3s ago: connect_refused: connection refused\n" +
		"  its state has not changed since l7 was started\n"
	assert.Equal(t, ran{0, want, ""}, r.ask("why", "10.0.0.9:80"))
	r.ask("why", "10.0.0.9:80", "--backend", "web")
	assert.Equal(t, []string{"GET /api/history?backend=&server=10.0.0.9%3A80", "GET /api/history?backend=web&server=10.0.0.9%3A80"}, r.told())
	assert.Contains(t, r.ask("why", "10.0.0.9:80", "--json").stdout, "\n    \"backend\": \"web\",\n")

	r.answers[api.PathHistory] = &api.Error{Message: "there is no server 10.0.0.7:80"}
	assert.Equal(t, ran{1, "", "l7: there is no server 10.0.0.7:80\n"}, r.ask("why", "10.0.0.7:80"))
}

func TestExplainLive(t *testing.T) {
	r := newRunning(t)
	r.answers[api.PathExplain] = map[string]any{"request": "POST /x HTTP/1.1", "client": "10.1.1.1", "backend": "api", "status": 200}
	got := r.ask("explain", "POST", "http://example.com/x", "-H", "A: b", "--from", "10.1.1.1")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "request     POST /x HTTP/1.1\n")
	assert.Contains(t, got.stdout, "outcome     passed on\n")
	assert.Equal(t, []string{`POST /api/explain {"method":"POST","url":"http://example.com/x","fields":["A: b"],"from":"10.1.1.1"}`}, r.told())
	got = run([]string{"L7_ADMIN__SOCKET=" + r.socket}, "explain", "--live", "http://example.com/x", "--json")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "\n  \"backend\": \"api\",\n")
	assert.Equal(t, exitUsage, r.ask("explain", "nonsense").code)
}
