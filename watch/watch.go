// Package watch tells when files have changed, in whichever way: written in place, replaced by a rename as editors do, or by the swap
// of a symbolic link on the way to them, as Kubernetes does with a ConfigMap.
//
// It compares contents, so that a touched file is no changed one. A file that cannot be read has not changed, until that lasts.
package watch

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// calm is how long nothing may happen before the files are looked at: a file is often written in several pieces.
	calm = 100 * time.Millisecond
	// latest is when they are looked at although there is no calm.
	latest = time.Second
	// round is how often they are looked at in any case: not every file system tells of changes.
	round = 30 * time.Second
	// gone is in how many rounds in turn a file cannot be read until that is a change.
	gone = 2
)

// Watcher watches a changing set of files. All methods may be called concurrently; changed may call Set, and not Close.
type Watcher struct {
	changed func()
	notify  *fsnotify.Watcher
	soon    chan struct{} // has a token when the files are to be looked at
	ended   chan struct{}
	running sync.WaitGroup

	mu    sync.Mutex // guards all below
	files map[string]known
	dirs  map[string]bool // that notify watches
}

// known is what is known of a file.
type known struct {
	content
	away int // in how many rounds it could not be read since
}

// content is what stands for a file's bytes.
type content [sha256.Size]byte

// Start returns a Watcher of no files yet. Changed is called by one goroutine, once for all that changed at about the same time. Close
// must be called.
func Start(changed func()) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &Watcher{changed: changed, notify: notify, soon: make(chan struct{}, 1), ended: make(chan struct{}), files: map[string]known{}, dirs: map[string]bool{}}
	w.running.Go(w.run)
	return w, nil
}

// Close ends the watching. It waits for a call of changed that is under way.
func (w *Watcher) Close() {
	close(w.ended)
	_ = w.notify.Close() // it was open
	w.running.Wait()
}

// Set says which files are watched from now on, by their paths, and what is known of them. One that has changed since is told of soon. Of one
// that nothing is known of (nil), what counts is what it was when it was watched before, or else what it is now. The error says which
// folder cannot be watched; its files are looked at now and then all the same.
func (w *Watcher) Set(paths map[string][]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := make(map[string]known, len(paths))
	for path, text := range paths {
		file, watched := w.files[path]
		switch {
		case text != nil:
			file.content = sha256.Sum256(text)
		case !watched:
			var there bool
			if file.content, there = read(path); !there { // it is empty until it is there
				file.away = gone
			}
		}
		files[path] = file
	}
	w.files = files
	err := w.follow()
	select {
	case w.soon <- struct{}{}:
	default: // they will be looked at anyway
	}
	return err
}

// follow watches the folders of the files, and those of the links on the way to them. w.mu is held.
func (w *Watcher) follow() (failed error) {
	wanted := map[string]bool{}
	for path := range w.files {
		wanted[filepath.Dir(path)] = true
		for _, dir := range deciding(path) {
			wanted[dir] = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(w.dirs)) {
		if !wanted[dir] {
			_ = w.notify.Remove(dir) // it may have gone
			delete(w.dirs, dir)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(wanted)) {
		// Always: a folder that has been made anew under its old name is another one.
		if err := w.notify.Add(dir); err != nil && failed == nil {
			failed = err
		}
		w.dirs[dir] = true
	}
	return failed
}

// maxLinks is how many links the system follows on the way to a file.
const maxLinks = 40

// deciding are the folders that decide which file a path leads to: those of the links on the way, and that of the file, or of what is missing on
// the way. Their names have no links in them.
func deciding(path string) (dirs []string) {
	const separator = string(filepath.Separator)
	at, rest, links := ".", path, 0
	if filepath.IsAbs(path) {
		at = separator
	}
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, separator)
		next := filepath.Join(at, name) // there is no link in at, so that it is right for ".." too
		to, err := os.Readlink(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return append(dirs, at)
		case err != nil: // no link
			at = next
			continue
		}
		dirs = append(dirs, at)
		if links++; links > maxLinks {
			return dirs
		}
		rest = to + separator + rest
		if filepath.IsAbs(to) {
			at = separator
		}
	}
	return append(dirs, filepath.Dir(at))
}

func (w *Watcher) run() {
	rounds := time.NewTicker(round)
	defer rounds.Stop()
	var due <-chan time.Time // nil while nothing has happened
	var first time.Time      // that is waiting
	isRound := false         // it is time for one
	for {
		select {
		case <-due:
			due = nil
			isChanged := w.look(isRound)
			if isRound = false; isChanged {
				w.changed()
			}
			continue
		case _, open := <-w.notify.Events:
			if !open {
				return
			}
		case lost := <-w.notify.Errors:
			_ = lost // it says that there were more events than could be kept; the files are looked at all the same
		case <-rounds.C:
			isRound = true
		case <-w.soon:
		case <-w.ended:
			return
		}
		if due == nil {
			first = time.Now()
		}
		due = time.After(min(calm, latest-time.Since(first)))
	}
}

// look is true when one of the files has other contents than before, or has gone for good as far as the rounds tell. It reads without the lock: a read
// may hang, and Set must not.
func (w *Watcher) look(isRound bool) (changed bool) {
	w.mu.Lock()
	_ = w.follow() // links may lead elsewhere, and what changes there after it is read has to be noticed; what cannot be watched is looked at each round
	paths := slices.Collect(maps.Keys(w.files))
	w.mu.Unlock()
	for _, path := range paths {
		now, ok := read(path)
		changed = w.compare(path, now, ok, isRound) || changed
	}
	return changed
}

// compare keeps what was read of a file, and is true when that is a change.
func (w *Watcher) compare(path string, now content, ok, isRound bool) (changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, watched := w.files[path]
	switch {
	case !watched: // any more
		return false
	case ok:
		w.files[path] = known{content: now}
		return now != before.content || before.away == gone // whoever was told that it has gone is told that it is back
	case isRound && before.away < gone:
		before.away++
		w.files[path] = before
		return before.away == gone
	}
	return false
}

// read is false for a file that cannot be read.
func read(path string) (content, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return content{}, false
	}
	return sha256.Sum256(text), true
}
