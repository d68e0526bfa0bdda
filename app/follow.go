package app

import (
	"maps"
	"slices"

	"l7/watch"
)

// follow watches the files that the config in force comes from, where it says so, and stops where it does not any more.
func (a *App) follow(plan *Plan) {
	a.followCertificates(plan.listening.files)
	files := plan.watched()
	if a.watcher == nil {
		if len(files) == 0 {
			return
		}
		watcher, err := watch.Start(a.noticed)
		if err != nil {
			a.log.Error().Err(err).Msg("cannot watch the config; reload it by a signal or a command")
			return
		}
		a.watcher = watcher
	}
	if err := a.watcher.Set(files); err != nil {
		a.log.Warn().Err(err).Strs("files", slices.Sorted(maps.Keys(files))).Msg("changes of the config are noticed only now and then")
	}
}

// noticed is called when a watched file has changed.
func (a *App) noticed() {
	a.log.Info().Msg("the config has changed")
	_ = a.Reload() // it has logged why
}

// followCertificates watches the files of certificates, whether the config is watched or not: whoever renews them need not know of l7.
func (a *App) followCertificates(files []string) {
	if a.certWatcher == nil {
		if len(files) == 0 {
			return
		}
		watcher, err := watch.Start(a.renewCertificates)
		if err != nil {
			a.log.Error().Err(err).Msg("cannot watch the certificates; reload after they have changed")
			return
		}
		a.certWatcher = watcher
	}
	unknown := make(map[string][]byte, len(files))
	for _, file := range files {
		unknown[file] = nil
	}
	if err := a.certWatcher.Set(unknown); err != nil {
		a.log.Warn().Err(err).Strs("files", files).Msg("changes of the certificates are noticed only now and then")
	}
	go a.readAgain() // nobody waits for a file that hangs
}

// unfollow ends the watching.
func (a *App) unfollow() {
	a.changing.Lock()
	watchers := []*watch.Watcher{a.watcher, a.certWatcher}
	a.watcher, a.certWatcher = nil, nil
	a.changing.Unlock()
	for _, w := range watchers {
		if w != nil {
			go w.Close() // it waits for a reload that it has begun, which may hang in a read
		}
	}
}

// watched are the files to watch, with what was read of them; none where the config does not ask for it.
func (p *Plan) watched() map[string][]byte {
	if !p.Loaded.Config.Watch || p.Loaded.File == "" {
		return nil
	}
	files := map[string][]byte{absolute(p.Loaded.File): p.Loaded.Text()}
	if name := usersFile(p.Loaded); name != "" {
		files[absolute(name)] = p.users
	}
	return files
}
