package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyHosts is a config of n hosts with two servers each, none of which exists. The host in the middle has the one that does.
func manyHosts(n int, server string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nbackends:\n", listenAnywhere)
	for i := range n {
		fmt.Fprintf(&b, "  host%d.example.com:\n    servers:\n", i)
		if i == n/2 {
			fmt.Fprintf(&b, "      - address: 'http://%s'\n", server)
			continue
		}
		address := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&0xff, i&0xff)
		fmt.Fprintf(&b, "      - address: 'http://%s:8081'\n      - address: '//%[1]s:8082'\n", address)
	}
	return b.String()
}

func middle(n int) string { return fmt.Sprintf("http://host%d.example.com/", n/2) }

func TestThousandHosts(t *testing.T) {
	t.Parallel()
	const n = 1000
	server := startUpstream(t, "a")
	l := run{config: manyHosts(n, server.address)}.start(t)
	l.get(middle(n)).from("a")
	l.get("http://host1000.example.com/").refusedFor(404, "no_route")
	changes := l.reload(strings.Replace(manyHosts(n, server.address), "host0.", "zero.", 1))
	assert.Equal(t, "backend host0.example.com: removed; backend zero.example.com: added", changes)
	l.get(middle(n)).from("a")
}

// BenchmarkStart measures the time from exec to the first answer of a server, of a binary as it is released.
// The promises: under 100 ms for 10 hosts, under 2 s for 100,000.
//
//	go test -run '^$' -bench Start -benchtime 10x ./e2e/
func BenchmarkStart(b *testing.B) {
	binary, err := built.released()
	require.NoError(b, err)
	server := startUpstream(b, "a")
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			r := run{binary: binary, config: manyHosts(n, server.address)}
			var total, worst time.Duration
			for b.Loop() {
				began := time.Now()
				l := r.start(b)
				l.get(middle(n)).from("a")
				took := time.Since(began)
				l.kill()
				total, worst = total+took, max(worst, took)
			}
			b.ReportMetric(float64(total.Milliseconds())/float64(b.N), "ms/start")
			b.ReportMetric(float64(worst.Milliseconds()), "ms-worst")
			b.ReportMetric(0, "ns/op") // it counts the end of the processes too
		})
	}
}
