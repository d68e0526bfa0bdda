//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// median is NaN for nothing.
func median(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	of = slices.Sorted(slices.Values(of))
	return (of[(len(of)-1)/2] + of[len(of)/2]) / 2
}

// medianOf is the median of one figure over the measurements that succeeded.
func (s *series) medianOf(figure func(sample) float64) float64 {
	var list []float64
	for _, one := range s.Samples {
		if one.Error == "" {
			list = append(list, figure(one))
		}
	}
	return median(list)
}

func cpuOf(s sample) float64  { return s.CPU }
func rateOf(s sample) float64 { return s.Rate }
func p99Of(s sample) float64  { return s.P99 }

// better is what counts as 1.00 in a scenario: of the rivals the one with the lower median of CPU per request; without
// rivals the first.
func better(field []*series) *series {
	var best *series
	for _, s := range field {
		if s.rival && (best == nil || s.medianOf(cpuOf) < best.medianOf(cpuOf)) {
			best = s
		}
	}
	if best == nil {
		return field[0]
	}
	return best
}

// efficiencies are the base's CPU per request over our own, round by round: what disturbs a round disturbs both.
func (s *series) efficiencies(base *series) (list []float64) {
	for i := range s.Samples {
		if own, other := s.Samples[i], base.Samples[i]; own.Error == "" && other.Error == "" {
			list = append(list, other.CPU/own.CPU)
		}
	}
	return list
}

// printHandshakes prints what printScenario does, and besides how many handshakes a second of CPU is good for.
func printHandshakes(w io.Writer, name string, field []*series) {
	base := better(field)
	fmt.Fprintf(w, "\n%-10s %12s %12s %11s %14s %11s\n", name, "CPU us/shake", "per CPU-s", "efficiency", "(low - high)", "per s")
	for _, s := range field {
		list, cpu := s.efficiencies(base), s.medianOf(cpuOf)
		fmt.Fprintf(w, "%-10s %12.1f %12.0f %11.2f %14s %11.0f\n", s.Contestant, cpu, 1e6/cpu, median(list), spread(list), s.medianOf(rateOf))
	}
}

func printScenario(w io.Writer, name string, field []*series) {
	base := better(field)
	fmt.Fprintf(w, "\n%-10s %12s %11s %14s %11s %9s\n", name, "CPU us/req", "efficiency", "(low - high)", "req/s", "p99 ms")
	for _, s := range field {
		list := s.efficiencies(base)
		fmt.Fprintf(w, "%-10s %12.1f %11.2f %14s %11.0f %9.1f\n", s.Contestant, s.medianOf(cpuOf), median(list), spread(list),
			s.medianOf(rateOf), s.medianOf(p99Of))
	}
}

func spread(list []float64) string {
	if len(list) == 0 {
		return "not measured"
	}
	return fmt.Sprintf("(%.2f - %.2f)", slices.Min(list), slices.Max(list))
}

// printSummary prints the efficiencies as the Markdown table of the documentation.
func printSummary(w io.Writer, list []scenario, results [][]*series) {
	fmt.Fprint(w, "\nEfficiency: CPU per request (or handshake) of the better of nginx and HAProxy over the contestant's own, median of the rounds\n\n| |")
	for _, s := range list {
		fmt.Fprintf(w, " %s |", s.name)
	}
	fmt.Fprint(w, "\n|---|")
	for range list {
		fmt.Fprint(w, "---|")
	}
	fmt.Fprintln(w)
	for i, first := range results[0] {
		fmt.Fprintf(w, "| %s |", first.Contestant)
		for _, field := range results {
			fmt.Fprintf(w, " %.2f |", median(field[i].efficiencies(better(field))))
		}
		fmt.Fprintln(w)
	}
}

// writeJSON writes every measurement, failed ones too.
func writeJSON(path string, result any) error {
	out, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return os.WriteFile(path, append(out, '\n'), 0o600)
}
