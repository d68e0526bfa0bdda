package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"l7/cli/words"
	"l7/config"
)

// flagsFirst moves the command to the front and flags before the arguments that they stand behind: the library stops at the first argument.
// Everything after "--" stays an argument. The error is of a flag; what is returned beside it begins with the command too.
func flagsFirst(a *cli.App, argv []string) ([]string, error) {
	if len(argv) < 2 {
		return argv, nil
	}
	head, rest := argv[:1:1], argv[1:]
	flags := flagsOf(a, nil)
	if i := firstArgument(flags, rest); i < len(rest) && a.Command(rest[i]) != nil {
		head, flags = append(head, rest[i]), flagsOf(a, a.Command(rest[i]))
		rest = slices.Concat(rest[:i], rest[i+1:])
	}
	var moved, arguments []string
	seen := map[cli.Flag]bool{}
	for i := 0; i < len(rest); {
		if rest[i] == "--" {
			arguments = append(arguments, rest[i+1:]...)
			break
		}
		if !isFlag(rest[i]) {
			arguments = append(arguments, rest[i])
			i++
			continue
		}
		n, err := takeFlag(flags, rest[i:], seen)
		if err != nil {
			return head, err
		}
		moved = append(moved, rest[i:i+n]...)
		i += n
	}
	out := append(head, moved...)
	if len(arguments) > 0 {
		out = append(append(out, "--"), arguments...)
	}
	return out, nil
}

// flagsOf are the flags of a command, or those without any, with what the library adds.
func flagsOf(a *cli.App, c *cli.Command) []cli.Flag {
	if c == nil {
		return append(slices.Clone(a.Flags), cli.VersionFlag)
	}
	return append(slices.Clone(c.Flags), cli.HelpFlag)
}

func isFlag(word string) bool { return len(word) > 1 && word[0] == '-' }

// firstArgument is the position of the first word that is no flag and no flag's value.
func firstArgument(flags []cli.Flag, words []string) int {
	i := 0
	for i < len(words) && words[i] != "--" && isFlag(words[i]) {
		if wantsValue(flags, words[i]) {
			i++
		}
		i++
	}
	return i
}

// wantsValue is true for a flag whose value is the next word.
func wantsValue(flags []cli.Flag, word string) bool {
	f := flagNamed(flags, word)
	return f != nil && !isSwitch(f) && !strings.Contains(word, "=")
}

// flagNamed is the flag that a word names, with a value or without; nil: there is none such.
func flagNamed(flags []cli.Flag, word string) cli.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	i := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return nil
	}
	return flags[i]
}

func isSwitch(f cli.Flag) bool {
	_, is := f.(*cli.BoolFlag)
	return is
}

// takeFlag checks the flag that words begin with, and returns how many words it takes. The library would take the last of two values, and its
// errors name no flag as it is written.
func takeFlag(flags []cli.Flag, words []string, seen map[cli.Flag]bool) (int, error) {
	name, value, given := strings.Cut(words[0], "=")
	f := flagNamed(flags, name)
	if f == nil {
		return 0, unknownFlag(name, flags)
	}
	_, repeatable := f.(*cli.GenericFlag)
	if seen[f] && !repeatable && !isSwitch(f) {
		return 0, usagef("%s is given twice", name)
	}
	seen[f] = true
	n := 1
	if !given && !isSwitch(f) {
		if n = 2; len(words) < n {
			return 0, usagef("%s wants a value", name)
		}
		value = words[1]
	}
	if want := wrongValue(f, value); want != "" && (given || n == 2) {
		return 0, usagef("cannot use %s for %s; want %s", config.MaskArgument(value), name, want)
	}
	return n, nil
}

func unknownFlag(name string, flags []cli.Flag) error {
	var long []string // any letter is near any other
	for _, known := range flagNames(flags) {
		if strings.HasPrefix(known, "--") {
			long = append(long, known)
		}
	}
	name, _, _ = strings.Cut(name, ":") // what stands behind could be a password
	return usagef("there is no flag %s%s", name, config.DidYouMean(name, long))
}

// wrongValue says what a flag wants where a value is not that.
func wrongValue(f cli.Flag, value string) (want string) {
	var err error
	switch f.(type) {
	case *cli.BoolFlag:
		_, err = strconv.ParseBool(value)
		want = "true or false, or no value"
	case *cli.IntFlag:
		_, err = strconv.ParseInt(value, 0, strconv.IntSize)
		want = "a whole number, as in 8080"
	case *cli.DurationFlag:
		_, err = time.ParseDuration(value)
		want = "a time with its unit, as in 5m or 30s"
	}
	if err == nil {
		return ""
	}
	return want
}

// flagNames are all names of flags, as they are written.
func flagNames(flags []cli.Flag) []string {
	var names []string
	for _, f := range flags {
		for _, name := range f.Names() {
			names = append(names, strings.Repeat("-", min(len(name), 2))+name)
		}
	}
	return names
}

// countArguments refuses a command line with fewer or more arguments; want says what they have to be.
func countArguments(c *cli.Context, least, most int, want string) error {
	switch n := c.Args().Len(); {
	case n < least:
		return usagef("%s wants %s", c.Command.Name, want)
	case n > most:
		return usagef("%s wants %s, and got %s", c.Command.Name, want, words.Count(n, "argument"))
	}
	return nil
}

// notBelowZero refuses flags that are a time below zero.
func notBelowZero(c *cli.Context, flags ...string) error {
	for _, name := range flags {
		if d := c.Duration(name); d < 0 {
			return usagef("--%s is %s, and the least is 0s", name, d)
		}
	}
	return nil
}

// noArguments is countArguments of a command that takes none.
func noArguments(c *cli.Context) error { return countArguments(c, 0, 0, "no arguments") }
