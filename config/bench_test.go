package config

import (
	"bytes"
	"fmt"
	"testing"
)

// manyBackends is a file of n backends with one server each.
func manyBackends(n int) []byte {
	var file bytes.Buffer
	file.WriteString("port: 80\nusers: {alice: secret}\nbackends:\n")
	for i := range n {
		fmt.Fprintf(&file, "  host%d.example.com:\n    servers:\n      - address: 'http://10.%d.%d.%d:8081'\n", i, i>>16, i>>8&255, i&255)
	}
	return file.Bytes()
}

// BenchmarkLoad100k loads 100,000 backends; most of the time is the YAML parser's.
func BenchmarkLoad100k(b *testing.B) {
	data := manyBackends(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := loadText(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse100k(b *testing.B) {
	data := manyBackends(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parseDocument(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDump100k includes the origin of every value.
func BenchmarkDump100k(b *testing.B) {
	loaded, err := loadText(manyBackends(100_000))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := loaded.Dump(&bytes.Buffer{}, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad10(b *testing.B) {
	data := manyBackends(10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := loadText(data); err != nil {
			b.Fatal(err)
		}
	}
}
