package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// isNoServer is true for an argument that cannot be HOST[/PREFIX]=ADDRESS.
func isNoServer(arg string) bool { return !strings.Contains(arg, "=") }

// flagsFirst moves the command to the front and flags before the arguments that they stand behind: the library stops at the first argument.
// Everything after "--" stays an argument.
func flagsFirst(a *cli.App, argv []string) []string {
	if len(argv) < 2 {
		return argv
	}
	head, rest := argv[:1:1], argv[1:]
	flags := a.Flags
	if i := firstArgument(flags, rest); i < len(rest) && a.Command(rest[i]) != nil {
		head, flags = append(head, rest[i]), a.Command(rest[i]).Flags
		rest = slices.Concat(rest[:i], rest[i+1:])
	}
	var moved, arguments []string
	for i := 0; i < len(rest); i++ {
		arg := rest[i]
		if arg == "--" {
			arguments = append(arguments, rest[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			arguments = append(arguments, arg)
			continue
		}
		moved = append(moved, arg)
		if !wantsValue(flags, arg) {
			continue
		}
		if i++; i == len(rest) {
			return append(head, moved...) // the library says that the value is missing
		}
		moved = append(moved, rest[i])
	}
	out := append(head, moved...)
	if len(arguments) > 0 {
		out = append(append(out, "--"), arguments...)
	}
	return out
}

// firstArgument is the position of the first word that is no flag and no flag's value.
func firstArgument(flags []cli.Flag, words []string) int {
	i := 0
	for i < len(words) && words[i] != "--" && len(words[i]) > 1 && words[i][0] == '-' {
		if wantsValue(flags, words[i]) {
			i++
		}
		i++
	}
	return i
}

// wantsValue is true for a flag whose value is the next argument.
func wantsValue(flags []cli.Flag, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, f := range flags {
		_, isSwitch := f.(*cli.BoolFlag)
		for _, n := range f.Names() {
			if n == name {
				return !isSwitch
			}
		}
	}
	return false
}
