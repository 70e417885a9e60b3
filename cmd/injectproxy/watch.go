package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/injectproxy/injectproxy/internal/config"
)

// How long the files must have been left alone before they are read: an editor
// writes in several steps, and a deployment several files. Who never rests is
// not waited for longer than mostRest.
const (
	rest     = 150 * time.Millisecond
	mostRest = 2 * time.Second
)

// watcher says when the files of a configuration have changed. It watches
// directories, since files are replaced as often as they are written, and
// compares contents, since directories are busy places. What a symbolic link
// leads to counts, as does any link on the way: Kubernetes swaps a directory.
type watcher struct {
	changed chan struct{} // receives when the files are others than before

	fs      *fsnotify.Watcher
	log     *slog.Logger
	watched map[string]os.FileInfo
	seen    [sha256.Size]byte

	mu    sync.Mutex // guards what follows
	file  string
	globs []string

	other   chan struct{} // receives when globs are others
	closed  chan struct{}
	running sync.WaitGroup
}

// watchFiles begins to watch file and what the patterns name. Both are absolute.
func watchFiles(file string, patterns []string, log *slog.Logger) (*watcher, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{
		changed: make(chan struct{}, 1), fs: fs, log: log, watched: map[string]os.FileInfo{},
		file: file, globs: patterns, other: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	w.follow()
	w.seen = w.digest()
	w.running.Go(w.run)
	return w, nil
}

// watchConfig watches the files of cfg. Where that cannot be done the watcher is
// nil, and nothing is ever received.
func watchConfig(cfg *config.Config, log *slog.Logger) (*watcher, <-chan struct{}) {
	w, err := watchFiles(cfg.File, cfg.Include, log)
	if err != nil {
		log.Warn("changes of the configuration go unseen", "error", err, "hint", "send serve a SIGHUP after a change")
		return nil, nil
	}
	return w, w.changed
}

// include changes the patterns. A nil watcher has none.
func (w *watcher) include(patterns []string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Equal(w.globs, patterns) {
		return
	}
	w.globs = patterns
	select {
	case w.other <- struct{}{}:
	default:
	}
}

// compare says that the files have changed if cfg, which was read before they
// were watched, is not what load reads now. A nil watcher compares nothing.
func (w *watcher) compare(cfg *config.Config, load loadFunc) {
	if w == nil {
		return
	}
	if now, _, err := load(); err == nil && reflect.DeepEqual(now, cfg) {
		return
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// close ends the watcher, which may be nil, and waits for it.
func (w *watcher) close() {
	if w == nil {
		return
	}
	close(w.closed)
	w.running.Wait()
	w.fs.Close()
}

func (w *watcher) run() {
	for {
		select {
		case <-w.fs.Events:
			w.settle()
			w.look()
		case err := <-w.fs.Errors: // such as an overflow: events were lost
			w.log.Debug("watching the configuration", "error", err)
			w.look()
		case <-w.other:
			w.look()
		case <-w.closed:
			return
		}
	}
}

// settle returns once the directories are at rest.
func (w *watcher) settle() {
	most := time.NewTimer(mostRest)
	defer most.Stop()
	quiet := time.NewTimer(rest)
	defer quiet.Stop()
	for {
		select {
		case <-w.fs.Events:
			quiet.Reset(rest)
		case <-quiet.C:
			return
		case <-most.C:
			return
		case <-w.closed:
			return
		}
	}
}

// look says so if the files have changed.
func (w *watcher) look() {
	w.follow() // before reading, so that no later change goes unseen
	now := w.digest()
	if now == w.seen {
		return
	}
	w.seen = now
	select {
	case w.changed <- struct{}{}:
	default: // nobody has looked since the last change
	}
}

// files returns config.toml and the team files that there are.
func (w *watcher) files() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := []string{w.file}
	for _, pattern := range w.globs {
		found, _ := filepath.Glob(pattern) // the configuration has said what is wrong with it
		files = append(files, found...)
	}
	return files
}

// digest is another one whenever a file's name, mode or content is.
func (w *watcher) digest() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range w.files() {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			fmt.Fprintf(h, "%q\n", name)
			continue
		}
		content := sha256.New()
		if f, err := os.Open(name); err == nil {
			io.Copy(content, io.LimitReader(f, 2<<20)) // more is not read as a configuration
			f.Close()
		}
		fmt.Fprintf(h, "%q %v %x\n", name, info.Mode(), content.Sum(nil))
	}
	h.Sum(sum[:0])
	return sum
}

// follow watches each directory in which a change can matter.
func (w *watcher) follow() {
	dirs := map[string]bool{}
	for _, name := range w.files() {
		trail(dirs, name, 0)
	}
	w.mu.Lock()
	for _, pattern := range w.globs {
		for dir := filepath.Dir(pattern); ; dir = filepath.Dir(dir) {
			found, _ := filepath.Glob(dir)
			for _, d := range found {
				trail(dirs, filepath.Join(d, "x"), 0)
			}
			if !strings.ContainsAny(dir, `*?[`) {
				trail(dirs, filepath.Join(dir, "x"), 0)
				break
			}
		}
	}
	w.mu.Unlock()
	for dir := range dirs {
		w.add(dir)
	}
	for dir := range w.watched {
		if !dirs[dir] {
			w.fs.Remove(dir) // or it is gone already
			delete(w.watched, dir)
		}
	}
}

// add watches dir, again if it is another directory than it was.
func (w *watcher) add(dir string) {
	info, err := os.Stat(dir)
	if err != nil {
		return
	}
	if before := w.watched[dir]; before != nil && !os.SameFile(before, info) {
		w.fs.Remove(dir)
	}
	// Nothing comes of adding a directory twice, and its watch may have gone
	// with one that was in its place.
	if err := w.fs.Add(dir); err != nil {
		w.log.Warn("changes of the configuration in a directory go unseen", "directory", dir, "error", err,
			"hint", "send serve a SIGHUP after a change")
		return
	}
	w.watched[dir] = info
}

// mostLinks bounds how many symbolic links are followed, which may lead in a
// circle.
const mostLinks = 40

// trail adds to dirs the directories in which a change can change what path
// leads to: its own, and that of each symbolic link on the way.
func trail(dirs map[string]bool, path string, links int) {
	var steps []string
	path = filepath.Clean(path)
	for p := path; ; p = filepath.Dir(p) {
		steps = append(steps, p)
		if filepath.Dir(p) == p {
			break
		}
	}
	for i := len(steps) - 1; i >= 0; i-- {
		step := steps[i]
		info, err := os.Lstat(step)
		if err != nil { // it may come into being
			dirs[filepath.Dir(step)] = true
			return
		}
		if info.Mode()&os.ModeSymlink == 0 || links == mostLinks {
			continue
		}
		dirs[filepath.Dir(step)] = true
		target, err := os.Readlink(step)
		if err != nil {
			return
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(step), target)
		}
		trail(dirs, filepath.Join(target, strings.TrimPrefix(path, step)), links+1)
		return
	}
	dirs[filepath.Dir(path)] = true
}
