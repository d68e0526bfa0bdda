package certs

import (
	"errors"
	"strconv"
)

// optionError says which option cannot be used.
type optionError struct {
	path []string // in the words of the config
	err  error
}

func (e *optionError) Error() string { return e.err.Error() }

func (e *optionError) Unwrap() error { return e.err }

// option is an error about one option; nil for none.
func option(err error, path ...string) error {
	if err == nil {
		return nil
	}
	return &optionError{path, err}
}

// Mistake is one thing that keeps options from being used.
type Mistake struct {
	Path []string // of the option in the words of the config, as in certificates, 0, key; empty: it is about no single one
	Text string
}

// Mistakes are all that an error of this package joins.
func Mistakes(err error) (all []Mistake) {
	for _, err := range parts(err) {
		m := Mistake{Text: err.Error()}
		if wrong, ok := errors.AsType[*optionError](err); ok {
			m.Path = wrong.path
		} else if pair, ok := errors.AsType[*PairError](err); ok {
			m.Path = []string{"certificates", strconv.Itoa(pair.Index), pair.Key}
		}
		all = append(all, m)
	}
	return all
}

// parts are the errors that one joins, or itself.
func parts(err error) (all []error) {
	joined, several := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
	case !several:
		all = []error{err}
	default:
		for _, err := range joined.Unwrap() {
			all = append(all, parts(err)...)
		}
	}
	return all
}
