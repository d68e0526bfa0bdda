package watch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// started watches a file that holds "one", and returns a channel that gets a token for each change.
func started(t *testing.T, path string) (*Watcher, <-chan struct{}) {
	t.Helper()
	changes := make(chan struct{}, 100)
	w, err := Start(func() { changes <- struct{}{} })
	require.NoError(t, err)
	t.Cleanup(w.Close)
	require.NoError(t, w.Set(map[string][]byte{path: nil}))
	return w, changes
}

func awaitChange(t *testing.T, changes <-chan struct{}) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(patience):
		t.Fatal("the change was not noticed")
	}
}

// rewritten has no moment at which the file is empty.
func rewritten(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

func requireNone(t *testing.T, changes <-chan struct{}) {
	t.Helper()
	select {
	case <-changes:
		t.Fatal("there was no change")
	case <-time.After(3 * calm):
	}
}

// However a file is changed it is noticed, and again the next time: a rename must not end the watching.
func TestChanges(t *testing.T) {
	f := func(name string, change func(t *testing.T, path, text string)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "l7.yml")
			write(t, path, "one")
			_, changes := started(t, path)
			for _, text := range []string{"two", "three", "four"} {
				change(t, path, text)
				awaitChange(t, changes)
			}
			requireNone(t, changes)
		})
	}
	f("in place", write)
	f("in pieces", func(t *testing.T, path, text string) {
		file, err := os.Create(path)
		require.NoError(t, err)
		for _, c := range []byte(text) {
			_, err = file.Write([]byte{c})
			require.NoError(t, err)
		}
		require.NoError(t, file.Close())
	})
	f("rename over", func(t *testing.T, path, text string) {
		write(t, path+".new", text)
		require.NoError(t, os.Rename(path+".new", path))
	})
	f("backup and create", func(t *testing.T, path, text string) { // as vim does
		require.NoError(t, os.Rename(path, path+"~"))
		write(t, path, text)
	})
	f("remove and create", func(t *testing.T, path, text string) {
		require.NoError(t, os.Remove(path))
		write(t, path, text)
	})
}

// Kubernetes has the file as a link to ..data/FILE, and ..data as a link that is replaced by a rename.
func TestConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		write(t, filepath.Join(dir, name, "l7.yml"), text)
		require.NoError(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", "one")
	path := filepath.Join(dir, "l7.yml")
	require.NoError(t, os.Symlink("..data/l7.yml", path))
	_, changes := started(t, path)
	version("..2", "two")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "..1")))
	awaitChange(t, changes)
	version("..3", "three")
	awaitChange(t, changes)
	write(t, filepath.Join(dir, "..3", "l7.yml"), "four")
	awaitChange(t, changes)
}

// A folder that is a link, to another link in another folder, was swapped without notice for half a minute. It is noticed again and again, also
// where the link is away for a moment.
func TestLinkedFolder(t *testing.T) {
	dir := t.TempDir()
	for _, folder := range []string{"a", "b", "c/1", "c/2", "c/3", "c/4"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, folder), 0o700))
	}
	for _, version := range []string{"1", "2", "3", "4"} {
		write(t, filepath.Join(dir, "c", version, "l7.yml"), version)
	}
	link := func(name, to string) {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, name+".new")))
		require.NoError(t, os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)))
	}
	link("a/link", "../b/link/.")
	link("b/link", filepath.Join(dir, "c/1"))
	_, changes := started(t, filepath.Join(dir, "a/link/l7.yml"))
	requireNone(t, changes)
	link("b/link", "../c/2")
	awaitChange(t, changes)
	link("a/link", "../c/3")
	awaitChange(t, changes)
	rewritten(t, filepath.Join(dir, "c/3/l7.yml"), "3.1")
	awaitChange(t, changes)
	require.NoError(t, os.Remove(filepath.Join(dir, "a/link")))
	requireNone(t, changes)
	link("a/link", "../c/4")
	awaitChange(t, changes)
	requireNone(t, changes)
}

// Links that lead in a circle lead nowhere.
func TestLinksInACircle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l7.yml")
	require.NoError(t, os.Symlink("l7.yml", path))
	_, changes := started(t, path)
	require.NoError(t, os.Remove(path))
	write(t, path, "one")
	awaitChange(t, changes)
}

// What is no change is not told: the same contents, another file, a file that has gone.
func TestNoChange(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "l7.yml")
	write(t, path, "one")
	w, changes := started(t, path)
	rewritten(t, path, "one")
	write(t, filepath.Join(dir, "other.yml"), "two")
	require.NoError(t, os.Remove(path))
	requireNone(t, changes)
	write(t, path, "two")
	awaitChange(t, changes)

	require.NoError(t, w.Set(nil))
	write(t, path, "three")
	requireNone(t, changes)
	require.NoError(t, w.Set(map[string][]byte{path: nil}))
	requireNone(t, changes)
	require.Error(t, w.Set(map[string][]byte{filepath.Join(dir, "missing", "l7.yml"): nil}))
}

// A file that had gone was never told of, though the next start would fail. It is once, when it is still away in the second round; the looks
// between, of which a renewal in pieces causes some, do not count.
func TestGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l7.yml")
	write(t, path, "one")
	w, changes := started(t, path)
	for range 2 {
		require.NoError(t, os.Remove(path))
		for i := range 5 {
			require.False(t, w.look(false))
			require.NoError(t, w.Set(map[string][]byte{path: nil}))
			require.Equal(t, i == 1, w.look(true))
		}
		write(t, path+".new", "one")
		require.NoError(t, os.Rename(path+".new", path))
		require.True(t, w.look(false), "who was told that it has gone is told that it is back")
		require.False(t, w.look(true))
	}
	requireNone(t, changes)
}

// What has changed between being read and being watched is told, also where it was watched before; what has not is not.
func TestChangedBeforeItWasWatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l7.yml")
	write(t, path, "two")
	w, changes := started(t, path)
	for range 2 {
		require.NoError(t, w.Set(map[string][]byte{path: []byte("two")}))
		requireNone(t, changes)
		require.NoError(t, w.Set(map[string][]byte{path: []byte("one")}))
		awaitChange(t, changes)
		requireNone(t, changes)
	}
}
