package app

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"l7/auth"
	"l7/config"
	"l7/server"
)

// Plan is a config that was found valid, with everything built that it asks for but the listening sockets.
type Plan struct {
	Loaded   *config.Loaded
	Config   *config.Config   // the loaded one with the logins of the users file in it
	Snapshot *server.Snapshot // to be closed by who does not adopt it
	Warnings []string

	listening  *listening
	users      []byte      // the users file
	AdminUsers *auth.Users // who may use the admin listener; nil: there are none
}

// Prepare loads a config and builds its snapshot. It changes nothing that is in force. The error is
// config.Problems: all of them at once, or else what does not become of requests as it is expected.
func Prepare(source Source, parts Parts) (*Plan, error) {
	plan, err := Build(source, parts)
	if err != nil {
		return nil, err
	}
	if problems := addFindings(nil, plan.Loaded, unexpected(plan.Config, plan.Snapshot)); len(problems) > 0 {
		plan.Snapshot.Close()
		problems.Sort()
		return nil, problems
	}
	return plan, nil
}

// Build is Prepare for who wants to know what becomes of requests, and so tries none that the config expects anything of.
func Build(source Source, parts Parts) (*Plan, error) {
	loaded, problems := config.Examine(source.Args, source.Environ)
	cfg := loaded.Config
	users, findings := addUsersFile(loaded, &cfg)
	problems = addFindings(problems, loaded, findings)
	admins, findings := adminUsers(&cfg.Admin, parts.Verifier)
	problems = addFindings(problems, loaded, findings)
	listening := listeners(loaded, &cfg, parts)
	problems = addFindings(problems, loaded, listening.findings)
	parts.HTTP01 = listening.proofs(parts.acme)
	resolveFiles(loaded, &cfg)
	if parts.lookUp != nil && len(problems) == 0 {
		parts.Names = parts.lookUp(&cfg)
	}
	snapshot, findings := server.NewSnapshot(&cfg, parts.Parts)
	problems = addFindings(problems, loaded, findings)
	if len(problems) > 0 {
		if snapshot != nil {
			snapshot.Close()
		}
		problems.Sort()
		return nil, problems
	}
	plan := &Plan{Loaded: loaded, Config: &cfg, Snapshot: snapshot, AdminUsers: admins, listening: listening, users: users}
	plan.Warnings = slices.Concat(warnings(loaded, snapshot, admins), listening.warnings, snapshot.Warnings())
	return plan, nil
}

// resolveFiles makes the names of files that backends need absolute: they are meant from the folder of the config file.
func resolveFiles(loaded *config.Loaded, cfg *config.Config) {
	find := beside(loaded)
	backends := maps.Clone(cfg.Backends)
	for name, b := range backends {
		if b.TLS == (config.ServerTLS{}) {
			continue
		}
		b.TLS.CAFile, b.TLS.Cert, b.TLS.Key = find(b.TLS.CAFile), find(b.TLS.Cert), find(b.TLS.Key)
		backends[name] = b
	}
	cfg.Backends = backends
}

// addFindings gives findings their places. One about a value that could not be read is left out.
func addFindings(problems config.Problems, loaded *config.Loaded, findings []config.Finding) config.Problems {
	before := problems
	for _, f := range findings {
		unread := func(p config.Problem) bool { return within(f.Path, p.Path) }
		if !slices.ContainsFunc(before, unread) {
			problems = append(problems, loaded.Found(f))
		}
	}
	return problems
}

// within is true when the value at path is part of the one at whole. The config as a whole counts for nothing.
func within(path, whole []string) bool {
	return len(whole) > 0 && len(path) >= len(whole) && slices.Equal(path[:len(whole)], whole)
}

// addUsersFile adds the logins of the users file to those of the config, and returns what was read.
func addUsersFile(loaded *config.Loaded, cfg *config.Config) (text []byte, findings []config.Finding) {
	path := []string{"users_file"}
	extra, text, err := readUsers(loaded)
	if err != nil {
		return nil, []config.Finding{{Path: path, Text: err.Error()}}
	}
	if len(extra) > 0 {
		cfg.Users = maps.Clone(cfg.Users)
	}
	if cfg.Users == nil {
		cfg.Users = map[string]config.Secret{}
	}
	for _, login := range slices.Sorted(maps.Keys(extra)) {
		if _, twice := cfg.Users[login]; twice {
			text := fmt.Sprintf("login %q stands in users too; keep one of them", login)
			findings = append(findings, config.Finding{Path: path, Text: text})
		}
		cfg.Users[login] = config.Secret(extra[login])
	}
	return text, findings
}

func warnings(loaded *config.Loaded, snapshot *server.Snapshot, admins *auth.Users) []string {
	texts := make([]string, 0, len(loaded.Warnings))
	for _, w := range loaded.Warnings {
		texts = append(texts, w.Error())
	}
	plain := snapshot.PlainLogins()
	if admins != nil {
		for _, login := range admins.Plain() {
			plain = append(plain, login+" (admin)")
		}
	}
	for _, login := range plain {
		texts = append(texts, fmt.Sprintf("the password of %s stands in the config as plain text; `l7 passwd` makes a hash of it", login))
	}
	return texts
}

// usersFile is the path of the users file; empty: there is none. A relative name is meant from the folder of the config file.
func usersFile(loaded *config.Loaded) string {
	name := loaded.Config.UsersFile
	if name != "" && !filepath.IsAbs(name) && loaded.File != "" {
		name = filepath.Join(filepath.Dir(loaded.File), name)
	}
	return name
}

// readUsers reads the users file.
func readUsers(loaded *config.Loaded) (users map[string]string, text []byte, err error) {
	name := usersFile(loaded)
	if name == "" {
		return nil, nil, nil
	}
	if text, err = os.ReadFile(name); err != nil {
		return nil, nil, fmt.Errorf("cannot read the users file: %w", err)
	}
	users, err = auth.ParseFile(name, text)
	return users, text, err
}
