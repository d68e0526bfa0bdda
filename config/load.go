package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Loaded is a config and what is known of its making.
type Loaded struct {
	Config   Config
	File     string    // the file that was read, empty for none
	Warnings []Problem // what works but deserves a word

	keys        *Key
	file        file
	environment layer
	arguments   layer
	derived     map[string]string // joined path of a derived value -> of the key it comes from
}

// Format writes which config this is, for every verb: the text of the file has passwords in it.
func (l *Loaded) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "config of %q", l.File) }

// Text is what the file held; nil for none. Nobody may change it, and it has passwords in it.
func (l *Loaded) Text() []byte { return l.file.data }

// Load reads all layers, a higher one winning over a lower: defaults, the file, environ (in the form of
// os.Environ), args. The error is Problems, with every mistake that there is; then nothing is returned.
func Load(args Args, environ []string) (*Loaded, error) {
	return load(args, environ, readFile)
}

// load is Load with the file's text coming from read.
func load(args Args, environ []string, read func(name string) ([]byte, error)) (*Loaded, error) {
	loaded, problems := examine(args, environ, read)
	if len(problems) > 0 {
		return nil, problems
	}
	return loaded, nil
}

// Examine is Load for a caller that goes on to look for mistakes of its own, so that all are reported at once:
// beside problems there is the config as far as it could be read, with zero values where it could not. It must not be run.
func Examine(args Args, environ []string) (*Loaded, Problems) {
	return examine(args, environ, readFile)
}

func examine(args Args, environ []string, read func(name string) ([]byte, error)) (*Loaded, Problems) {
	keys := Keys()
	l := &loader{keys: keys, out: &Loaded{keys: keys, derived: map[string]string{}}}
	variables, err := readEnvironment(l.keys, environ)
	if err != nil {
		return l.out, Problems{{Origin: Origin{Layer: LayerEnvironment}, Text: err.Error()}}
	}
	l.out.environment, l.out.arguments = variables.layer, *readArguments(l.keys, args)
	l.warnings = variables.warnings()
	l.out.File = cmp.Or(args.File, variables.config)
	l.out.file.name, l.out.file.keys = l.out.File, keys
	if l.out.File != "" {
		l.readFile(read, args.File == "")
	}
	if err := l.merge(); err != nil {
		l.problems = append(l.problems, Problem{Text: err.Error()})
	}
	l.shorthands()
	l.check()
	return l.result()
}

// loader is one run of Load.
type loader struct {
	keys     *Key
	out      *Loaded
	data     []byte         // the file's text, nil if there is none to read
	settings map[string]any // what the file gives outside backends
	tree     *tree          // keeps the file's nodes alive until the run ends
	aliases  bool           // whether the file has any
	problems Problems
	warnings Problems
}

func (l *loader) result() (*Loaded, Problems) {
	l.problems = append(l.problems, l.out.environment.problems...)
	l.problems = append(l.problems, l.out.arguments.problems...)
	if len(l.problems) > 0 {
		l.problems.Sort()
		return l.out, l.problems
	}
	l.warnings.Sort()
	l.out.Warnings = l.warnings
	for _, layer := range []*layer{&l.out.environment, &l.out.arguments} {
		layer.values, layer.backends = nil, nil // they are in the Config now, passwords included
	}
	return l.out, nil
}

// maxFile is the largest config file, in bytes: a device in its place must not fill the memory.
const maxFile = 256 << 20

// readFile reads a file whole. Its errors do not name the file: they are shown behind its name.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err == nil {
		defer f.Close()
		var data []byte
		data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
		if len(data) > maxFile {
			return nil, fmt.Errorf("cannot read the file: it is larger than %d MiB", maxFile>>20)
		}
		if err == nil {
			return data, nil
		}
	}
	var place *fs.PathError
	if errors.As(err, &place) {
		err = place.Err
	}
	return nil, fmt.Errorf("cannot read the file: %w", err)
}

// readFile reads the file's bytes, for merge to parse.
func (l *loader) readFile(read func(string) ([]byte, error), fromVariable bool) {
	data, err := read(l.out.File)
	if err == nil {
		l.data = data
		return
	}
	text := err.Error()
	if fromVariable {
		text += " (" + variableConfig + " names it)"
	}
	l.problems = append(l.problems, Problem{Origin: Origin{Layer: LayerFile, Name: l.out.File}, Text: text})
}
