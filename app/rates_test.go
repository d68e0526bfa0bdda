package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"l7/config"
	"l7/metrics"
)

// A request is the same rate of its server, of its backend and of all, for as long as it is one of the last ten seconds. A bug had a window begin when
// its server or backend was first asked: that had one request a second where the other, or all, had a tenth.
func TestRatesAreOfTheSameTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.WriteFile(file, []byte("backends: {a.io: {servers: [10.0.0.1, 10.0.0.2]}}"), 0o600))
	plan, err := Prepare(Source{Args: config.Args{File: file}}, NewParts(Ignore))
	require.NoError(t, err)
	defer plan.Snapshot.Close()
	view := plan.Snapshot.Views()[0]

	r := newRates()
	seconds := 0
	pass := func(n int) {
		for range n {
			seconds++
			r.sample(r.began.Add(time.Duration(seconds)*time.Second), plan.Snapshot)
		}
	}
	ask := func(server int) {
		view.Cells.Observe(0, metrics.Request{Status: 200})
		view.Members()[server].Cells().Observe(0, 200, false, time.Millisecond)
	}
	requireRates := func(want float64, server int) {
		t.Helper()
		all, _ := r.ofAll()
		backend, _ := r.ofBackend(view.Name())
		rates := []float64{all.Requests, backend.Requests, r.ofServer(view.Members()[server].Standing).Requests}
		require.InDeltaSlice(t, []float64{want, want, want}, rates, 0.001, "after %d seconds", seconds)
	}
	pass(3)
	ask(0)
	pass(1)
	requireRates(0.25, 0) // it is not ten seconds old
	pass(30)
	requireRates(0, 0)
	ask(1) // for the first time
	for range 10 {
		pass(1)
		requireRates(0.1, 1)
	}
	pass(1)
	requireRates(0, 1)
}
