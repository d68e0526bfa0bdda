package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseDocument parses the one YAML document of a file. The error's text shows nothing of the file, for
// it could be a password; line is where the error is, 0 if unknown.
func parseDocument(data []byte) (root *yaml.Node, line int, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	document, err := nextDocument(decoder)
	switch {
	case errors.Is(err, io.EOF), err == nil && isNull(document.Content[0]):
		return nil, 0, errors.New("the file is empty; write {} if that is meant")
	case err != nil:
		line, err = syntaxError(data, err)
		return nil, line, err
	}
	second, err := nextDocument(decoder)
	switch {
	case errors.Is(err, io.EOF):
		return document.Content[0], 0, nil
	case err != nil:
		line, err = syntaxError(data, err)
		return nil, line, err
	}
	return nil, second.Line, errors.New("a second document begins here; a file holds one")
}

// nextDocument is Decode with the parser's panics turned into errors: it has had such bugs.
func nextDocument(decoder *yaml.Decoder) (document *yaml.Node, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the parser does not know what to make of it")
		}
	}()
	document = new(yaml.Node)
	if err := decoder.Decode(document); err != nil {
		return nil, err
	}
	return document, nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// syntaxError turns the parser's error into ours. The parser's line is that of the construct around the
// mistake, and often off by one or missing; where the file is small enough, badLine knows better.
func syntaxError(data []byte, err error) (int, error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, after, _ := strings.Cut(rest, ": ")
		line, _ = strconv.Atoi(number)
		text = after
	}
	if strings.HasPrefix(text, "unknown anchor") {
		text = "a text that begins with '*' needs quotes (it refers to an anchor otherwise, and there is none of that name)"
	}
	text = strings.TrimSpace(text)
	if hint := syntaxHints[text]; hint != "" {
		text += " (" + hint + ")"
	}
	if found := badLine(data); found > 0 {
		line = found
	}
	return line, fmt.Errorf("this is not YAML: %s", text)
}

// syntaxHints say in the user's words what the parser means by its commonest errors.
var syntaxHints = map[string]string{
	"did not find expected key":                      "is the indentation that of the lines above?",
	"could not find expected ':'":                    "is there a space behind the key's colon?",
	"found unexpected end of stream":                 "is a quote not closed?",
	"mapping values are not allowed in this context": "a text with ': ' in it needs quotes, a key's colon a space behind it",
	"found character that cannot start any token":    "a text that begins with %, @ or ` needs quotes, and tabs do not indent",
}

const (
	badLineBytes = 64 << 10 // up to this size of a file badLine looks
	badLineAhead = 32       // the longest quoted text or flow collection, in lines, that it sees through
	badLineTries = 64       // how often it parses; then the best answer so far has to do
)

// badLine finds the line with which a broken file stops being YAML: the one after the longest part
// from its beginning that parses. 0: not found.
func badLine(data []byte) int {
	if len(data) > badLineBytes {
		return 0
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	tries := 0
	good := func(n int) bool {
		tries++
		return tries <= badLineTries && parses(bytes.Join(lines[:n], nil))
	}
	low := 0
	for {
		low = lastGood(low, len(lines), good)
		next := low + 1
		for next < len(lines) && next <= low+badLineAhead && !good(next) {
			next++
		}
		switch {
		case next >= len(lines) && low >= len(lines)-1:
			return len(lines)
		case next >= len(lines) || next > low+badLineAhead:
			return low + 1
		}
		low = next
	}
}

// lastGood returns an n in [low, high) that is good and whose successor is not. low counts as good.
func lastGood(low, high int, good func(int) bool) int {
	for high-low > 1 {
		if middle := (low + high) / 2; good(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

func parses(data []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := nextDocument(decoder); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

const (
	aliasBudget = 1_000_000 // how many values the aliases of one file may stand for, all together
	mergeDepth  = 20        // how deep merge keys may refer to maps with merge keys
)

// pairs returns a mapping's keys and values in turn, merge keys resolved: what the mapping says itself
// comes before what it merges. It takes the merged ones from budget and stops when that is below zero.
func pairs(n *yaml.Node, budget *int) []*yaml.Node { return pairsWithin(n, budget, mergeDepth) }

func pairsWithin(n *yaml.Node, budget *int, depth int) []*yaml.Node {
	var own, merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag == "!!merge" {
			merged = append(merged, mergeSources(n.Content[i+1])...)
		}
	}
	if merged == nil {
		return n.Content
	}
	seen := map[string]bool{}
	add := func(content []*yaml.Node) {
		for i := 0; i+1 < len(content); i += 2 {
			if key := content[i]; key.Tag != "!!merge" && !seen[key.Value] {
				seen[key.Value] = true
				own = append(own, key, content[i+1])
			}
		}
	}
	add(n.Content)
	for _, source := range merged {
		*budget -= 1 + len(source.Content)/2
		if *budget < 0 || depth == 0 {
			*budget = -1
			return own
		}
		add(pairsWithin(source, budget, depth-1))
	}
	return own
}

// mergeSources are the mappings that the value of a merge key names; nil if it names anything else.
func mergeSources(n *yaml.Node) []*yaml.Node {
	n = target(n)
	if n.Kind == yaml.MappingNode {
		return []*yaml.Node{n}
	}
	var sources []*yaml.Node
	for _, item := range n.Content {
		item = target(item)
		if n.Kind != yaml.SequenceNode || item.Kind != yaml.MappingNode {
			return nil
		}
		sources = append(sources, item)
	}
	return sources
}

// target is what an alias refers to, or the node itself.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
