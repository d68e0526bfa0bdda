package admin

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"l7/admin/api"
	"l7/balancer"
	"l7/cause"
	"l7/metrics"
	"l7/server"
)

// Source is what metrics are made of. All methods may be called concurrently.
type Source interface {
	// Snapshot is the one in force.
	Snapshot() *server.Snapshot
	// Connections is the number of open client connections.
	Connections() int
	// LogDropped is how many lines of the access log were lost.
	LogDropped() uint64
	// Reloads are how many reloads were done and refused.
	Reloads() (done, failed uint64)
	// LastReload is when a reload was last tried, and whether it was done; the zero time where there was none.
	LastReload() (at time.Time, ok bool)
	// Names are those that servers are known by, each once.
	Names() []api.Name
	// Certificates are those that clients are shown.
	Certificates() []api.Certificate
}

const (
	// manyBackends is how many backends are shown whole. With more of them, of one that has not had a request it is told only whether
	// it is up, and how many of its servers are available where not all are: of 100,000 backends most are idle, and a scrape would be
	// 300 MB.
	manyBackends = 1000
	// maxScrapes is how many are answered at a time, since each takes memory for all series; one more is answered 503.
	maxScrapes = 8
)

// NewMetrics returns a handler that answers with all metrics of the process as Prometheus text: those of l7, of the Go runtime and of the
// operating system. It counts nothing itself: every scrape adds up the cells anew.
func NewMetrics(source Source, version string) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(source, version),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		Registry: registry, // counts what could not be collected,
		// which is no reason to keep the rest back: at night all the figures that there are count.
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		CoalesceGather:      true, // who asks while another scrape is made up gets that one
	})
}

// collector implements prometheus.Collector. It has no state of its own; scrapes may go on at the same time.
type collector struct {
	source  Source
	version string
	*families
	codes        []*dto.LabelPair // by the first digit of the status
	causes       []*dto.LabelPair // by cause.Cause
	idle, busy   *dto.LabelPair
	done, failed labels
}

func newCollector(source Source, version string) *collector {
	c := &collector{
		source: source, version: version, families: newFamilies(), idle: label("state", "idle"), busy: label("state", "busy"),
		done: labels{label("result", "done")}, failed: labels{label("result", "refused")},
		codes: []*dto.LabelPair{label("code", "none")},
	}
	for class := 1; class < len(metrics.Sum{}.Classes); class++ {
		c.codes = append(c.codes, label("code", strconv.Itoa(class)+"xx"))
	}
	for _, word := range cause.All() {
		c.causes = append(c.causes, label("cause", word.String()))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	snapshot := c.source.Snapshot()
	views := snapshot.Views()
	s := &scrape{collector: c, out: out, at: balancer.Now(), sparse: len(views) > manyBackends, seen: map[*balancer.Server]struct{}{}}
	s.process(snapshot)
	for _, v := range views {
		s.backend(v)
	}
	s.traffic(labels{label("backend", "")}, snapshot.Cells().Nowhere())
}

// scrape is one collection, by one goroutine.
type scrape struct {
	*collector
	out    chan<- prometheus.Metric
	at     time.Duration // what the states of the servers are of
	sparse bool          // idle backends are shown in short
	seen   map[*balancer.Server]struct{}

	sum      metrics.Sum // kept, for they are large
	attempts metrics.ServerSum
}

func (s *scrape) put(f family, l labels, value float64) {
	s.out <- &sample{family: f, labels: l, value: value}
}

// certificates tells of each once: two of one name would spoil the whole scrape.
func (s *scrape) certificates() {
	told := map[[2]string]bool{}
	for _, c := range s.source.Certificates() {
		name := ""
		if len(c.Names) > 0 {
			name = c.Names[0]
		}
		if told[[2]string{c.File, name}] {
			continue
		}
		told[[2]string{c.File, name}] = true
		s.put(s.certificate, labels{label("file", c.File), label("name", name)}, float64(c.Until.Unix()))
	}
}

func (s *scrape) process(snapshot *server.Snapshot) {
	s.put(s.build, labels{label("goversion", runtime.Version()), label("version", s.version)}, 1)
	s.put(s.connections, nil, float64(s.source.Connections()))
	s.put(s.generation, nil, float64(snapshot.Generation))
	s.certificates()
	for _, n := range s.source.Names() {
		s.put(s.nameResolved, labels{label("name", n.Name)}, number(n.Error == ""))
	}
	s.put(s.logDropped, nil, float64(s.source.LogDropped()))
	done, refused := s.source.Reloads()
	s.put(s.reloads, s.done, float64(done))
	s.put(s.reloads, s.failed, float64(refused))
	at, ok := s.source.LastReload()
	s.put(s.reloadSuccess, nil, number(ok || at.IsZero()))
	if !at.IsZero() {
		s.put(s.reloadTime, nil, float64(at.UnixMilli())/1000)
	}
}

// backend tells of a backend and its servers.
func (s *scrape) backend(v server.View) {
	l := labels{label("backend", v.Name())}
	brief := s.sparse && v.Cells.IsEmpty()
	available, inFlight := 0, 0
	for _, m := range v.Members() {
		state := m.State(s.at)
		if state == balancer.Available {
			available++
		}
		if brief {
			continue
		}
		s.server(l[0], m, state)
		inFlight += m.InFlight()
	}
	s.put(s.up, l, number(!v.IsDown()))
	if brief && available == len(v.Members()) {
		return
	}
	s.put(s.servers, l, float64(len(v.Members())))
	s.put(s.serversAvailable, l, float64(available))
	if brief {
		return
	}
	counts := v.Counts()
	s.put(s.inFlight, l, float64(inFlight))
	s.put(s.retries, l, float64(counts.Retries))
	s.put(s.retriesDenied, l, float64(counts.Unaffordable))
	s.put(s.queue, l, float64(v.Waiting()))
	s.traffic(l, v.Cells)
}

// traffic tells of the requests of a backend. Status classes are all there from the beginning, since nobody sees a counter that
// appears increase; of the causes, which are many, only those that have happened.
func (s *scrape) traffic(l labels, cells *metrics.Backend) {
	cells.Sum(&s.sum)
	for class, n := range s.sum.Classes {
		s.put(s.requests, labels{l[0], s.codes[class]}, float64(n))
	}
	for i, pair := range s.causes {
		if n := s.sum.Causes[i]; n > 0 || cause.Cause(i) == cause.None {
			s.put(s.ended, labels{l[0], pair}, float64(n))
		}
	}
	s.out <- newTiming(s.duration, l, &s.sum.Latency)
	s.put(s.bytesIn, l, float64(s.sum.BytesIn))
	s.put(s.bytesOut, l, float64(s.sum.BytesOut))
}

// server tells of a server in a backend.
func (s *scrape) server(backend *dto.LabelPair, m *balancer.Member, state balancer.State) {
	address := label("server", m.Name())
	l := labels{backend, address}
	s.put(s.available, l, number(state == balancer.Available))
	s.put(s.state, labels{backend, address, label("state", string(state))}, 1)
	s.put(s.serverInFlight, l, float64(m.InFlight()))
	s.put(s.ejections, l, float64(m.Ejections()))
	m.Cells().Sum(&s.attempts)
	failures := uint64(0)
	for class, failed := range s.attempts.Failed {
		failures += failed
		// There may be 10,000 servers: of the classes only what a rate is asked of, and what has happened.
		if n := s.attempts.Answered[class] + failed; n > 0 || class == 2 || class == 5 {
			s.put(s.collector.attempts, labels{backend, s.codes[class], address}, float64(n))
		}
	}
	s.put(s.failures, l, float64(failures))
	s.out <- newTiming(s.header, l, &s.attempts.Latency)
	s.pool(m.Server, address)
}

// pool tells of the connections to a server, which all backends that have it share: once.
func (s *scrape) pool(to *balancer.Server, address *dto.LabelPair) {
	if _, again := s.seen[to]; again {
		return
	}
	s.seen[to] = struct{}{}
	idle := to.Idle()
	s.put(s.serverConnections, labels{address, s.idle}, float64(idle))
	s.put(s.serverConnections, labels{address, s.busy}, float64(max(to.Connections()-idle, 0)))
	s.put(s.opened, labels{address}, float64(to.Opened()))
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
