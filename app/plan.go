package app

import (
	"fmt"
	"os"
	"path/filepath"

	"l7/auth"
	"l7/config"
	"l7/server"
)

// Plan is a config that was found valid, with everything built that it asks for but the listening sockets.
type Plan struct {
	Loaded   *config.Loaded
	Snapshot *server.Snapshot // to be closed by who does not adopt it
	Warnings []string
}

// Prepare loads a config and builds its snapshot. It changes nothing that is in force. The error is
// config.Problems wherever the config is at fault: all of it at once.
func Prepare(source Source, parts server.Parts) (*Plan, error) {
	loaded, err := config.Load(source.Args, source.Environ)
	if err != nil {
		return nil, err
	}
	users, err := readUsers(loaded)
	if err != nil {
		return nil, config.Problems{loaded.Problem([]string{"users_file"}, err.Error())}
	}
	snapshot, findings := server.NewSnapshot(&loaded.Config, users, parts)
	if len(findings) > 0 {
		problems := make(config.Problems, len(findings))
		for i, f := range findings {
			problems[i] = loaded.Problem(f.Path, f.Text)
		}
		return nil, problems
	}
	return &Plan{Loaded: loaded, Snapshot: snapshot, Warnings: warnings(loaded, snapshot)}, nil
}

func warnings(loaded *config.Loaded, snapshot *server.Snapshot) []string {
	texts := make([]string, 0, len(loaded.Warnings))
	for _, w := range loaded.Warnings {
		texts = append(texts, w.Error())
	}
	for _, login := range snapshot.PlainLogins() {
		texts = append(texts, fmt.Sprintf("the password of %s stands in the config as plain text; `l7 passwd` makes a hash of it", login))
	}
	return texts
}

// readUsers reads the users file. A relative name is meant from the folder of the config file.
func readUsers(loaded *config.Loaded) (map[string]string, error) {
	name := loaded.Config.UsersFile
	if name == "" {
		return nil, nil
	}
	if !filepath.IsAbs(name) && loaded.File != "" {
		name = filepath.Join(filepath.Dir(loaded.File), name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the users file: %w", err)
	}
	return auth.ParseFile(name, text)
}
