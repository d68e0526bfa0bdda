package config

import (
	"strconv"
	"strings"
	"sync"
	"weak"

	"go.yaml.in/yaml/v3"
)

// Layer is one of the four places that a value can come from. A higher one wins.
type Layer int

// The layers, lowest first.
const (
	LayerDefault Layer = iota
	LayerFile
	LayerEnvironment
	LayerArguments
)

// Origin says where a value comes from. The zero Origin is the built-in default.
type Origin struct {
	Layer  Layer
	Name   string // the file, the variable, the flag, or the argument up to its '='
	Line   int    // in the file, from 1; 0: the file as a whole
	Column int    // likewise
}

// String returns "l7.yml:12:5", "L7_PORT", "--port", `argument "example.com=..."` or "default".
func (o Origin) String() string {
	switch {
	case o.Layer == LayerDefault:
		return "default"
	case o.Layer != LayerFile:
		return o.Name
	case o.Line == 0:
		return word(o.Name)
	case o.Column == 0:
		return word(o.Name) + ":" + strconv.Itoa(o.Line)
	}
	return word(o.Name) + ":" + strconv.Itoa(o.Line) + ":" + strconv.Itoa(o.Column)
}

// Origin tells where the effective value at path comes from. A path is the names of the keys from the
// root on, a list's item by its number. Nothing is kept for this but the text of the layers, so the
// first call after a while parses the file once more.
func (l *Loaded) Origin(path []string) Origin {
	source, derived := l.source(path)
	origin, complete := l.locate(source)
	if !complete || derived && !l.keys.byText(path) {
		return Origin{}
	}
	return origin
}

// Problem gives a finding about the value at path its place. A path that no layer has is placed at
// the nearest key around it.
func (l *Loaded) Problem(path []string, text string) Problem {
	source, _ := l.source(path)
	origin, _ := l.locate(source)
	return Problem{Origin: origin, Path: path, Text: text}
}

// Found is Problem for a finding. Of two values that exclude each other it blames the later one, and names the place of the first.
func (l *Loaded) Found(f Finding) Problem {
	found := l.Problem(f.Path, f.Text)
	if f.Other == nil {
		return found
	}
	both := Problems{found, l.Problem(f.Other, f.Text)}
	both.Sort()
	both[1].Text += "; first at " + both[0].Origin.String()
	return both[1]
}

// source is the key that is written where the value at path is only derived from it.
func (l *Loaded) source(path []string) (source []string, derived bool) {
	for from, to := range l.derived {
		if joined := joinPath(path); joined == from || strings.HasPrefix(joined, from+"\x00") {
			return strings.Split(to, "\x00"), true
		}
	}
	return path, false
}

// locate finds the place of path in the highest layer that has it. complete is false where no layer
// does, and the place is that of the nearest key around it in the file.
func (l *Loaded) locate(path []string) (origin Origin, complete bool) {
	for _, layer := range []*layer{&l.arguments, &l.environment} {
		if origin, found, complete := layer.locate(path); found {
			return origin, complete && l.keys.byText(path)
		}
	}
	return l.file.locate(path)
}

// joinPath makes a path a map's key, and a koanf key.
func joinPath(path []string) string { return strings.Join(path, delimiter) }

// delimiter separates a path's steps for koanf. A host has dots in it, but no key has a zero byte.
const delimiter = "\x00"

// file is the text of the config file and, for as long as anybody looks at it, its nodes. They take
// twenty times the memory of the text, so they are not kept for the time between.
type file struct {
	name string // empty: there is none
	data []byte
	keys *Key

	mu    sync.Mutex
	nodes weak.Pointer[tree]
}

// tree returns the nodes of the file, nil if there is no file. The text has been parsed without error before.
func (f *file) tree() *tree {
	if f.data == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.nodes.Value(); t != nil {
		return t
	}
	root, _, err := parseDocument(f.data)
	if err != nil {
		return nil
	}
	return f.keep(root)
}

// locate finds the place of path, or the nearest around it, which is not complete.
func (f *file) locate(path []string) (origin Origin, complete bool) {
	tree := f.tree()
	if tree == nil {
		return Origin{}, false
	}
	node, complete := tree.find(f.keys, path)
	return Origin{Layer: LayerFile, Name: f.name, Line: node.Line, Column: node.Column}, complete
}

func (f *file) keep(root *yaml.Node) *tree {
	t := &tree{root: root, index: map[*yaml.Node]map[string][2]*yaml.Node{}}
	f.nodes = weak.Make(t)
	return t
}

// tree finds the nodes of a file by path. The index of a large mapping is made when it is first asked for.
type tree struct {
	root  *yaml.Node
	mu    sync.Mutex
	index map[*yaml.Node]map[string][2]*yaml.Node // key and value by name
}

// find returns the node of a path: of a scalar or a list's item the value, else the key.
// complete is false where the path goes on and the node does not. k is the root of the table.
func (t *tree) find(k *Key, path []string) (place *yaml.Node, complete bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	place = t.root
	value := place
	for i, step := range path {
		value = target(value)
		if list := k.shortList(); list != nil && value.Kind == yaml.SequenceNode && isNumber(step) {
			k = list // a path may leave out the main key of a short form
		}
		switch {
		case value.Kind == yaml.ScalarNode:
			return place, k.byMain(path[i:])
		case k.isShort(value.Kind) && !k.byMain(path[i:i+1]) || k.mayStandAlone(value.Kind) && step != "0":
			return place, false
		case k.isShort(value.Kind) || k.mayStandAlone(value.Kind):
		default:
			name, next := t.step(value, step)
			if next == nil {
				return place, false
			}
			place, value = name, next
		}
		k = k.child(step)
		if target(value).Kind == yaml.ScalarNode {
			place = value
		}
	}
	return place, true
}

// step finds a mapping's key and its value, or a list's item, which is both; nil if there is none.
func (t *tree) step(value *yaml.Node, step string) (place, next *yaml.Node) {
	if value.Kind == yaml.MappingNode {
		return t.child(value, step)
	}
	i, err := strconv.Atoi(step)
	if err != nil || i < 0 || i >= len(value.Content) {
		return nil, nil
	}
	return value.Content[i], value.Content[i]
}

// child finds a mapping's key and its value, nil if it has none of that name.
func (t *tree) child(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	index := t.index[mapping]
	if index == nil {
		index = t.indexOf(mapping)
	}
	pair := index[name]
	return pair[0], pair[1]
}

func (t *tree) indexOf(mapping *yaml.Node) map[string][2]*yaml.Node {
	budget := aliasBudget
	content := pairs(mapping, &budget)
	index := make(map[string][2]*yaml.Node, len(content)/2)
	for i := 0; i+1 < len(content); i += 2 {
		if name := content[i]; index[name.Value][0] == nil {
			index[name.Value] = [2]*yaml.Node{name, content[i+1]}
		}
	}
	if len(index) > smallMapping {
		t.index[mapping] = index
	}
	return index
}

// lower is the place of path in the layers below the given one.
func (l *Loaded) lower(than *layer, path []string) Origin {
	if than == &l.arguments {
		if origin, found, _ := l.environment.locate(path); found {
			return origin
		}
	}
	origin, _ := l.file.locate(path)
	return origin
}
