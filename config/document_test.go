package config

import (
	"bytes"
	"strings"
	"testing"
)

func TestSyntaxErrorLine(t *testing.T) {
	f := func(line int, text string) {
		t.Helper()
		_, got, err := parseDocument([]byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), "this is not YAML: ") || got != line {
			t.Errorf("%.50q: line %d, %v; want line %d", text, got, err, line)
		}
	}
	f(1, "{")
	f(1, "a: b: c")
	f(3, "a: 1\nb: 2\n@")
	f(4, "users:\n  a: b\n  c: d\n e: f\ng: h\n")
	f(2, "a: 1\nb: [1,\nc: 2\n")
	f(3, "a: [1,\n  2]\nb: [1,\nc: 2\n")
	f(6, "a: [1,\n 2,\n 3,\n 4]\nb: 1\n c: 1\nd: 1\n")
	f(2, "a: 1\nb: \"\\q\"\nc: 2\n")
	f(2, "a: 1\nb: *nobody\nc: 1\n")
	f(3, "---\na: 1\n{\n")
	f(1, "a: \x01\n")
	f(5001, strings.Repeat("- x\n", 5000)+"- [\n- y\n")
}

// A file that nearly always looks broken must not be parsed without end in search of the line.
func TestSyntaxErrorOfALongFile(t *testing.T) {
	text := strings.Repeat("- [1,\n2]\n", 1000) + "'"
	if _, line, err := parseDocument([]byte(text)); err == nil || line == 0 {
		t.Errorf("line %d, %v", line, err)
	}
}

// A large mapping is checked for repeated keys in linear time; the parser's own check takes 30 s for this.
func TestManyKeys(t *testing.T) {
	data := manyBackends(20_000)
	loaded, err := loadText(data)
	if err != nil || len(loaded.Config.Backends) != 20_000 {
		t.Fatal(err)
	}
	again := append(bytes.Clone(data), "  host7.example.com: {servers: a}\n"...)
	_, err = loadText(again)
	want := "l7.yml:60004:3: backends.host7.example.com: the key is given twice; first at l7.yml:25:3"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
