package config

import (
	"reflect"
	"slices"
	"strings"
)

// Diff says what changed from old to new, in the words of the file, sorted; nothing where nothing did.
// Secrets are compared and not shown. What a shorthand stands for is compared instead of the shorthand.
func Diff(old, new *Config) []string {
	d := differ{}
	d.section("", Keys(), reflect.ValueOf(*old), reflect.ValueOf(*new))
	slices.Sort(d.lines)
	return d.lines
}

// differ collects a line per change. It knows the config only by its table, so that a key added later is covered.
type differ struct{ lines []string }

func (d *differ) say(where, what string) {
	d.lines = append(d.lines, where+": "+what)
}

// value compares two values of the key; where names it.
func (d *differ) value(where string, k *Key, old, new reflect.Value) {
	switch {
	case reflect.DeepEqual(old.Interface(), new.Interface()):
	case k.Kind == KindSection:
		d.section(where+".", k, old, new)
	case k.Kind == KindMap && k.Item.Kind == KindSection:
		d.groups(where, k, old, new)
	case k.Kind == KindMap:
		d.table(where, k, old, new)
	case k.Kind == KindList:
		d.list(where, k, old, new)
	case k.Kind == KindSecret:
		d.say(where, "changed")
	default:
		d.say(where, word(textOf(old))+" -> "+word(textOf(new)))
	}
}

func (d *differ) section(prefix string, k *Key, old, new reflect.Value) {
	for _, f := range k.Fields {
		if !f.Short {
			d.value(prefix+f.Name, f, old.Field(f.index), new.Field(f.index))
		}
	}
}

// groups compares maps of sections: backends. Each is named in the singular; its servers go without saying.
func (d *differ) groups(where string, k *Key, old, new reflect.Value) {
	for _, name := range keysOfBoth(old, new) {
		group := strings.TrimSuffix(where, "s") + " " + word(name.String())
		was, is := old.MapIndex(name), new.MapIndex(name)
		switch {
		case !was.IsValid():
			d.say(group, "added")
		case !is.IsValid():
			d.say(group, "removed")
		default:
			d.group(group, k.Item, was, is)
		}
	}
}

func (d *differ) group(where string, k *Key, old, new reflect.Value) {
	for _, f := range k.Fields {
		name := where + ": " + f.Name
		if f.Name == "servers" {
			name = where
		}
		d.value(name, f, old.Field(f.index), new.Field(f.index))
	}
}

// table compares maps of plain values: users. "~" is one whose value changed.
func (d *differ) table(where string, k *Key, old, new reflect.Value) {
	var added, removed, changed []string
	for _, name := range keysOfBoth(old, new) {
		was, is := old.MapIndex(name), new.MapIndex(name)
		switch {
		case !was.IsValid():
			added = append(added, "+"+word(name.String()))
		case !is.IsValid():
			removed = append(removed, "-"+word(name.String()))
		case !reflect.DeepEqual(was.Interface(), is.Interface()):
			changed = append(changed, "~"+word(name.String()))
		}
	}
	words := slices.Concat(added, removed, changed)
	switch {
	case new.IsNil() && k.isUsers():
		words = append(words, "(none of its own)")
	case new.Len() == 0 && k.isUsers():
		words = append(words, "(turned off)")
	}
	d.say(where, strings.Join(words, " "))
}

// list compares lists by their items' names: what is new, what is gone, what changed within, else the order.
func (d *differ) list(where string, k *Key, old, new reflect.Value) {
	was, is := itemsByName(k.Item, old), itemsByName(k.Item, new)
	var words []string
	for _, name := range sortedKeys(is) {
		before, ok := was[name]
		switch {
		case !ok:
			words = append(words, "+"+word(name))
		case k.Item.Kind == KindSection:
			d.section(where+": "+word(name)+" ", k.Item, before, is[name])
		}
	}
	for _, name := range sortedKeys(was) {
		if _, ok := is[name]; !ok {
			words = append(words, "-"+word(name))
		}
	}
	if words == nil && !slices.Equal(itemNames(k.Item, old), itemNames(k.Item, new)) {
		words = []string{"order changed"}
	}
	if words != nil {
		d.say(where, strings.Join(words, " "))
	}
}

// itemName is the text that an item is known by: its own, or that of a section's main key, or else its first.
func itemName(k *Key, v reflect.Value) string {
	if k.Kind != KindSection {
		return textOf(v)
	}
	name := k.main()
	if name == nil {
		name = k.Fields[0]
	}
	return textOf(v.Field(name.index))
}

func itemNames(k *Key, list reflect.Value) []string {
	names := make([]string, list.Len())
	for i := range names {
		names[i] = itemName(k, list.Index(i))
	}
	return names
}

func itemsByName(k *Key, list reflect.Value) map[string]reflect.Value {
	items := make(map[string]reflect.Value, list.Len())
	for i, name := range itemNames(k, list) {
		items[name] = list.Index(i)
	}
	return items
}

func sortedKeys(m map[string]reflect.Value) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// keysOfBoth are the keys of two maps, sorted, each once.
func keysOfBoth(a, b reflect.Value) []reflect.Value {
	names := a.MapKeys()
	for _, name := range b.MapKeys() {
		if !a.MapIndex(name).IsValid() {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return names
}
