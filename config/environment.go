package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
)

// environmentPrefix begins the name of every variable that is ours.
const environmentPrefix = "L7_"

// The variables that are no keys of the file.
const (
	variableConfig  = environmentPrefix + "CONFIG"
	variableServers = environmentPrefix + "SERVERS"
)

// environment is the layer of the variables.
type environment struct {
	layer
	config  string   // L7_CONFIG
	foreign []string // variables that Kubernetes made for a Service
	keys    map[string]variable
}

// variable is a key that a variable can set.
type variable struct {
	key  *Key
	path []string
}

// readEnvironment reads the variables; environ is in the form of os.Environ. An empty variable counts as not set.
func readEnvironment(root *Key, environ []string) (*environment, error) {
	e := &environment{layer: newLayer(), keys: map[string]variable{}}
	e.addKeys(root, nil)
	provider := env.Provider(delimiter, env.Opt{
		Prefix:        environmentPrefix,
		TransformFunc: e.transform,
		EnvironFunc:   func() []string { return environ },
	})
	values, err := provider.Read()
	e.values = values
	return e, err
}

// addKeys names the variables: L7_LOG__LEVEL is log.level.
func (e *environment) addKeys(k *Key, path []string) {
	for _, f := range k.Fields {
		at := append(slices.Clone(path), f.Name)
		switch {
		case at[0] == "backends":
		case f.Kind == KindSection:
			e.addKeys(f, at)
		case f.isLeaf() || f.isUsers() || f.Kind == KindList && (f.Item.isLeaf() || f.Item.main() != nil):
			e.keys[environmentPrefix+strings.ToUpper(strings.Join(at, "__"))] = variable{f, at}
		}
	}
}

// transform gives koanf's provider the path and the plain value of a variable. An empty path passes it over.
func (e *environment) transform(name, text string) (string, any) {
	origin := Origin{Layer: LayerEnvironment, Name: name}
	v, known := e.keys[name]
	switch {
	case text == "":
	case fromKubernetes(name, text):
		e.foreign = append(e.foreign, name)
	case name == variableConfig:
		e.config = text
	case name == variableServers:
		e.servers(strings.Fields(text), func(int, string) Origin { return origin })
	case known && strings.TrimSpace(text) != "":
		if value := e.text(v.key, v.path, text, origin); value != nil {
			return joinPath(v.path), value
		}
	case !known:
		e.fail(origin, nil, e.unknown(name))
	}
	return "", nil
}

func (e *environment) unknown(name string) error {
	if name == environmentPrefix+"BACKENDS" || strings.HasPrefix(name, environmentPrefix+"BACKENDS_") {
		return fmt.Errorf("backends cannot be given in the environment; use %s=\"HOST=ADDRESS ...\" or the file", variableServers)
	}
	known := []string{variableConfig, variableServers}
	for name := range e.keys {
		known = append(known, name)
	}
	slices.Sort(known)
	hint := DidYouMean(name, known)
	if hint == "" {
		hint = "; a key of the file is written as in L7_TIMEOUTS__CONNECT=2s"
	}
	return errors.New("unknown variable" + hint)
}

// kubernetesName is the form of the variables that Kubernetes makes for Services: L7_PORT=tcp://... and
// L7_SERVICE_HOST for one named l7, L7_ADMIN_PORT_80_TCP for one named l7-admin.
var kubernetesName = regexp.MustCompile(`^L7_(SERVICE_|PORT_|.*_SERVICE_(HOST|PORT)(_|$)|.*_PORT_[0-9]+_(TCP|UDP|SCTP)(_|$))`)

func fromKubernetes(name, text string) bool {
	scheme, _, found := strings.Cut(text, "://")
	link := found && (scheme == "tcp" || scheme == "udp" || scheme == "sctp")
	return kubernetesName.MatchString(name) || link && strings.HasSuffix(name, "_PORT")
}

// warnings says once which variables were passed over.
func (e *environment) warnings() Problems {
	if len(e.foreign) == 0 {
		return nil
	}
	slices.Sort(e.foreign)
	return Problems{{
		Origin: Origin{Layer: LayerEnvironment, Name: e.foreign[0]},
		Text: fmt.Sprintf("passed over, for Kubernetes sets it for a Service (%d such: %s)",
			len(e.foreign), cut(strings.Join(e.foreign, ", "))),
	}}
}
