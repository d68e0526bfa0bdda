package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing that is wrong with the config, or deserves a word, and its place.
type Problem struct {
	Origin Origin
	Path   []string // the key from the root on; a list's item by its number from 0; empty: the layer as a whole
	Text   string
}

// Error returns "l7.yml:12:5: backends.example.com.servers[0].wieght: unknown key; did you mean \"weight\"?".
func (p Problem) Error() string { return p.line(Keys()) }

func (p Problem) line(root *Key) string {
	parts := make([]string, 0, 3)
	if p.Origin != (Origin{}) {
		parts = append(parts, p.Origin.String())
	}
	if len(p.Path) > 0 {
		parts = append(parts, pathText(root, p.Path))
	}
	return strings.Join(append(parts, p.Text), ": ")
}

// Problems are all that was found, in the order of their places.
type Problems []Problem

// Error returns one line per problem.
func (p Problems) Error() string {
	lines, root := make([]string, len(p)), Keys()
	for i := range p {
		lines[i] = p[i].line(root)
	}
	return strings.Join(lines, "\n")
}

// Sort puts the problems in the order of their places: file, environment, arguments.
func (p Problems) Sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Origin.Layer, b.Origin.Layer),
			cmp.Compare(a.Origin.Line, b.Origin.Line),
			cmp.Compare(a.Origin.Column, b.Origin.Column),
			cmp.Compare(a.Origin.Name, b.Origin.Name),
			comparePaths(a, b),
		)
	})
}

// comparePaths puts what an alias brings to one place of the file in a fixed order. Arguments have one already.
func comparePaths(a, b Problem) int {
	if a.Origin.Line == 0 {
		return 0
	}
	return slices.Compare(a.Path, b.Path)
}

// pathText is a path as the user reads it. Keys that the user chose are quoted where they are no plain
// words, and what could be a password, behind a colon in a login or an unknown key, is masked.
func pathText(key *Key, path []string) string {
	var text strings.Builder
	for i, step := range path {
		if list := key.shortList(); list != nil && isNumber(step) {
			key = list
		}
		switch {
		case key != nil && key.Kind == KindList:
			fmt.Fprintf(&text, "[%s]", step)
		case i > 0:
			text.WriteByte('.')
			fallthrough
		default:
			next := key.child(step)
			if login, _, found := strings.Cut(step, ":"); found && (next == nil || key.isUsers()) {
				step = login + ":" + Mask
			}
			text.WriteString(word(step))
		}
		key = key.child(step)
	}
	return text.String()
}

// shortList is the list that may stand for its whole section; nil: the section has none such.
func (k *Key) shortList() *Key {
	if k == nil || k.Kind != KindSection {
		return nil
	}
	if main := k.main(); main != nil && main.Kind == KindList {
		return main
	}
	return nil
}

func isNumber(text string) bool {
	_, err := strconv.Atoi(text)
	return err == nil
}

// word is text from the user as it stands if it is one visible word, quoted otherwise.
func word(text string) string {
	strange := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if text == "" || strings.ContainsFunc(text, strange) || !utf8.ValidString(text) || len(text) > shownBytes {
		return quote(text)
	}
	return text
}

// shownBytes is how much of a user's text an error shows.
const shownBytes = 100

// cut shortens a text to what an error shows of it.
func cut(text string) string {
	if len(text) > shownBytes {
		return text[:shownBytes] + "..."
	}
	return text
}

// quote is text from the user as an error shows it.
func quote(text string) string { return strconv.Quote(cut(text)) }

// DidYouMean returns "; did you mean \"weight\"?", or nothing where no known word is near.
func DidYouMean(text string, known []string) string {
	best, least := "", 1+max(1, len(text)/3)
	for _, candidate := range known {
		if d := distance(text, candidate); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + strconv.Quote(best) + "?"
}

// distance is how many bytes to put in, take out, replace, or swap with their neighbour until a reads b.
// Texts far longer than any key are not measured.
func distance(a, b string) int {
	if len(a) > 2*shownBytes {
		return len(a)
	}
	var before []int // the row for a[:i-1]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
