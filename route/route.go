// Package route finds the backend of a request by its host and path.
//
// A Table is compiled once, from the keys of a config, and never changes: lookups take no lock and allocate nothing.
// Their time depends on the request and on how deep the keys go, not on how many there are.
//
// The exact host comes before "*.x" (the longest first; any depth below x, not x itself), and those come before "*".
// Within a host the longest path prefix wins, on segment edges: "/api" covers "/api" and "/api/x", not "/apix".
// A host none of whose prefixes covers the path leaves the request to the next one in this order.
//
// Paths are matched decoded, with runs of slashes merged. Where a route depends on a path that servers may read
// in more than one way, the lookup fails instead of guessing; a path on which nothing depends is not looked at.
//
// The package does not parse requests, does not choose between the host of the target and the Host field,
// does not rewrite paths, and knows of a backend only its index in the caller's list.
package route

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoRoute says that no rule covers the host and path.
var ErrNoRoute = errors.New("no route")

// Rule sends what Key covers to a backend.
type Rule struct {
	Key     Key
	Backend int // the index in the caller's list
}

// DuplicateError says that two rules have the same key. First and Second are their positions in the list given to New,
// so that the caller can name where each was written.
type DuplicateError struct {
	Key           Key
	First, Second int
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("cannot route %q twice: rules %d and %d have the same key", e.Key, e.First, e.Second)
}

// Table answers which backend serves a host and path. It is safe for concurrent use.
type Table struct {
	exact map[string]*site
	wild  map[string]*site // by the name behind "*."
	any   *site            // "*", nil if there is none

	labels    [maxLabels + 1]bool // label counts that occur in wild
	maxLabels int                 // the highest of them
	longest   int                 // bytes of the longest prefix
}

// site is what one host of the keys has: its rules, longest prefix first, and the tree that finds among them.
type site struct {
	node
	rules []Rule
}

// node is a place in the tree of a host's prefixes, one level per path segment; the site itself is the place "/".
type node struct {
	rule *Rule // of the prefix that ends here, nil if none does
	kids map[string]*node
}

// New compiles rules. Two rules with the same key are a *DuplicateError; keys must be as ParseKey returns them.
func New(rules []Rule) (*Table, error) {
	if err := check(rules); err != nil {
		return nil, err
	}
	rules = slices.Clone(rules)
	slices.SortFunc(rules, func(a, b Rule) int {
		return cmp.Or(
			cmp.Compare(a.Key.Host, b.Key.Host),
			cmp.Compare(len(b.Key.Prefix), len(a.Key.Prefix)),
			cmp.Compare(a.Key.Prefix, b.Key.Prefix))
	})
	t := &Table{exact: make(map[string]*site), wild: make(map[string]*site)}
	for len(rules) > 0 {
		host := rules[0].Key.Host
		n := slices.IndexFunc(rules, func(r Rule) bool { return r.Key.Host != host })
		if n < 0 {
			n = len(rules)
		}
		t.add(host, newSite(rules[:n:n]))
		t.longest = max(t.longest, len(rules[0].Key.Prefix))
		rules = rules[n:]
	}
	return t, nil
}

func check(rules []Rule) error {
	seen := make(map[Key]int, len(rules))
	for i, r := range rules {
		if k, err := ParseKey(r.Key.String()); err != nil || k != r.Key {
			return fmt.Errorf("cannot route %q: the key is not as ParseKey returns it", r.Key)
		}
		if first, ok := seen[r.Key]; ok {
			return &DuplicateError{Key: r.Key, First: first, Second: i}
		}
		seen[r.Key] = i
	}
	return nil
}

func (t *Table) add(host string, s *site) {
	name, isWild := strings.CutPrefix(host, "*.")
	switch {
	case host == "*":
		t.any = s
	case isWild:
		n := strings.Count(name, ".") + 1
		t.wild[name] = s
		t.labels[n] = true
		t.maxLabels = max(t.maxLabels, n)
	default:
		t.exact[host] = s
	}
}

func newSite(rules []Rule) *site {
	s := &site{rules: rules}
	for i := range rules {
		n := &s.node
		if prefix := rules[i].Key.Prefix; prefix != "" {
			for segment := range strings.SplitSeq(prefix[1:], "/") {
				n = n.child(segment)
			}
		}
		n.rule = &rules[i]
	}
	return s
}

// child returns the place one segment below n and makes it where there is none.
func (n *node) child(segment string) *node {
	kid := n.kids[segment]
	if kid == nil {
		if n.kids == nil {
			n.kids = make(map[string]*node, 1)
		}
		kid = new(node)
		n.kids[segment] = kid
	}
	return kid
}
