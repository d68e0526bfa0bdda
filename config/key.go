package config

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Kind says which form a key's value takes.
type Kind int

// The kinds of keys.
const (
	KindSection  Kind = iota // keys of its own, known ones only
	KindMap                  // keys that the user chooses
	KindList                 // several values of one kind
	KindText                 // free text, or one word of Key.Enum
	KindSecret               // text that is never shown
	KindNumber               // a whole number from Key.Min to Key.Max
	KindBool                 // true or false
	KindDuration             // a number with a unit, as in 5s
	KindSize                 // bytes, with a unit as in 16KiB
	KindWord                 // text with a grammar of its own, read by its type
)

// Key is one key of the config as the structs declare it: the one table behind strict reading,
// "did you mean", the names of environment variables, dump, diff, the schema and the docs.
type Key struct {
	Name     string // as in the file; empty for the root, a list's item and a map's value
	Kind     Kind
	Type     reflect.Type
	Field    string   // the struct field in Go
	Fields   []*Key   // of a section, in the order of the struct
	Item     *Key     // of a map or a list
	Enum     []string // the words that a text may be; nil: any
	Min, Max int      // of a number
	Example  string   // a good value
	Hint     string   // what somebody may have meant by a value that is none
	Default  string   // the value's text where no layer gives one
	Main     bool     // this value alone may stand for its whole section
	Needed   bool     // its section is nothing without it
	Short    bool     // short for another key, which holds the effective value

	index int // of the field in its struct
}

// Keys returns the root of the table. It is made anew at each call, for it is small.
func Keys() *Key {
	root := keyOf(reflect.TypeFor[Config]())
	root.fillDefaults(reflect.ValueOf(Default()))
	return root
}

// keyOf makes the table of one type. A type that it does not know is a mistake in the program.
func keyOf(t reflect.Type) *Key {
	k := &Key{Kind: kindOf(t), Type: t, Max: int(^uint(0) >> 1)}
	switch k.Kind {
	case KindSection:
		for i := range t.NumField() {
			k.Fields = append(k.Fields, fieldKey(t.Field(i), i))
		}
	case KindMap, KindList:
		k.Item = keyOf(t.Elem())
	}
	return k
}

func kindOf(t reflect.Type) Kind {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return KindDuration
	case t == reflect.TypeFor[Size]():
		return KindSize
	case t == reflect.TypeFor[Secret]():
		return KindSecret
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return KindWord
	}
	switch t.Kind() {
	case reflect.Struct:
		return KindSection
	case reflect.Map:
		return KindMap
	case reflect.Slice:
		return KindList
	case reflect.String:
		return KindText
	case reflect.Int:
		return KindNumber
	case reflect.Bool:
		return KindBool
	}
	panic("BUG: a key of the config has the type " + t.String())
}

func fieldKey(f reflect.StructField, index int) *Key {
	k := keyOf(f.Type)
	k.Name, k.Field, k.index = f.Tag.Get("koanf"), f.Name, index
	word := f.Tag.Get("l7")
	k.Main, k.Needed, k.Short = word == "main" || word == "alone", word == "main", word == "short"
	k.Example, k.Hint = f.Tag.Get("example"), f.Tag.Get("hint")
	if words := f.Tag.Get("enum"); words != "" {
		k.Enum = strings.Split(words, ",")
	}
	if least, most, ok := strings.Cut(f.Tag.Get("range"), "-"); ok {
		k.Min, _ = strconv.Atoi(least)
		k.Max, _ = strconv.Atoi(most)
	}
	if k.Kind == KindList {
		k.Item.Enum = k.Enum
		if k.Item.Example == "" {
			k.Item.Example = k.Example
		}
	}
	return k
}

// initial is the value of a map's or a list's item before anything is read into it.
func (k *Key) initial() reflect.Value {
	switch k.Type {
	case reflect.TypeFor[Backend]():
		return reflect.ValueOf(DefaultBackend())
	case reflect.TypeFor[Server]():
		return reflect.ValueOf(DefaultServer())
	case reflect.TypeFor[Listener]():
		return reflect.ValueOf(DefaultListener())
	}
	return reflect.Zero(k.Type)
}

func (k *Key) fillDefaults(v reflect.Value) {
	for _, f := range k.Fields {
		f.fillDefaults(v.Field(f.index))
	}
	switch {
	case k.isLeaf():
		k.Default = textOf(v)
	case k.Item != nil && k.Item.Kind == KindSection:
		k.Item.fillDefaults(k.Item.initial())
	}
}

// field finds a section's key by name, nil if there is none.
func (k *Key) field(name string) *Key {
	for _, f := range k.Fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// main is the key that may stand for the whole section, nil if there is none.
func (k *Key) main() *Key {
	for _, f := range k.Fields {
		if f.Main {
			return f
		}
	}
	return nil
}

// isShort says that a node of a kind is the short form of a section: its main key's value alone.
func (k *Key) isShort(kind yaml.Kind) bool {
	if k == nil || k.Kind != KindSection || k.main() == nil {
		return false
	}
	return kind == yaml.ScalarNode || kind == yaml.SequenceNode && k.main().Kind == KindList
}

func (k *Key) isLeaf() bool { return k.Kind > KindList }

// mayStandAlone says that a node of a kind is one item of a list, which may stand for the list.
func (k *Key) mayStandAlone(kind yaml.Kind) bool {
	switch {
	case k == nil || k.Kind != KindList:
		return false
	case kind == yaml.MappingNode:
		return k.Item.Kind == KindSection
	}
	return kind == yaml.ScalarNode && (k.Item.isLeaf() || k.Item.main() != nil)
}

// byMain says that steps lead from the key through main keys alone, so that a text in its place gives what they lead to.
func (k *Key) byMain(steps []string) bool {
	for _, step := range steps {
		next := k.child(step)
		if next == nil || k.Kind == KindSection && !next.Main {
			return false
		}
		k = next
	}
	return true
}

// byText says that the environment and the arguments can give what is at path: of a list's item its main key alone.
func (k *Key) byText(path []string) bool {
	for i, step := range path {
		if k != nil && k.Kind == KindList {
			return k.byMain(path[i:])
		}
		k = k.child(step)
	}
	return true
}

// child follows one step of a path, nil where the table ends.
func (k *Key) child(step string) *Key {
	switch {
	case k == nil:
		return nil
	case k.Kind == KindSection:
		return k.field(step)
	}
	return k.Item
}

// isUsers says that the map holds logins and passwords.
func (k *Key) isUsers() bool { return k.Kind == KindMap && k.Item.Kind == KindSecret }

func (k *Key) isBackend() bool { return k.Type == reflect.TypeFor[Backend]() }

// want says what the value should look like.
func (k *Key) want() string {
	text := ""
	switch k.Kind {
	case KindSection:
		text = "want keys with values: " + strings.Join(k.names(), ", ")
		if k.isBackend() {
			text = "want keys with values, as in {servers: ['127.0.0.1:8081']}" // what it is nothing without, of so many
		}
	case KindMap:
		text = "want keys with values"
		if k.isUsers() {
			text = "want a password for each login, as in {alice: secret}"
		}
	case KindList:
		text = "want a list" + k.listExample()
	case KindText, KindSecret, KindWord:
		text = "want text"
	case KindNumber:
		text = "want a whole number"
		if k.Max < 1<<31 {
			text += " from " + strconv.Itoa(k.Min) + " to " + strconv.Itoa(k.Max)
		}
	case KindBool:
		text = "want true or false"
	case KindDuration:
		text = "want a duration with its unit (ms, s, m, h), as in 5s"
	case KindSize:
		text = "want a size with its unit (B, KiB, MiB, GiB)"
	}
	if words := strings.TrimPrefix(strings.Join(k.Enum, ", "), ", "); words != "" { // an empty one is what stands without it
		text = "want " + words
		if strings.Contains(words, ", ") {
			text = "want one of " + words
		}
	}
	if k.Example != "" && k.Kind != KindList {
		text += ", as in " + k.Example
	}
	if k.Hint != "" {
		text += "; " + k.Hint
	}
	return text
}

func (k *Key) listExample() string {
	example := k.Item.Example
	if main := k.Item.main(); main != nil {
		example = main.Example
	}
	if example == "" {
		return ""
	}
	return ", as in ['" + example + "']"
}

func (k *Key) names() []string {
	names := make([]string, 0, len(k.Fields))
	for _, f := range k.Fields {
		names = append(names, f.Name)
	}
	return names
}
