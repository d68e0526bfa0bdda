// Command genschema writes config/schema.json, the JSON Schema of the config file, from the table of
// config.Keys and the doc comments of the config structs. Run it by `go generate ./config/`.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"l7/config"
)

func main() {
	text, err := generate(".")
	if err == nil {
		err = os.WriteFile("schema.json", text, 0o644) //nolint:gosec // G306: a source file like its neighbours, for everyone to read
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "genschema:", err)
		os.Exit(1)
	}
}

// generate returns the schema; dir is where the Go files of package config are.
func generate(dir string) ([]byte, error) {
	comments, err := readComments(dir)
	if err != nil {
		return nil, err
	}
	g := generator{comments}
	root := g.schema(config.Keys())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "l7 config file"
	root["patternProperties"] = object{"^x-": object{}} // a place for anchors
	root["not"] = object{"required": []string{"port", "listen"}}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(root)
	return out.Bytes(), err
}

// object is a JSON object; its keys come out sorted.
type object map[string]any

// generator turns keys into schemas.
type generator struct{ comments comments }

// durationPattern accepts what the loader accepts: numbers with units, and no sign.
const durationPattern = `^([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$`

// sizePattern accepts what the loader accepts: a whole number with a unit, or 0.
const sizePattern = `^([0-9]+ *(B|[KMG]i?B)|0+)$`

func (g generator) schema(k *config.Key) object {
	switch k.Kind {
	case config.KindSection:
		return g.section(k)
	case config.KindMap:
		return g.table(k)
	case config.KindList:
		return g.list(k)
	}
	return leaf(k)
}

func (g generator) section(k *config.Key) object {
	properties := object{}
	short := object(nil)
	required := []string{}
	for _, f := range k.Fields {
		property := g.schema(f)
		if f.Main {
			short = g.schema(f)
		}
		if f.Needed {
			required = append(required, f.Name)
		}
		if text := g.comments[k.Type.Name()+"."+f.Field]; text != "" {
			property["description"] = text
		}
		properties[f.Name] = property
	}
	full := object{"type": "object", "properties": properties, "additionalProperties": false}
	if short == nil {
		return full
	}
	full["required"] = required
	return object{"anyOf": []object{short, full}}
}

func (g generator) table(k *config.Key) object {
	item := g.schema(k.Item)
	table := object{"type": "object", "additionalProperties": item}
	if k.Item.Kind == config.KindSecret {
		item["minLength"] = 1
		table["propertyNames"] = object{"pattern": `^[^:\x00-\x1f\x7f-\x9f]+$`}
	}
	return table
}

// list is a list of items; one may stand alone.
func (g generator) list(k *config.Key) object {
	item := g.schema(k.Item)
	return object{"anyOf": []object{item, {"type": "array", "items": item}}}
}

// leaf is the schema of a single value. Where text is wanted, the loader takes any scalar as it is written.
func leaf(k *config.Key) object {
	anyText := []string{"string", "number", "boolean"}
	s := object{}
	switch k.Kind {
	case config.KindText:
		s["type"] = anyText
	case config.KindSecret:
		s["type"] = anyText
		s["not"] = object{"const": config.Mask}
	case config.KindNumber:
		s["type"] = "integer"
		s["minimum"], s["maximum"] = k.Min, k.Max
	case config.KindBool:
		s["type"] = "boolean"
	case config.KindDuration:
		s["type"] = "string"
		s["pattern"] = durationPattern
	case config.KindSize:
		s["anyOf"] = []object{{"type": "string", "pattern": sizePattern}, {"const": 0}}
	case config.KindWord:
		addGrammar(s, k)
	}
	if k.Enum != nil {
		s["type"] = "string"
		s["enum"] = k.Enum
	}
	addValues(s, k)
	return s
}

// addGrammar says what the type of a word accepts. The addresses' grammar is too much for a pattern.
func addGrammar(s object, k *config.Key) {
	s["type"] = "string"
	switch k.Type {
	case reflect.TypeFor[config.StatusRange]():
		// YAML reads a single status as a number, to which the pattern does not apply.
		s["type"] = []string{"string", "integer"}
		s["minimum"], s["maximum"] = 100, 599
		s["pattern"] = `^[1-5][0-9]{2}(-[1-5][0-9]{2})?$`
	case reflect.TypeFor[config.Percent]():
		s["pattern"] = `^(100|[1-9]?[0-9])%$`
	case reflect.TypeFor[config.Rate]():
		s["pattern"] = `^([1-9][0-9]{0,9}/[smh])?$`
	case reflect.TypeFor[config.HashOn]():
		s["pattern"] = "^(client_ip|path|(header|cookie):[-0-9A-Za-z!#$%&'*+.^_`|~]+)$"
	default:
		s["minLength"] = 1
	}
}

// addValues adds the default and the example as values of the key's own type.
func addValues(s object, k *config.Key) {
	for name, text := range map[string]string{"default": k.Default, "examples": k.Example} {
		var value any = text
		if text == "" || k.Kind == config.KindSecret {
			continue
		}
		if k.Kind == config.KindNumber || k.Kind == config.KindBool {
			value = json.RawMessage(text)
		}
		if name == "examples" {
			value = []any{value}
		}
		s[name] = value
	}
}
