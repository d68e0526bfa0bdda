package auth

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// ParseFile reads the text of an htpasswd file into what New takes: lines of login:hash, of which a further
// colon and what follows are a comment, as nginx and Apache have it; lines that start with '#' and blank ones are passed over. Only
// hashes are read: plain text and DES crypt, which nothing tells apart, are errors. The name is for the errors, which have
// line numbers and no passwords; all of them are joined.
func ParseFile(name string, text []byte) (map[string]string, error) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // the byte order mark of Windows editors
	users := make(map[string]string)
	lines := make(map[string]int) // where a login was seen first
	var errs []error
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		login, hash, err := parseLine(line)
		if first := lines[login]; err == nil && first > 0 {
			err = fmt.Errorf("login %q is already on line %d", login, first)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, number, err))
			continue
		}
		lines[login], users[login] = number, hash
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return users, nil
}

func parseLine(line string) (login, hash string, err error) {
	login, rest, ok := strings.Cut(line, ":")
	if !ok {
		return "", "", errors.New("cannot read the line: it is not login:hash")
	}
	if err := checkLogin(login); err != nil {
		return "", "", err
	}
	hash, _, _ = strings.Cut(rest, ":")
	_, err = parseHash(hash)
	switch {
	case hash == "":
		err = errors.New("it is empty")
	case errors.Is(err, errNotHashed):
		err = errors.New("plain text and DES crypt are not read from a file; make a hash with `l7 passwd`")
	}
	if err != nil {
		return "", "", fmt.Errorf("cannot use the password of login %q: %w", login, err)
	}
	return login, hash, nil
}
