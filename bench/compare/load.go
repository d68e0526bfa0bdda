//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

const wrkThreads = 2

// scenario is one kind of request.
type scenario struct {
	name   string
	path   string
	answer []byte // the whole response body
	upload int    // bytes of a POST; 0 is a GET

	handshake bool // is no request at all, but a connection that does its TLS handshake and closes
	resume    bool // a session, in place of a full handshake
}

func scenarios() []scenario {
	file := func(name string, size int) scenario {
		return scenario{name: name, path: "/" + strconv.Itoa(size), answer: content(size)}
	}
	return []scenario{
		file("100B", tinyFile),
		file("10KiB", smallFile),
		file("64KiB", largeFile),
		file("1MiB", hugeFile),
		{name: "POST64KiB", path: "/", answer: []byte("ok"), upload: 64 << 10},
		{name: "full", handshake: true},
		{name: "resumed", handshake: true, resume: true},
	}
}

func scenarioNames() (names []string) {
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// usual are the scenarios without -only: those of HTTP, or those that say what TLS costs.
func usual(secure bool) string {
	if secure {
		return "100B,64KiB,full,resumed"
	}
	return "100B,10KiB,64KiB,1MiB,POST64KiB"
}

// chosen are the scenarios of -only.
func chosen(only string, secure bool) ([]scenario, error) {
	if only == "" {
		only = usual(secure)
	}
	var list []scenario
	for _, name := range strings.Split(only, ",") {
		i := slices.IndexFunc(scenarios(), func(s scenario) bool { return strings.EqualFold(s.name, name) })
		if i < 0 {
			return nil, fmt.Errorf("-only: no scenario %q; there are %s", name, strings.Join(scenarioNames(), ", "))
		}
		if scenarios()[i].handshake && !secure {
			return nil, fmt.Errorf("-only: %q wants -tls", name)
		}
		list = append(list, scenarios()[i])
	}
	return list, nil
}

// request is the scenario's request as our own client makes it.
func (s scenario) request() []byte {
	if s.upload == 0 {
		return get(s.path, 0)
	}
	return append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n", s.path, s.upload), content(s.upload)...)
}

// script is what wrk runs. It has no function that is called for each request, so it costs the load nothing.
func (s scenario) script() string {
	post := ""
	if s.upload > 0 {
		post = fmt.Sprintf("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", %d)\n", s.upload)
	}
	return post + `
function done(s, latency)
  io.write(string.format('\nRESULT {"requests":%d,"bytes":%d,"us":%d,"p99us":%d,"failed":%d}\n', s.requests, s.bytes, s.duration,
    latency:percentile(99), s.errors.connect + s.errors.read + s.errors.write + s.errors.status + s.errors.timeout))
end
`
}

// sample is one measurement.
type sample struct {
	Requests int64   `json:"requests"`
	CPU      float64 `json:"cpu_us_per_request"`
	Rate     float64 `json:"requests_per_second"`
	P99      float64 `json:"p99_ms"`
	Error    string  `json:"error,omitempty"` // what follows from a failed measurement is left out
}

// series are a contestant's samples in one scenario, one for each round.
type series struct {
	Scenario   string   `json:"scenario"`
	Contestant string   `json:"contestant"`
	Samples    []sample `json:"samples"`
	rival      bool
}

// measureCPU runs all scenarios and prints the tables. A failed measurement is an error in the end, but lets the others go on.
func (l *lab) measureCPU(ctx context.Context, o options, field []*contestant, w io.Writer) (any, error) {
	list, err := chosen(o.only, o.tls)
	if err != nil {
		return nil, err
	}
	if _, err := find("wrk"); err != nil {
		return nil, err
	}
	var (
		origins = origins{lab: l, w: w}
		results [][]*series
		failed  []error
	)
	if o.tls {
		if origins.secure, err = l.newIdentity(); err != nil {
			return nil, err
		}
	}
	for _, s := range list {
		running, err := origins.front(ctx, s, o, field)
		if err != nil {
			return results, err
		}
		result, err := l.rounds(ctx, s, o, running)
		if ctx.Err() != nil {
			return results, context.Cause(ctx)
		}
		failed = append(failed, err)
		results = append(results, result)
		if s.handshake {
			printHandshakes(w, s.name, result)
		} else {
			printScenario(w, s.name, result)
		}
	}
	printSummary(w, list, results)
	return results, errors.Join(failed...)
}

// origins starts each origin, and the contestants in front of it, when the first scenario wants them.
type origins struct {
	lab          *lab
	secure       *identity // with -tls
	w            io.Writer // is told what was negotiated
	files, sinks []*instance
}

// front are the contestants, running, in front of the origin that the scenario wants.
func (os *origins) front(ctx context.Context, s scenario, o options, field []*contestant) (running []*instance, err error) {
	kept, start := &os.files, os.lab.startFiles
	if s.upload > 0 {
		kept, start = &os.sinks, os.lab.startSink
	}
	if *kept != nil {
		return *kept, nil
	}
	origin, err := start(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range field {
		i, err := os.lab.launch(ctx, c, setup{origin: origin, connections: o.connections, forwarding: o.forwarding, secure: os.secure})
		if err != nil {
			return nil, err
		}
		*kept = append(*kept, i)
	}
	if os.secure != nil {
		return *kept, printNegotiated(ctx, *kept, os.w)
	}
	return *kept, nil
}

// rounds measures a scenario: after a short warm-up every contestant once in each round. Who begins changes from round to round.
func (l *lab) rounds(ctx context.Context, s scenario, o options, field []*instance) ([]*series, error) {
	script, err := l.write("wrk.lua", s.script())
	if err != nil {
		return nil, err
	}
	var (
		list   = make([]*series, len(field))
		failed []error
	)
	for i, c := range field {
		list[i] = &series{Scenario: s.name, Contestant: c.contestant.name, Samples: make([]sample, o.rounds), rival: c.rival}
		if err := c.verify(s); err != nil {
			failed = append(failed, fmt.Errorf("%s, %s: %w", s.name, c.contestant.name, err))
		}
		_, _ = c.measure(ctx, s, script, options{connections: o.connections, duration: time.Second}) // to warm up; its errors will show
	}
	for round := range o.rounds {
		for turn := range field {
			i := (round + turn) % len(field)
			got, err := field[i].measure(ctx, s, script, o)
			if err != nil {
				err = fmt.Errorf("%s, round %d, %s: %w", s.name, round+1, list[i].Contestant, err)
				got.Error = err.Error()
				failed = append(failed, err)
			}
			list[i].Samples[round] = got
		}
	}
	return list, errors.Join(failed...)
}

// verify makes one request and looks at every byte of the answer. Handshakes are looked at one by one while they are measured.
func (i *instance) verify(s scenario) error {
	if s.handshake {
		return nil
	}
	return i.once(s.request(), s.answer)
}

// measure loads a contestant once.
func (i *instance) measure(ctx context.Context, s scenario, script string, o options) (got sample, err error) {
	if s.handshake {
		return i.shakeHands(ctx, s.resume, o)
	}
	before, err := i.cpu()
	if err != nil {
		return got, err
	}
	cmd := exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(wrkThreads), "-c", strconv.Itoa(o.connections),
		"-d", strconv.Itoa(int(o.duration/time.Second)), "--timeout", "20s", "--latency", "-s", script, i.secure.scheme()+"://"+i.addr+s.path)
	i.secure.pin(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return got, fmt.Errorf("cannot run wrk: %w: %s", err, out)
	}
	after, err := i.cpu()
	if err == nil {
		err = i.check()
	}
	if err != nil {
		return got, err
	}
	return result(out, after-before, len(s.answer))
}

// result makes a sample of what wrk printed and the CPU time that was used meanwhile.
func result(out []byte, cpu time.Duration, size int) (got sample, err error) {
	var said struct{ Requests, Bytes, Us, P99us, Failed int64 }
	_, line, _ := bytes.Cut(out, []byte("\nRESULT "))
	if err := json.Unmarshal(line, &said); err != nil {
		return got, fmt.Errorf("cannot read what wrk says: %w: %s", err, out)
	}
	switch {
	case said.Failed > 0:
		return got, fmt.Errorf("%d of %d requests failed", said.Failed, said.Requests)
	case said.Requests == 0 || said.Us == 0:
		return got, errors.New("no request came through")
	case said.Bytes < said.Requests*int64(size):
		return got, fmt.Errorf("%d responses had %d bytes together, less than %d each", said.Requests, said.Bytes, size)
	case cpu == 0:
		return got, errors.New("the CPU time used is too short to be measured")
	}
	return sample{
		Requests: said.Requests,
		CPU:      float64(cpu.Microseconds()) / float64(said.Requests),
		Rate:     float64(said.Requests) / float64(said.Us) * 1e6,
		P99:      float64(said.P99us) / 1e3,
	}, nil
}
