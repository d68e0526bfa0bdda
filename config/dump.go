package config

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Dump writes the effective config as YAML: every key, defaults included, in the order of the structs,
// what the user named in alphabetical order, secrets (but for empty ones) as Mask. With the secrets put back it loads as the
// same config. With origins, a comment behind each value says where it comes from.
func (l *Loaded) Dump(w io.Writer, origins bool) error {
	d := dumper{}
	if origins {
		d.loaded = l
		d.tree = l.file.tree()
	}
	root := d.node(Keys(), reflect.ValueOf(l.Config))
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	err := encoder.Encode(root)
	if err == nil {
		err = encoder.Close()
	}
	if err != nil {
		return fmt.Errorf("cannot write the config: %w", err)
	}
	return nil
}

// dumper makes YAML nodes of a config.
type dumper struct {
	loaded *Loaded // nil: without origins
	tree   *tree   // held, so that the file is parsed once
	path   []string
}

func (d *dumper) node(k *Key, v reflect.Value) *yaml.Node {
	switch k.Kind {
	case KindSection:
		return d.section(k, v)
	case KindMap:
		return d.table(k, v)
	case KindList:
		return d.list(k, v)
	}
	n := d.leaf(k, v)
	n.LineComment = d.origin()
	return n
}

func (d *dumper) section(k *Key, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range k.Fields {
		if value := v.Field(f.index); !unset(f, v) {
			d.add(n, f.Name, f, value)
		}
	}
	return n
}

// unset says that a key of a section has no place in a dump: of port and listen only one may stand there, a plain listener has no tls,
// and users that a backend does not have are not the same as none.
func unset(f *Key, section reflect.Value) bool {
	switch v := section.Interface().(type) {
	case Config:
		return f.Name == "port" && v.Port == 0 || f.Name == "listen" && v.Port != 0
	case Listener:
		return f.Name == "tls" && !v.TLS.On()
	}
	return f.isUsers() && section.Field(f.index).IsNil()
}

func (d *dumper) table(k *Key, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	names := v.MapKeys()
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, name := range names {
		d.add(n, name.String(), k.Item, v.MapIndex(name))
	}
	if len(names) == 0 {
		n.Style = yaml.FlowStyle
		n.LineComment = d.origin()
	}
	return n
}

func (d *dumper) list(k *Key, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range v.Len() {
		d.path = append(d.path, strconv.Itoa(i))
		n.Content = append(n.Content, d.node(k.Item, v.Index(i)))
		d.path = d.path[:len(d.path)-1]
	}
	if v.Len() == 0 {
		n.Style = yaml.FlowStyle
		n.LineComment = d.origin()
	}
	return n
}

func (d *dumper) add(n *yaml.Node, name string, k *Key, v reflect.Value) {
	d.path = append(d.path, name)
	n.Content = append(n.Content, text(name), d.node(k, v))
	d.path = d.path[:len(d.path)-1]
}

func (d *dumper) leaf(k *Key, v reflect.Value) *yaml.Node {
	n := text(textOf(v))
	switch k.Kind {
	case KindSecret:
		if !v.IsZero() { // there is nothing to hide, and it has to load again
			n.Value = Mask
		}
	case KindNumber:
		n.Tag = "!!int"
	case KindBool:
		n.Tag = "!!bool"
	}
	return n
}

// text is a node for a text, with quotes where YAML would read something else. Block style is left out,
// for a comment behind it would become part of it.
func text(value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	if strings.ContainsFunc(value, func(r rune) bool { return isControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' }) {
		n.Style = yaml.DoubleQuotedStyle
	}
	if slices.Contains(oldBools, strings.ToLower(value)) {
		n.Style = yaml.SingleQuotedStyle
	}
	return n
}

// oldBools are texts of YAML 1.2 that readers of YAML 1.1 take for true or false.
var oldBools = []string{"y", "yes", "on", "n", "no", "off"}

// origin is the comment behind the value at the current path.
func (d *dumper) origin() string {
	if d.loaded == nil {
		return ""
	}
	origin := d.loaded.Origin(d.path)
	origin.Column = 0
	return origin.String()
}
