package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// shorthands puts port and debug into the keys that they are short for.
func (l *loader) shorthands() {
	l.shortPort()
	config := &l.out.Config
	debug, level := l.top("debug"), l.top("log", "level")
	if config.Debug && level < debug {
		config.Log.Level = "debug"
		l.out.derived[joinPath([]string{"log", "level"})] = "debug"
	}
	for _, field := range []any{
		&config.Listen, &config.Users, &config.TrustedProxies, &config.Forwarding, &config.Log, &config.Admin, &config.Resolver, &config.Expect,
	} {
		emptyIsNil(reflect.ValueOf(field).Elem())
	}
}

// emptyIsNil makes lists and maps that are empty nil, so that empty is one thing, however it was written.
func emptyIsNil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			emptyIsNil(v.Field(i))
		}
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := 0; v.Kind() == reflect.Slice && i < v.Len(); i++ {
			emptyIsNil(v.Index(i))
		}
	default:
	}
}

// shortPort settles listen: by itself, from port, or by default. The higher layer wins; within one they exclude each other.
func (l *loader) shortPort() {
	config := &l.out.Config
	for _, layer := range []Layer{LayerFile, LayerEnvironment, LayerArguments} {
		if l.gives(layer, "port") && l.gives(layer, "listen") {
			l.fail(l.at(layer, "port"), []string{"port"}, fmt.Sprintf(
				"port is short for listen, and both are given; listen is at %s", l.at(layer, "listen")))
			return
		}
	}
	port, listen := l.top("port"), l.top("listen")
	switch {
	case port == LayerDefault && listen == LayerDefault:
		config.Listen = []Listener{listenerOn(80)}
	case port > listen:
		config.Listen = []Listener{listenerOn(config.Port)}
		l.out.derived["listen"] = "port"
		l.warnReplaced("port", port, "listen", listen)
	default:
		config.Port = 0
		l.warnReplaced("listen", listen, "port", port)
	}
}

func (l *loader) warnReplaced(key string, layer Layer, other string, lower Layer) {
	if lower != LayerDefault {
		text := fmt.Sprintf("replaces %s at %s", other, l.at(lower, other))
		l.warnings = append(l.warnings, Problem{Origin: l.at(layer, key), Path: []string{key}, Text: text})
	}
}

// top is the highest layer that gives the key at path.
func (l *loader) top(path ...string) Layer {
	for layer := LayerArguments; layer > LayerDefault; layer-- {
		if l.gives(layer, path...) {
			return layer
		}
	}
	return LayerDefault
}

func (l *loader) gives(layer Layer, path ...string) bool {
	var values any = map[Layer]map[string]any{
		LayerFile: l.settings, LayerEnvironment: l.out.environment.values, LayerArguments: l.out.arguments.values,
	}[layer]
	for _, step := range path {
		m, ok := values.(map[string]any)
		if !ok || m[step] == nil {
			return false
		}
		values = m[step]
	}
	return true
}

// at is the place of the key at path in one layer.
func (l *loader) at(layer Layer, path ...string) Origin {
	origin := Origin{}
	switch layer {
	case LayerFile:
		origin, _ = l.out.file.locate(path)
	case LayerEnvironment:
		origin, _, _ = l.out.environment.locate(path)
	case LayerArguments:
		origin, _, _ = l.out.arguments.locate(path)
	}
	return origin
}

func (l *loader) fail(origin Origin, path []string, text string) {
	l.problems = append(l.problems, Problem{Origin: origin, Path: path, Text: text})
}

// check finds what is wrong with values that are right one by one.
func (l *loader) check() {
	config := &l.out.Config
	unread := unreadOf(slices.Concat(l.problems, l.out.environment.problems, l.out.arguments.problems))
	root := checker{l, nil, unread}
	root.refuseUnless(len(config.Listen) > 0, "the list is empty; want an address, as in ':80', or remove the key", "listen")
	root.checkBounds()
	var addresses []string
	for _, listener := range config.Listen {
		addresses = append(addresses, listener.Address.String())
	}
	l.checkTwice(addresses, []string{"listen"})
	l.checkPorts()
	for name, backend := range config.Backends {
		backendCheck{checker{l, []string{"backends", name}, unread}}.check(&backend)
	}
	for i := range config.Listen {
		listenerCheck{checker{l, []string{"listen", strconv.Itoa(i)}, unread}}.check(&config.Listen[i])
	}
	checker{l, []string{"admin"}, unread}.checkAdmin(&config.Admin)
	for i := range config.Expect {
		checker{l, []string{"expect", strconv.Itoa(i)}, unread}.checkExpect(&config.Expect[i])
	}
	l.checkEmpty()
}

// The least that limits can be: what curl sends for a short URL fits.
const (
	leastLine   Size = 64
	leastHeader Size = 128
	leastFields      = 3
)

func (c checker) checkBounds() {
	config := &c.out.Config
	size := func(s, least Size, key string) {
		c.refuseUnless(s == 0 || s >= least, "hardly anything would pass; want "+least.String()+" or more, or 0 for no bound", "limits", key)
	}
	size(config.Limits.RequestLine, leastLine, "request_line")
	size(config.Limits.Header, leastHeader, "header")
	size(config.Limits.ResponseHeader, leastHeader, "response_header")
	fields := config.Limits.Fields
	c.refuseUnless(fields == 0 || fields >= leastFields, fmt.Sprintf("hardly anything would pass; want %d or more, or 0 for no bound", leastFields), "limits", "fields")
	bounded := config.ResolveInterval >= time.Second && config.ResolveInterval <= time.Hour // as discovery has it
	c.refuseUnless(bounded, "want 1s to 1h from one look to the next, as in 10s", "resolve_interval")
}

func (c checker) checkExpect(expect *Expect) {
	if _, _, err := expect.Target(); err != nil {
		c.refuseUnless(false, err.Error(), "request")
	}
	backends := c.out.Config.Backends
	if _, known := backends[expect.Backend]; !known && expect.Backend != "" && len(backends) > 0 {
		c.refuseUnless(false, "there is no such backend; want a key of backends"+DidYouMean(expect.Backend, slices.Sorted(maps.Keys(backends))), "backend")
	}
	c.refuseUnless(expect.Status == 0 || expect.Status >= 100, "want a status from 100 to 599, or 0 for any", "status")
}

// checkTwice reports the addresses of a list that stand in it before. An empty one has been reported.
func (l *loader) checkTwice(addresses, list []string) {
	first := make(map[string]int, len(addresses))
	for i, address := range addresses {
		before, twice := first[address]
		if !twice || address == "" {
			first[address] = i
			continue
		}
		item := func(i int) []string { return append(append([]string{}, list...), strconv.Itoa(i)) }
		text := fmt.Sprintf("%s is given twice; first at %s", word(address), l.out.Problem(item(before), "").Origin)
		l.problems = append(l.problems, l.out.Problem(item(i), text))
	}
}

// checkEmpty reports that there is nothing to balance, unless another problem tells why.
func (l *loader) checkEmpty() {
	if len(l.out.Config.Backends) > 0 {
		return
	}
	for _, problem := range slices.Concat(l.problems, l.out.environment.problems, l.out.arguments.problems) {
		if len(problem.Path) == 0 || problem.Path[0] == "backends" || l.keys.field(problem.Path[0]) == nil {
			return
		}
	}
	origin := Origin{}
	if l.out.File != "" {
		origin = Origin{Layer: LayerFile, Name: l.out.File}
	}
	l.fail(origin, nil, "there are no backends; name one as an argument, as in example.com=127.0.0.1:8081,"+
		" or in the file: backends: {example.com: {servers: [{address: '127.0.0.1:8081'}]}}")
}
