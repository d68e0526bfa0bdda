package route

import (
	"fmt"
	"testing"
)

// benchTable has n hosts: of each ten, seven exact ones, two wildcards and one with five prefixes.
func benchTable(b *testing.B, n int) *Table {
	b.Helper()
	var rules []Rule
	add := func(s string) {
		k, err := ParseKey(s)
		if err != nil {
			b.Fatal(err)
		}
		rules = append(rules, Rule{Key: k, Backend: len(rules)})
	}
	for i := range n {
		switch i % 10 {
		case 7, 8:
			add(fmt.Sprintf("*.w%d.example.com", i))
		case 9:
			for _, prefix := range []string{"", "/api", "/api/v2", "/static", "/a/deep/one"} {
				add(fmt.Sprintf("p%d.example.com%s", i, prefix))
			}
		default:
			add(fmt.Sprintf("h%d.example.com", i))
		}
	}
	t, err := New(rules)
	if err != nil {
		b.Fatal(err)
	}
	return t
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		t := benchTable(b, n)
		base := n / 20 * 10
		for _, c := range []struct{ name, host, path string }{
			{"exact", fmt.Sprintf("h%d.example.com", base), "/index.html"},
			{"wildcard", fmt.Sprintf("a.b.w%d.example.com", base+7), "/index.html"},
			{"prefix", fmt.Sprintf("p%d.example.com", base+9), "/api/v2/users/12345/orders"},
			{"prefix_encoded", fmt.Sprintf("p%d.example.com", base+9), "//api/%762/users/12345/orders"},
			{"prefix_miss", fmt.Sprintf("p%d.example.com", base+9), "/other/users/12345/orders"},
			{"miss", "a.b.unknown.example.org", "/index.html"},
		} {
			host, path := []byte(c.host), []byte(c.path)
			b.Run(fmt.Sprintf("hosts=%d/%s", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, _ = t.Lookup(host, path)
				}
			})
			b.Run(fmt.Sprintf("hosts=%d/%s/parallel", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						_, _ = t.Lookup(host, path)
					}
				})
			})
		}
	}
}

// BenchmarkLookupSpread asks a big table, which the processor's caches do not hold, for another host each time;
// three of ten are not in it.
func BenchmarkLookupSpread(b *testing.B) {
	const n = 100_000
	t := benchTable(b, n)
	hosts := make([][]byte, n)
	for i := range hosts {
		hosts[i] = fmt.Appendf(nil, "h%d.example.com", i*7919%n)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		_, _ = t.Lookup(hosts[i%n], []byte("/"))
		i++
	}
}

func BenchmarkNormalizeHost(b *testing.B) {
	dst := make([]byte, 0, maxHost)
	for _, host := range []string{"Www.Example.com:8080", "[2001:db8::1]:8080", "not a host"} {
		in := []byte(host)
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = NormalizeHost(dst, in)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		benchTable(b, 100_000)
	}
}
