package config

import "fmt"

// Args is what the command line gave, before any meaning is read into it.
type Args struct {
	File    string   // --config; empty: L7_CONFIG, else no file
	Port    string   // --port; empty: not given
	Users   []string // --user LOGIN:PASSWORD, in order; a password may contain ':'
	Debug   bool     // --debug
	Servers []string // HOST[/PREFIX]=ADDRESS; an address may contain '='
}

// readArguments makes a layer of the command line.
func readArguments(root *Key, args Args) *layer {
	l := newLayer()
	flag := func(key, name, text string) {
		if text == "" {
			return
		}
		origin := Origin{Layer: LayerArguments, Name: name}
		if value := l.text(root.field(key), []string{key}, text, origin); value != nil {
			l.values[key] = value
		}
	}
	flag("port", "--port", args.Port)
	if args.Debug {
		flag("debug", "--debug", "true")
	}
	for i, user := range args.Users {
		l.user([]string{"users"}, i, user, Origin{Layer: LayerArguments, Name: "--user"})
	}
	l.servers(args.Servers, func(i int, host string) Origin {
		return Origin{Layer: LayerArguments, Name: argumentName(i, host)}
	})
	return &l
}

// argumentName tells which argument is meant. Only the host is shown: an address may contain a password.
// An empty host says that not even that is known.
func argumentName(i int, host string) string {
	if host == "" {
		return fmt.Sprintf("argument %d", i+1)
	}
	return "argument " + quote(host+"=...")
}
