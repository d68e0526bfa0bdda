package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// FuzzLoad loads any text as the file. Either every problem has a place in it, or the config's dump, with
// the passwords put back, loads as an equal config with an equal dump. No password shows in any of them.
func FuzzLoad(f *testing.F) {
	names, err := filepath.Glob("testdata/*/*.yml")
	if err != nil || names == nil {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		loaded, err := loadText(data)
		if err != nil {
			checkPlaces(t, data, err)
			checkHidden(t, data, err.Error())
			return
		}
		text := dump(t, loaded)
		checkHidden(t, data, text+dumpOrigins(t, loaded))
		again, err := loadText(putBack(t, text, &loaded.Config))
		if err != nil {
			t.Fatalf("the dump does not load: %v\n%s", err, text)
		}
		if !reflect.DeepEqual(loaded.Config, again.Config) {
			t.Fatalf("the dump loads as another config:\n%+v\n%+v\n%s", loaded.Config, again.Config, text)
		}
		if twice := dump(t, again); twice != text {
			t.Fatalf("the dump's dump is another:\n%s\n%s", text, twice)
		}
		if diff := Diff(&loaded.Config, &again.Config); diff != nil {
			t.Fatalf("there is a difference: %q", diff)
		}
	})
}

func dump(t *testing.T, loaded *Loaded) string {
	var out bytes.Buffer
	if err := loaded.Dump(&out, false); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// dumpOrigins checks that the comments do not change what the dump says.
func dumpOrigins(t *testing.T, loaded *Loaded) string {
	var out bytes.Buffer
	if err := loaded.Dump(&out, true); err != nil {
		t.Fatal(err)
	}
	var plain, commented any
	if err := errors.Join(yaml.Unmarshal([]byte(dump(t, loaded)), &plain), yaml.Unmarshal(out.Bytes(), &commented)); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !reflect.DeepEqual(plain, commented) {
		t.Fatalf("the comments change the dump:\n%s", out.String())
	}
	return out.String()
}

func checkPlaces(t *testing.T, data []byte, err error) {
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("the error is no list of problems: %v", err)
	}
	lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) +
		bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029")) + bytes.Count(data, []byte("\u0085")) + 1
	if bytes.HasPrefix(data, []byte("\xfe\xff")) || bytes.HasPrefix(data, []byte("\xff\xfe")) {
		lines = len(data) // UTF-16
	}
	for _, problem := range problems {
		origin := problem.Origin
		if origin.Layer != LayerFile || origin.Name != "l7.yml" || origin.Line < 0 || origin.Line > lines || origin.Column < 0 {
			t.Fatalf("the place is not in the file: %v", problem)
		}
		if strings.ContainsAny(problem.Error(), "\n\r") {
			t.Fatalf("more than one line: %q", problem.Error())
		}
	}
}

// checkHidden looks for the file's passwords in a text. One that the file has elsewhere too proves nothing.
func checkHidden(t *testing.T, data []byte, text string) {
	root, _, err := parseDocument(data)
	if err != nil || bytes.ContainsAny(data, "*") {
		return
	}
	for _, secret := range passwords(root, false) {
		if len(secret) > 4 && bytes.Count(data, []byte(secret)) == 1 && strings.Contains(text, secret) && !strings.Contains(dumpWords, secret) {
			t.Fatalf("the password %q is shown:\n%s", secret, text)
		}
	}
}

// dumpWords are what any output can contain, and a password that is the same is not shown by it.
var dumpWords = func() string {
	loaded, _ := loadText([]byte(aBackend))
	var out bytes.Buffer
	_ = loaded.Dump(&out, true)
	return out.String()
}()

func passwords(n *yaml.Node, inUsers bool) []string {
	var found []string
	for i, child := range n.Content {
		isValue := n.Kind == yaml.MappingNode && i%2 == 1
		switch {
		case isValue && child.Kind == yaml.ScalarNode && (inUsers || n.Content[i-1].Value == "secret"):
			found = append(found, child.Value)
		default:
			found = append(found, passwords(child, isValue && n.Content[i-1].Value == "users")...)
		}
	}
	return found
}

// putBack replaces the masks of a dump by the passwords of the config.
func putBack(t *testing.T, text string, config *Config) []byte {
	root, _, err := parseDocument([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	put := func(n *yaml.Node, users map[string]Secret) {
		for i := 0; n != nil && i < len(n.Content); i += 2 {
			n.Content[i+1].SetString(users[n.Content[i].Value].Reveal())
			n.Content[i+1].Style = yaml.DoubleQuotedStyle
		}
	}
	put(valueOf(root, "users"), config.Users)
	put(valueOf(valueOf(root, "admin"), "users"), config.Admin.Users)
	backends := valueOf(root, "backends")
	for i := 0; i < len(backends.Content); i += 2 {
		node, backend := backends.Content[i+1], config.Backends[backends.Content[i].Value]
		put(valueOf(node, "users"), backend.Users)
		secret := valueOf(valueOf(node, "sticky"), "secret")
		secret.SetString(backend.Sticky.Secret.Reveal())
		secret.Style = yaml.DoubleQuotedStyle
	}
	out, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func valueOf(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}
