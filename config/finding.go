package config

import "strings"

// Finding is a mistake that only a later stage can see, such as a password hash of an unknown kind.
// Loaded.Problem gives it its place.
type Finding struct {
	// Path is the keys that lead to the value, list positions in decimal.
	Path []string
	// Text says what is wrong and what to do, without the place and without any secret.
	Text string
	// Other leads to a value that cannot stand beside the one at Path; nil: there is none.
	Other []string
}

// Error returns the finding with its path but without a place.
func (f Finding) Error() string { return strings.Join(f.Path, ".") + ": " + f.Text }
