package config

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// TestSchemaAgrees validates the golden files: a good one is valid; a bad one is not, unless it says that the schema cannot see it.
func TestSchemaAgrees(t *testing.T) {
	schema := compileSchema(t)
	for _, name := range glob(t, "testdata/*/*.yml") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		value, ok := jsonValue(data)
		if !ok {
			continue // not one document of YAML: an editor says so without a schema
		}
		err = schema.Validate(value)
		good := strings.Contains(name, "/good/") || bytes.Contains(data, []byte("schema cannot see"))
		if good != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("l7.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("l7.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// jsonValue is the file's one document as a JSON reader sees it.
func jsonValue(data []byte) (any, bool) {
	root, _, err := parseDocument(data)
	if err != nil {
		return nil, false
	}
	var value any
	if err := root.Decode(&value); err != nil {
		return nil, false
	}
	text, err := json.Marshal(textKeys(value))
	if err != nil {
		return nil, false
	}
	value, err = jsonschema.UnmarshalJSON(bytes.NewReader(text))
	return value, err == nil
}

// textKeys makes every key a text, as JSON has it.
func textKeys(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, item := range v {
			v[key] = textKeys(item)
		}
	case map[any]any:
		m := map[string]any{}
		for key, item := range v {
			text, _ := yaml.Marshal(key)
			m[strings.TrimSpace(string(text))] = textKeys(item)
		}
		return m
	case []any:
		for i, item := range v {
			v[i] = textKeys(item)
		}
	}
	return value
}
