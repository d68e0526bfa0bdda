package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader turns the nodes of a file into values of the config's types. It goes on after a mistake, which
// leaves the zero value in place, so that one run finds them all.
type reader struct {
	file     string
	path     []string // of the value being read
	problems Problems
	budget   int // how many values aliases may still stand for
	aliases  int // how many aliases we are inside of
}

// value reads n into v, a value of the type of k.
func (r *reader) value(n *yaml.Node, k *Key, v reflect.Value) {
	if n.Kind == yaml.AliasNode {
		r.aliases++
		defer func() { r.aliases-- }()
		// The value is the anchor's, the place in messages is that of its use.
		here := *n.Alias
		here.Line, here.Column = n.Line, n.Column
		n = &here
	}
	if r.aliases > 0 && !r.spend(n) {
		return
	}
	switch {
	case n.Style&yaml.TaggedStyle != 0 && !slices.Contains(knownTags, n.Tag):
		r.fail(n, "YAML tags have no meaning here; a text that begins with '!' needs quotes")
	case isNull(n):
		r.failNull(n, k)
	case k.isShort(n.Kind):
		r.value(n, k.main(), v.Field(k.main().index))
	case k.Kind == KindSection:
		r.section(n, k, v)
	case k.Kind == KindMap:
		r.table(n, k, v)
	case k.Kind == KindList:
		r.list(n, k, v)
	default:
		r.leaf(n, k, v)
	}
}

// knownTags are those that say what kind of plain value follows. What is a text is decided by the key, not by them.
var knownTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!map", "!!seq"}

// spend takes n from what aliases may stand for; it is false where nothing is left.
func (r *reader) spend(n *yaml.Node) bool {
	if r.budget > 0 {
		r.budget--
		return true
	}
	if r.budget == 0 {
		r.budget = -1
		r.fail(n, fmt.Sprintf("the aliases of this file stand for more than %d values", aliasBudget))
	}
	return false
}

// pairs are the keys and values of a mapping with merge keys resolved. What is wrong with the keys is reported and left out.
func (r *reader) pairs(n *yaml.Node) []*yaml.Node {
	bad := r.checkKeys(n)
	before := r.budget
	content := pairs(n, &r.budget)
	if r.budget < 0 && before >= 0 {
		r.budget = 0
		r.spend(n)
		return nil
	}
	if bad == nil {
		return content
	}
	var good []*yaml.Node
	for i := 0; i+1 < len(content); i += 2 {
		if !bad[content[i]] {
			good = append(good, content[i], content[i+1])
		}
	}
	return good
}

// section reads a mapping whose keys are known.
func (r *reader) section(n *yaml.Node, k *Key, v reflect.Value) {
	if !r.expect(n, k, yaml.MappingNode) {
		return
	}
	given, unknown := false, false
	content := r.pairs(n)
	for i := 0; i+1 < len(content); i += 2 {
		name, value := content[i], content[i+1]
		r.path = append(r.path, name.Value)
		f := k.field(name.Value)
		switch {
		case f != nil:
			given = given || f.Main
			r.value(value, f, v.Field(f.index))
		case len(r.path) > 1 || !strings.HasPrefix(name.Value, foreignKey):
			unknown = true
			r.fail(name, unknownKey(name.Value, k))
		}
		r.path = r.path[:len(r.path)-1]
	}
	if main := k.main(); main != nil && main.Needed && !given && !unknown { // an unknown key may be the one, misspelled
		r.path = append(r.path, main.Name)
		r.fail(n, "the key is missing; "+main.want())
		r.path = r.path[:len(r.path)-1]
	}
}

// foreignKey begins the names of top-level keys that mean nothing to us: a place for anchors, as in Compose files.
const foreignKey = "x-"

func unknownKey(name string, k *Key) string {
	switch name { // written by tools for which on and off are spellings of true and false
	case "true":
		return "unknown key; a YAML 1.1 tool may have made true of on; put quotes around it: 'on'"
	case "false":
		return "unknown key; a YAML 1.1 tool may have made false of off; put quotes around it: 'off'"
	}
	if hint := DidYouMean(name, k.names()); hint != "" {
		return "unknown key" + hint
	}
	if hint := meant(name, k); hint != "" {
		return "unknown key; did you mean " + hint + "?"
	}
	return "unknown key; known here: " + strings.Join(k.names(), ", ")
}

// meant is the one key that a shorter name may stand for, or else that of a section further down; empty: none.
func meant(name string, k *Key) string {
	longer := slices.DeleteFunc(k.names(), func(known string) bool { return !strings.HasPrefix(known, name+"_") })
	if len(longer) == 1 {
		return strconv.Quote(longer[0])
	}
	for _, f := range k.Fields {
		switch {
		case f.Kind == KindSection && f.field(name) != nil:
			return f.Name + ": {" + name + ": ...}"
		case f.Kind == KindList && f.Item.Kind == KindSection && f.Item.field(name) != nil:
			return f.Name + ": [{" + name + ": ...}]"
		}
	}
	return ""
}

// table reads a mapping whose keys the user chooses.
func (r *reader) table(n *yaml.Node, k *Key, v reflect.Value) {
	if !r.expect(n, k, yaml.MappingNode) {
		return
	}
	content := r.pairs(n)
	v.Set(reflect.MakeMapWithSize(k.Type, len(content)/2))
	item := reflect.New(k.Item.Type).Elem()
	for i := 0; i+1 < len(content); i += 2 {
		name, value := content[i], content[i+1]
		r.path = append(r.path, name.Value)
		item.Set(k.Item.initial())
		if k.isUsers() {
			r.user(name, value, k.Item, item)
		} else {
			r.value(value, k.Item, item)
		}
		v.SetMapIndex(reflect.ValueOf(name.Value), item)
		r.path = r.path[:len(r.path)-1]
	}
}

// user reads a password. A login that is wrong is often one that has swallowed it.
func (r *reader) user(login, password *yaml.Node, k *Key, v reflect.Value) {
	if err := checkLogin(login.Value); err != nil {
		r.fail(login, err.Error())
		return
	}
	found := len(r.problems)
	r.value(password, k, v)
	if len(r.problems) == found {
		r.failIf(password, checkPassword(v.String()))
	}
}

// list reads a sequence, or one item alone. An empty list is nil.
func (r *reader) list(n *yaml.Node, k *Key, v reflect.Value) {
	items := n.Content
	if k.mayStandAlone(n.Kind) {
		items = []*yaml.Node{n}
	} else if !r.expect(n, k, yaml.SequenceNode) {
		return
	}
	if len(items) == 0 {
		v.SetZero()
		return
	}
	v.Set(reflect.MakeSlice(k.Type, len(items), len(items)))
	for i, item := range items {
		r.path = append(r.path, strconv.Itoa(i))
		v.Index(i).Set(k.Item.initial())
		r.value(item, k.Item, v.Index(i))
		r.path = r.path[:len(r.path)-1]
	}
}

// leaf reads a scalar. Text is what stands in the file; for a number or a switch, quotes make it text.
func (r *reader) leaf(n *yaml.Node, k *Key, v reflect.Value) {
	if !r.expect(n, k, yaml.ScalarNode) {
		return
	}
	number, truth := n.Tag == "!!int" || n.Tag == "!!float", n.Tag == "!!bool"
	if k.Kind == KindNumber && !number || k.Kind == KindBool && !truth {
		r.fail(n, r.notPlain(n, k))
		return
	}
	err := k.set(v, n.Value)
	if err != nil && r.aliases > 0 && k.Kind != KindSecret {
		// The anchor may stand at a secret: do not show what it says.
		err = fmt.Errorf("cannot use what the alias stands for; %s", k.want())
	}
	r.failIf(n, err)
}

// notPlain is what is wrong with a scalar that is no number or no switch.
func (r *reader) notPlain(n *yaml.Node, k *Key) string {
	isQuoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	if isQuoted || r.aliases > 0 {
		return k.want() + "; this is " + form(n)
	}
	return "cannot use " + quote(n.Value) + "; " + k.want()
}

// expect reports a value of the wrong form. The value itself is not shown, for it can be anything.
func (r *reader) expect(n *yaml.Node, k *Key, kind yaml.Kind) bool {
	if n.Kind == kind {
		return true
	}
	text := k.want()
	if _, err := parseAddress(n.Value); err == nil && k.isBackend() && n.Kind == yaml.ScalarNode && r.aliases == 0 {
		text = "want keys with values; write {servers: '" + n.Value + "'}"
	}
	r.fail(n, text+"; this is "+form(n))
	return false
}

// form names what a value is, in the words of the user.
func form(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "a number"
	case n.Tag == "!!bool":
		return "true or false"
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		return "text, for it is quoted"
	}
	return "text"
}

func (r *reader) failNull(n *yaml.Node, k *Key) {
	text := "there is no value; " + k.want() + ", or remove the key"
	if k.Kind == KindSecret || k.Kind == KindText && k.Enum == nil {
		text += "; a text that is null or ~, or begins with #, & or !, needs quotes"
	}
	r.fail(n, text)
}

// checkKeys reports keys that are no words, keys given twice, and merge keys without a mapping, and returns them.
func (r *reader) checkKeys(n *yaml.Node) (bad map[*yaml.Node]bool) {
	first := firstKeys(n)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, text := n.Content[i], ""
		switch {
		case name.Kind != yaml.ScalarNode:
			text = "a key must be a word; this is " + form(name)
		case name.Tag == "!!merge" && mergeSources(n.Content[i+1]) == nil:
			text = "a merge key takes keys with values, or a list of such"
		case first(name) != name:
			text = "the key is given twice; first at " + r.origin(first(name)).String()
		default:
			continue
		}
		if bad == nil {
			bad = map[*yaml.Node]bool{}
		}
		bad[name] = true
		if name.Kind != yaml.ScalarNode {
			r.fail(name, text)
			continue
		}
		r.path = append(r.path, name.Value)
		r.fail(name, text)
		r.path = r.path[:len(r.path)-1]
	}
	return bad
}

// firstKeys returns a function that finds the first key of n that reads like the given one. Few keys are
// compared one by one; the parser's own check does that with any number, which takes quadratic time.
func firstKeys(n *yaml.Node) func(*yaml.Node) *yaml.Node {
	if len(n.Content) <= 2*smallMapping {
		return func(name *yaml.Node) *yaml.Node {
			i := 0
			for n.Content[i].Kind != yaml.ScalarNode || n.Content[i].Value != name.Value {
				i += 2
			}
			return n.Content[i]
		}
	}
	index := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if name := n.Content[i]; index[name.Value] == nil && name.Kind == yaml.ScalarNode {
			index[name.Value] = name
		}
	}
	return func(name *yaml.Node) *yaml.Node { return index[name.Value] }
}

// smallMapping is the number of keys up to which looking at each beats an index.
const smallMapping = 16

func (r *reader) failIf(n *yaml.Node, err error) {
	if err != nil {
		r.fail(n, err.Error())
	}
}

func (r *reader) fail(n *yaml.Node, text string) {
	r.problems = append(r.problems, Problem{Origin: r.origin(n), Path: slices.Clone(r.path), Text: text})
}

func (r *reader) origin(n *yaml.Node) Origin {
	return Origin{Layer: LayerFile, Name: r.file, Line: n.Line, Column: n.Column}
}
