package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"l7/auth"
)

func passwdCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:  "passwd",
		Usage: "read a password from the terminal or standard input, print its hash for users:",
		Action: func(*cli.Context) error {
			password, err := readPassword(p)
			if err != nil {
				return err
			}
			hash, err := auth.Hash(password)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.Stdout, hash)
			return err
		},
	}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// readPassword asks twice on a terminal; otherwise the first line of standard input is the password.
func readPassword(p Process) ([]byte, error) {
	if !isTerminal(p.Stdin) {
		line, err := bufio.NewReader(p.Stdin).ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("cannot read the password from standard input: %w", err)
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
	first, err := ask(p, "Password: ")
	if err != nil {
		return nil, err
	}
	second, err := ask(p, "Once more: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		return nil, errors.New("the two passwords differ; nothing was made")
	}
	return first, nil
}

func ask(p Process, prompt string) ([]byte, error) {
	fmt.Fprint(p.Stderr, prompt)
	password, err := term.ReadPassword(int(p.Stdin.Fd()))
	fmt.Fprintln(p.Stderr)
	return password, err
}
