package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// layer is what the environment or the arguments give: text without a place in a file.
type layer struct {
	values   map[string]any      // plain values of the keys outside backends, nested
	backends map[string][]Server // by host in lower case
	origins  map[string]Origin   // of each value, by joined path; it holds for all below the path too
	groups   map[string]Origin   // of backends, by joined path; what is not given below one is a default
	problems Problems
}

func newLayer() layer {
	return layer{
		values: map[string]any{}, backends: map[string][]Server{},
		origins: map[string]Origin{}, groups: map[string]Origin{},
	}
}

// locate finds the origin of the value at path, or of the backend around it, which is not complete.
func (l *layer) locate(path []string) (origin Origin, found, complete bool) {
	for n := len(path); n > 0; n-- {
		joined := joinPath(path[:n])
		if origin, ok := l.origins[joined]; ok {
			return origin, true, true
		}
		if origin, ok := l.groups[joined]; ok {
			return origin, true, n == len(path)
		}
	}
	return Origin{}, false, false
}

func (l *layer) fail(origin Origin, path []string, err error) {
	l.problems = append(l.problems, Problem{Origin: origin, Path: path, Text: err.Error()})
}

// text reads one text as the key's value and returns it in its plain form, nil after a mistake.
// A list takes several words, logins likewise.
func (l *layer) text(k *Key, path []string, text string, origin Origin) any {
	switch {
	case k.isUsers():
		for i, item := range strings.Fields(text) {
			l.user(path, i, item, origin)
		}
		return l.values[path[0]]
	case k.Kind == KindList:
		list := []any{}
		for _, item := range strings.Fields(text) {
			list = append(list, l.item(k.Item, path, item, origin))
		}
		l.origins[joinPath(path)] = origin
		return list
	}
	v := reflect.New(k.Type).Elem()
	if err := k.set(v, text); err != nil {
		l.fail(origin, path, err)
		return nil
	}
	l.origins[joinPath(path)] = origin
	return k.plain(v)
}

// item reads one item of a list.
func (l *layer) item(k *Key, path []string, text string, origin Origin) any {
	v := reflect.New(k.Type).Elem()
	v.Set(k.initial())
	target, leaf := v, k
	if k.Kind == KindSection {
		leaf = k.main()
		target = v.Field(leaf.index)
	}
	if err := leaf.set(target, text); err != nil {
		l.fail(origin, path, err)
	}
	return k.plain(v)
}

// user reads LOGIN:PASSWORD. What has no colon may be a password, and is not shown.
func (l *layer) user(path []string, i int, text string, origin Origin) {
	login, password, found := strings.Cut(text, ":")
	if !found {
		l.fail(origin, path, fmt.Errorf("number %d has no colon in it; want LOGIN:PASSWORD, as in alice:secret", i+1))
		return
	}
	path = append(append([]string{}, path...), login)
	err := cmp.Or(checkLogin(login), checkPassword(password))
	if _, twice := l.origins[joinPath(path)]; twice && err == nil {
		err = errors.New("the login is given twice")
	}
	if err != nil {
		l.fail(origin, path, err)
		return
	}
	users, ok := l.values[path[0]].(map[string]any)
	if !ok {
		users = map[string]any{}
		l.values[path[0]] = users
	}
	users[login] = password
	l.origins[joinPath(path)] = origin
}

// servers reads HOST[/PREFIX]=ADDRESS arguments. The same host again adds a server to its backend.
func (l *layer) servers(texts []string, origin func(i int, host string) Origin) {
	for i, text := range texts {
		host, address, found := strings.Cut(text, "=")
		if !found || looksLikeUser(host) {
			l.fail(origin(i, ""), nil, noServer(text))
			continue
		}
		l.server(foldHost(host), address, origin(i, host))
	}
}

func (l *layer) server(host, address string, place Origin) {
	path := []string{"backends", host}
	if host == "" || strings.ContainsFunc(host, isControl) || strings.ToValidUTF8(host, "") != host {
		l.fail(place, nil, errors.New("the host is missing or no text; want HOST[/PREFIX]=ADDRESS, as in example.com=127.0.0.1:8081"))
		return
	}
	server := DefaultServer()
	at := []string{"backends", host, "servers", fmt.Sprint(len(l.backends[host]))}
	if err := server.Address.UnmarshalText([]byte(address)); err != nil {
		l.fail(place, at, err)
	}
	if _, known := l.groups[joinPath(path)]; !known {
		l.groups[joinPath(path)] = place
		l.groups[joinPath(at[:3])] = place
	}
	l.origins[joinPath(at)] = place
	l.backends[host] = append(l.backends[host], server)
}

// looksLikeUser tells LOGIN:PASSWORD, password with a '=' in it, from HOST:PORT and [IPv6]:PORT.
func looksLikeUser(host string) bool {
	host, _, _ = strings.Cut(host, "/")
	if strings.HasPrefix(host, "[") {
		_, host, _ = strings.Cut(host, "]")
	}
	_, port, found := strings.Cut(host, ":")
	return found && (port == "" || strings.Trim(port, "0123456789") != "")
}

// noServer is what is wrong with an argument that is no HOST[/PREFIX]=ADDRESS.
func noServer(text string) error {
	if server := withoutScheme(text); server != "" {
		return fmt.Errorf("a host has no scheme; write %s", server)
	}
	return fmt.Errorf("%s is no HOST[/PREFIX]=ADDRESS, as in example.com=127.0.0.1:8081", ShownArgument(text))
}

// withoutScheme is an argument less the scheme before its host, as a shell takes it; empty: it has none, or is not to be shown.
func withoutScheme(text string) string {
	before, rest, _ := strings.Cut(text, "//")
	host, address, found := strings.Cut(rest, "=")
	scheme := strings.EqualFold(before, "http:") || strings.EqualFold(before, "https:")
	if !found || !scheme || looksLikeUser(host) || strings.Contains(host, "@") {
		return ""
	}
	if _, err := ParseAddress(address); err != nil {
		address = "ADDRESS"
	}
	server := word(host + "=" + address)
	if strings.Contains(host, "*") {
		server = "'" + server + "'"
	}
	return server
}

// MaskArgument is a quoted argument as an error may show it: behind a colon could be a password.
func MaskArgument(text string) string {
	if before, _, found := strings.Cut(text, ":"); found {
		text = before + ":..."
	}
	return quote(text)
}

// ShownArgument is MaskArgument for what may be a user in the wrong place, and says where it belongs.
func ShownArgument(text string) string {
	login, rest, found := strings.Cut(text, ":")
	if !found || login == "" || strings.HasPrefix(rest, "//") {
		return MaskArgument(text)
	}
	return MaskArgument(text) + " (for a user, write --user " + word(login) + ":PASSWORD)"
}

// foldHost puts the host of HOST[/PREFIX] in lower case, where upper and lower case are one.
func foldHost(key string) string {
	host, prefix, found := strings.Cut(key, "/")
	host = strings.ToLower(host)
	if found {
		host += "/" + prefix
	}
	return host
}
