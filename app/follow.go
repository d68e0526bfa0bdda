package app

import (
	"l7/config"
	"l7/watch"
)

// follow watches the files that the config in force comes from, where it says so, and stops where it does not any more.
func (a *App) follow(plan *Plan) {
	a.followCertificates(plan.listening.files)
	files := watched(plan.Loaded)
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
	if err := a.watcher.Set(files...); err != nil {
		a.log.Warn().Err(err).Strs("files", files).Msg("changes of the config are noticed only now and then")
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
	if err := a.certWatcher.Set(files...); err != nil {
		a.log.Warn().Err(err).Strs("files", files).Msg("changes of the certificates are noticed only now and then")
	}
	a.readAgain()
}

// unfollow ends the watching.
func (a *App) unfollow() {
	a.reloading.Lock()
	watchers := []*watch.Watcher{a.watcher, a.certWatcher}
	a.watcher, a.certWatcher = nil, nil
	a.reloading.Unlock()
	for _, w := range watchers {
		if w != nil {
			w.Close()
		}
	}
}

// watched are the files to watch; none where the config does not ask for it.
func watched(loaded *config.Loaded) []string {
	if !loaded.Config.Watch || loaded.File == "" {
		return nil
	}
	files := []string{loaded.File}
	if name := usersFile(loaded); name != "" {
		files = append(files, name)
	}
	for i, name := range files {
		files[i] = absolute(name)
	}
	return files
}
