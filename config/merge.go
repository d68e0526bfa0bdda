package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/go-viper/mapstructure/v2"
	koanfyaml "github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"
)

// merge lays the layers over each other and makes a Config of them.
//
// koanf holds all keys but backends: those do not layer (a host has its place in one layer only), and koanf
// flattens and copies every key at every step, which with 100,000 hosts costs more than parsing the file.
func (l *loader) merge() error {
	ko := koanf.New(delimiter)
	defaults := l.keys.plain(reflect.ValueOf(Default())).(map[string]any)
	delete(defaults, "backends")
	if err := ko.Load(confmap.Provider(defaults, ""), nil); err != nil {
		return err
	}
	if l.data != nil {
		if err := ko.Load(rawbytes.Provider(l.data), fileParser{koanfyaml.Parser(), l}); err != nil {
			return err
		}
	}
	for _, layer := range []*layer{&l.out.environment, &l.out.arguments} {
		if err := ko.Load(confmap.Provider(layer.values, ""), nil); err != nil {
			return err
		}
	}
	backends := l.out.Config.Backends
	l.out.Config = Config{}
	err := ko.UnmarshalWithConf("", &l.out.Config, koanf.UnmarshalConf{DecoderConfig: strict()})
	l.out.Config.Backends = backends
	l.addBackends()
	if l.failed() {
		return nil // what cannot be decoded has been reported, with its place
	}
	return err
}

// strict decodes by exact names, leaves no key unused, and turns text into values as every layer does.
func strict() *mapstructure.DecoderConfig {
	return &mapstructure.DecoderConfig{
		ErrorUnused: true,
		MatchName:   func(key, field string) bool { return key == field },
		DecodeHook: func(from, to reflect.Type, data any) (any, error) {
			text, ok := data.(string)
			if !ok || kindOf(to) <= KindList {
				return data, nil
			}
			v := reflect.New(to).Elem()
			err := setText(kindOf(to), v, text)
			return v.Interface(), err
		},
	}
}

func (l *loader) failed() bool {
	return len(l.problems)+len(l.out.environment.problems)+len(l.out.arguments.problems) > 0
}

// fileParser is the koanf.Parser of the file: koanf's own for YAML, but for the reading. What is wrong with the
// file goes to the loader's problems.
type fileParser struct {
	*koanfyaml.YAML
	*loader
}

// Unmarshal returns the keys that koanf holds; the backends go to the Config at once.
func (p fileParser) Unmarshal(data []byte) (map[string]any, error) {
	root, line, err := parseDocument(data)
	if err != nil {
		origin := Origin{Layer: LayerFile, Name: p.out.File, Line: line}
		p.problems = append(p.problems, Problem{Origin: origin, Text: err.Error()})
		return nil, nil
	}
	p.out.file.data = data
	p.tree = p.out.file.keep(root)
	var config Config
	r := reader{file: p.out.File, budget: aliasBudget}
	r.value(root, p.keys, reflect.ValueOf(&config).Elem())
	p.problems = append(p.problems, r.problems...)
	p.aliases = r.budget < aliasBudget
	p.out.Config.Backends = config.Backends
	config.Backends = nil
	p.settings = given(root, p.keys, reflect.ValueOf(config))
	delete(p.settings, "backends")
	return p.settings, nil
}

// given is the plain form of those keys of a section that its node has, so that the others keep what a lower layer gave.
func given(n *yaml.Node, k *Key, v reflect.Value) map[string]any {
	values := map[string]any{}
	n = target(n)
	if n.Kind != yaml.MappingNode {
		return values
	}
	budget := aliasBudget
	content := pairs(n, &budget)
	for i := 0; i+1 < len(content); i += 2 {
		f := k.field(content[i].Value)
		switch {
		case f == nil:
		case f.Kind == KindSection:
			values[f.Name] = given(content[i+1], f, v.Field(f.index))
		default:
			values[f.Name] = f.plain(v.Field(f.index))
		}
	}
	return values
}

// addBackends adds those of the environment and the arguments to those of the file.
func (l *loader) addBackends() {
	config := &l.out.Config
	if config.Backends == nil {
		config.Backends = map[string]Backend{}
	}
	layers := []*layer{&l.out.environment, &l.out.arguments}
	if len(layers[0].backends)+len(layers[1].backends) == 0 {
		return
	}
	known := make(map[string]string, len(config.Backends))
	for host := range config.Backends {
		known[foldHost(host)] = host
	}
	for _, layer := range layers {
		for _, host := range slices.Sorted(maps.Keys(layer.backends)) {
			path := []string{"backends", host}
			if other, twice := known[host]; twice {
				place := l.out.lower(layer, []string{"backends", other})
				layer.fail(layer.groups[joinPath(path)], path, fmt.Errorf("the host is named at %s too; name it in one place", place))
				continue
			}
			known[host] = host
			backend := DefaultBackend()
			backend.Servers = layer.backends[host]
			config.Backends[host] = backend
		}
	}
}
