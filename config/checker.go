package config

import "slices"

// checker says what is wrong at and below a path with values that are right one by one.
type checker struct {
	*loader
	path   []string
	unread unread
}

// refuseUnless reports the value at keys, unless it is good or could not be read. Who compares it with others sees to
// it that these could be.
func (c checker) refuseUnless(good bool, text string, keys ...string) {
	if good || c.isUnread(keys...) {
		return
	}
	c.problems = append(c.problems, c.out.Problem(c.at(keys...), text))
}

// refuseValueUnless is refuseUnless with the value that is refused. In a file with aliases it is not shown: it may come from where a secret
// stands.
func (c checker) refuseValueUnless(good bool, value, text string, keys ...string) {
	if !c.aliases {
		text = "cannot use " + shown(value) + "; " + text
	}
	c.refuseUnless(good, text, keys...)
}

func (c checker) warn(text string, keys ...string) {
	c.warnings = append(c.warnings, c.out.Problem(c.at(keys...), text))
}

func (c checker) isUnread(keys ...string) bool { return c.unread.has(c.at(keys...)) }

func (c checker) at(keys ...string) []string { return slices.Concat(c.path, keys) }

// unread holds the path of each problem before the checks (true), and every path above one (false). A value at, above
// or below a problem may be there only because the true one could not be read, and nothing follows from it.
type unread map[string]bool

func unreadOf(problems Problems) unread {
	paths := unread{}
	for _, problem := range problems {
		for n := 1; n < len(problem.Path); n++ {
			if above := joinPath(problem.Path[:n]); !paths[above] {
				paths[above] = false
			}
		}
		if len(problem.Path) > 0 {
			paths[joinPath(problem.Path)] = true
		}
	}
	return paths
}

func (u unread) has(path []string) bool {
	for n := 1; n < len(path); n++ {
		if u[joinPath(path[:n])] {
			return true
		}
	}
	_, known := u[joinPath(path)]
	return known
}
