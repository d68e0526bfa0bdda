package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// The shells ask l7 itself what may follow: a hidden last argument makes it print the choices instead of running.
const (
	bashCompletion = `_l7() {
  local word="${COMP_WORDS[COMP_CWORD]}" words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  case "$word" in -*) words+=("$word") ;; esac
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$word"))
}
complete -o default -F _l7 l7
`
	zshCompletion = `#compdef l7
_l7() {
  local -a choices words_before
  words_before=("${words[@]:0:$((CURRENT-1))}")
  [[ "${words[CURRENT]}" == -* ]] && words_before+=("${words[CURRENT]}")
  choices=("${(@f)$(_CLI_ZSH_AUTOCOMPLETE_HACK=1 "${words_before[@]}" --generate-bash-completion 2>/dev/null)}")
  _describe 'l7' choices || _files
}
compdef _l7 l7
`
)

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
		BashComplete: func(*cli.Context) { fmt.Fprint(p.Stdout, "bash\nzsh\nfish\n") },
	}
}

func completionScript(c *cli.Context) (string, error) {
	switch shell := c.Args().First(); shell {
	case "bash":
		return bashCompletion, nil
	case "zsh":
		return zshCompletion, nil
	case "fish":
		return c.App.ToFishCompletion()
	default:
		return "", usagef("cannot make a completion for shell %q: want bash, zsh or fish", shell)
	}
}
