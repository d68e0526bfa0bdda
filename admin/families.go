package admin

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"l7/metrics"
)

// families are all metrics of l7 by name; docs/metrics.md explains them. Labels are given in the order of the alphabet, which is
// the order that the registry wants.
type families struct {
	descs []*prometheus.Desc

	build, connections, generation, reloads, reloadSuccess, reloadTime, logDropped, certificate, nameResolved family

	requests, ended, duration, bytesIn, bytesOut                           family // by backend, the empty one included
	inFlight, up, servers, serversAvailable, retries, retriesDenied, queue family // by backend

	attempts, failures, header, serverInFlight, available, state, ejections family // by backend and server
	serverConnections, opened                                               family // by server
}

// family is one metric with all its series.
type family struct {
	desc *prometheus.Desc
	kind dto.MetricType
}

func newFamilies() *families {
	f := &families{}
	f.build = f.gauge("build_info", "Always 1; the labels say what was built, and with which Go.", "goversion", "version")
	f.connections = f.gauge("client_connections", "Open connections of clients, those that wait for a request too.")
	f.generation = f.gauge("config_generation", "Number of the config in force, counted from 1 at the start of the process.")
	f.reloads = f.counter("config_reloads_total", "Reloads that were tried, by what came of them.", "result")
	f.reloadSuccess = f.gauge("config_last_reload_success", "1 if the last reload was done or none was tried, 0 if it was refused and the config before it stays.")
	f.reloadTime = f.gauge("config_last_reload_timestamp_seconds", "When a reload was last tried, done or refused; missing before the first one.")
	f.logDropped = f.counter("access_log_dropped_total", "Lines of the access log that were lost because its writer could not keep up.")
	f.certificate = f.gauge("tls_certificate_not_after_timestamp_seconds", "Until when a certificate is valid that clients are shown, by its first name, if it has one.", "file", "name")
	f.nameResolved = f.gauge("name_resolved", "1 if the last lookup of a server's name worked; 0 if it failed, or a part of it, or none has ended: the addresses of before are used then, if there are any.", "name")
	f.backends()
	f.perServer()
	return f
}

func (f *families) backends() {
	f.requests = f.counter("requests_total", "Requests that have ended, by the class of the status that the client got; none: no answer.", "backend", "code")
	f.ended = f.counter("requests_ended_total", "Requests that have ended, by cause; ok: a server answered.", "backend", "cause")
	f.duration = f.add(dto.MetricType_HISTOGRAM, "request_duration_seconds", "Time from when the head of a request was complete to the last byte of its response, or to the end of its tunnel.", "backend")
	f.bytesIn = f.counter("request_body_bytes_total", "Bytes of bodies from clients, those of tunnels too.", "backend")
	f.bytesOut = f.counter("response_body_bytes_total", "Bytes of bodies to clients, those of tunnels too.", "backend")
	f.inFlight = f.gauge("requests_in_flight", "Requests that the servers of the backend have now.", "backend")
	f.up = f.gauge("backend_up", "0 while no server would be given a request: none is available or full; else 1.", "backend")
	f.servers = f.gauge("backend_servers", "Servers that the config names.", "backend")
	f.serversAvailable = f.gauge("backend_servers_available", "Servers that would get a request now.", "backend")
	f.retries = f.counter("backend_retries_total", "Attempts beside the first of each request.", "backend")
	f.retriesDenied = f.counter("backend_retries_denied_total", "Retries that were not made because retry.budget was used up.", "backend")
	f.queue = f.gauge("queue_waiting", "Requests that wait because every server is full.", "backend")
}

func (f *families) perServer() {
	f.attempts = f.counter("server_attempts_total", "Attempts at the server, by the class of the status it answered; none: no response.", "backend", "code", "server")
	f.failures = f.counter("server_failures_total", "Attempts that count against the server: no response, a broken one, or a status of eject.statuses.", "backend", "server")
	f.header = f.add(dto.MetricType_SUMMARY, "server_response_header_seconds", "Time from the start of an attempt to the head of its response.", "backend", "server")
	f.serverInFlight = f.gauge("server_in_flight", "Requests of the backend that the server has now.", "backend", "server")
	f.available = f.gauge("server_available", "1 if the server would get a request now, else 0; see l7_server_state for why.", "backend", "server")
	f.state = f.gauge("server_state", "1 for the state that the server is in; the others are missing.", "backend", "server", "state")
	f.ejections = f.counter("server_ejections_total", "How often the server was ejected.", "backend", "server")
	f.serverConnections = f.gauge("server_connections", "Open connections to the server, of all backends that have it.", "server", "state")
	f.opened = f.counter("server_connections_opened_total", "Connections to the server that were opened, by all backends that have it.", "server")
}

func (f *families) counter(name, help string, labels ...string) family {
	return f.add(dto.MetricType_COUNTER, name, help, labels...)
}

func (f *families) gauge(name, help string, labels ...string) family {
	return f.add(dto.MetricType_GAUGE, name, help, labels...)
}

func (f *families) add(kind dto.MetricType, name, help string, labels ...string) family {
	desc := prometheus.NewDesc("l7_"+name, help, labels, nil)
	f.descs = append(f.descs, desc)
	return family{desc, kind}
}

// labels are the values of a family's labels with their names, in the order of the family. They are not changed once they are made:
// all series of a server share them.
type labels []*dto.LabelPair

func label(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// sample is one counter or gauge at the time of a scrape. It is what prometheus.NewConstMetric returns, but takes its labels as they
// are: the scrape of 10,000 servers takes two thirds of the CPU time and of the memory that it would otherwise (BenchmarkScrape).
type sample struct {
	family
	labels labels
	value  float64
}

// Desc implements prometheus.Metric.
func (s *sample) Desc() *prometheus.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *sample) Write(out *dto.Metric) error {
	out.Label = s.labels
	if s.kind == dto.MetricType_COUNTER {
		out.Counter = &dto.Counter{Value: &s.value}
		return nil
	}
	out.Gauge = &dto.Gauge{Value: &s.value}
	return nil
}

// timing is one histogram, or summary without quantiles, at the time of a scrape.
type timing struct {
	family
	labels  labels
	seconds float64
	count   uint64
	buckets []*dto.Bucket // of a histogram, without the last one, which is count
}

// newTiming copies what it needs: the histogram may be written again.
func newTiming(f family, l labels, h *metrics.Histogram) *timing {
	t := &timing{family: f, labels: l, seconds: h.Seconds(), count: h.Count()}
	if f.kind == dto.MetricType_SUMMARY {
		return t
	}
	for bound, count := range h.Buckets {
		if !math.IsInf(bound, 1) {
			t.buckets = append(t.buckets, &dto.Bucket{UpperBound: &bound, CumulativeCount: &count})
		}
	}
	return t
}

// Desc implements prometheus.Metric.
func (t *timing) Desc() *prometheus.Desc { return t.desc }

// Write implements prometheus.Metric.
func (t *timing) Write(out *dto.Metric) error {
	out.Label = t.labels
	if t.kind == dto.MetricType_SUMMARY {
		out.Summary = &dto.Summary{SampleCount: &t.count, SampleSum: &t.seconds}
		return nil
	}
	out.Histogram = &dto.Histogram{SampleCount: &t.count, SampleSum: &t.seconds, Bucket: t.buckets}
	return nil
}
