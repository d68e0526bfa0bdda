package app

import (
	"sync"
	"time"

	"l7/balancer"
	"l7/metrics"
	"l7/server"
)

const (
	sampleEvery = time.Second
	rateSpan    = 10 * time.Second // what rates and quantiles are of
	chartPoints = 301              // of a backend: five minutes, a point each second
	fewServers  = 1000             // more of them are looked at every fewer seconds, and kept in less memory
	rareSample  = 5                // seconds
)

// rates knows what passed in the last seconds: it adds up the cells once a second. All methods may be called concurrently.
type rates struct {
	began time.Time // when nothing had passed yet

	mu       sync.Mutex // guards all below
	seconds  int
	total    *metrics.Window
	backends map[string]*metrics.Window
	servers  map[*balancer.Standing]*metrics.Window

	sum, all metrics.Sum // kept, for they are large
	attempts metrics.ServerSum
}

func newRates() *rates {
	r := &rates{began: time.Now(), backends: map[string]*metrics.Window{}, servers: map[*balancer.Standing]*metrics.Window{}}
	r.total = r.newWindow(chartPoints, 12, r.began.Add(sampleEvery), sampleEvery)
	return r
}

// newWindow is a window of what has counted for the first time since the sample before. It has samples of nothing for as far back as rates go, or
// the process: those of a server and of its backend are of the same time, whoever came first.
func (r *rates) newWindow(points, histograms int, at time.Time, every time.Duration) *metrics.Window {
	w, nothing := metrics.NewWindow(points, histograms), metrics.Sample{Latency: &metrics.Histogram{}}
	for ago := rateSpan; ago > 0; ago -= every {
		sampled := at.Add(-ago)
		if sampled.Before(r.began) {
			sampled = r.began // a window takes it once
		}
		w.Add(sampled, nothing)
	}
	return w
}

// sample takes a sample of all that has counted anything, and forgets what is not in the config any more.
func (r *rates) sample(at time.Time, snapshot *server.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	views := snapshot.Views()
	r.all = metrics.Sum{}
	backends := make(map[string]*metrics.Window, len(r.backends))
	count := 0
	for _, v := range views {
		count += len(v.Members())
		if v.Cells.IsEmpty() {
			continue
		}
		w := r.backends[v.Name()]
		if w == nil {
			w = r.newWindow(chartPoints, 12, at, sampleEvery)
		}
		backends[v.Name()] = w
		v.Cells.Sum(&r.sum)
		r.all.Add(&r.sum)
		w.Add(at, r.sum.Sample())
	}
	snapshot.Cells().Nowhere().Sum(&r.sum)
	r.all.Add(&r.sum)
	r.total.Add(at, r.all.Sample())
	r.backends = backends
	if count <= fewServers || r.seconds%rareSample == 0 {
		r.sampleServers(at, views, count)
	}
	r.seconds++
}

// sampleServers is sample for the servers, of which there may be many. r.mu is held.
func (r *rates) sampleServers(at time.Time, views []server.View, count int) {
	size, every := int(rateSpan/sampleEvery)+2, sampleEvery
	if count > fewServers {
		size, every = int(rateSpan/sampleEvery)/rareSample+1, rareSample*sampleEvery
	}
	servers := make(map[*balancer.Standing]*metrics.Window, len(r.servers))
	for _, v := range views {
		for _, m := range v.Members() {
			if m.Cells().IsEmpty() {
				continue
			}
			w := r.servers[m.Standing]
			if w == nil {
				w = r.newWindow(size, size, at, every)
			}
			servers[m.Standing] = w
			m.Cells().Sum(&r.attempts)
			w.Add(at, r.attempts.Sample())
		}
	}
	r.servers = servers
}

// ofServer is what a server did in the last seconds; nothing where nothing is known.
func (r *rates) ofServer(s *balancer.Standing) metrics.Rates {
	r.mu.Lock()
	defer r.mu.Unlock()
	return recent(r.servers[s])
}

// ofBackend is what a backend did in the last seconds, and each second before.
func (r *rates) ofBackend(name string) (now metrics.Rates, series []metrics.Rates) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.backends[name]
	if w == nil {
		return now, nil
	}
	return recent(w), w.Series(nil)
}

// ofAll is what all did in the last seconds, and each second before.
func (r *rates) ofAll() (now metrics.Rates, series []metrics.Rates) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return recent(r.total), r.total.Series(nil)
}

func recent(w *metrics.Window) metrics.Rates {
	if w == nil {
		return metrics.Rates{}
	}
	rates, _ := w.Over(rateSpan)
	return rates
}
