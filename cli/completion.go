package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"l7/config"
)

// completionFlag as the last word makes l7 print what may stand in its place instead of running. The shells choose among it by the word that is
// being typed, and offer flags only where it begins as one: elsewhere files may be meant.
const completionFlag = "--generate-bash-completion"

const (
	bashCompletion = `_l7() {
  local word="${COMP_WORDS[COMP_CWORD]}" choices
  choices="$("${COMP_WORDS[@]:0:COMP_CWORD}" --generate-bash-completion 2>/dev/null)"
  [[ $word == -* ]] || choices="$(grep -v ^- <<<"$choices")"
  COMPREPLY=($(compgen -W "$choices" -- "$word"))
}
complete -o default -F _l7 l7
`
	zshCompletion = `#compdef l7
_l7() {
  local -a choices
  choices=(${(f)"$("${words[@]:0:$((CURRENT-1))}" --generate-bash-completion 2>/dev/null)"})
  [[ "${words[CURRENT]}" == -* ]] || choices=(${choices:#-*})
  _describe 'l7' choices || _files
}
compdef _l7 l7
`
)

// complete prints what may stand behind some words, a line each: commands, flags, and the arguments that a command has a choice of.
func complete(a *cli.App, words []string, w io.Writer) {
	flags := flagsOf(a, nil)
	i := firstArgument(flags, words)
	choices := commandNames(a)
	if i < len(words) {
		c := a.Command(words[i])
		flags, choices = flagsOf(a, c), choicesOf(a, c)
	}
	if slices.Contains(words, "--") || len(words) > 0 && wantsValue(flags, words[len(words)-1]) {
		return // a server, another program's words, or a flag's value
	}
	for _, choice := range slices.Concat(choices, flagNames(flags)) {
		fmt.Fprintln(w, choice)
	}
}

// choicesOf are the arguments that a command has a choice of.
func choicesOf(a *cli.App, c *cli.Command) []string {
	switch {
	case c == nil:
		return nil
	case c.Name == "completion":
		return []string{"bash", "zsh", "fish"}
	case c.Name == "help":
		return commandNames(a)
	}
	return nil
}

func completionCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script for a shell, as in: source <(l7 completion bash)",
		ArgsUsage: "bash|zsh|fish",
		Action: func(c *cli.Context) error {
			script, err := completionScript(c)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(p.Stdout, script)
			return err
		},
	}
}

func completionScript(c *cli.Context) (string, error) {
	if err := countArguments(c, 1, 1, "a shell: bash, zsh or fish"); err != nil {
		return "", err
	}
	switch shell := c.Args().First(); shell {
	case "bash":
		return bashCompletion, nil
	case "zsh":
		return zshCompletion, nil
	case "fish":
		return c.App.ToFishCompletion()
	default:
		return "", usagef("cannot make a completion for shell %s: want bash, zsh or fish", config.MaskArgument(shell))
	}
}
