package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// include returns the files that the patterns name, sorted. Like a
// shell it leaves out hidden files unless the pattern asks for them: editors
// keep their locks and copies there.
func (t *table) include(patterns []string) []string {
	var files []string
	for i, pattern := range patterns {
		at := t.elementAt("include", i)
		found, err := filepath.Glob(t.absPattern(pattern))
		unreadable := ""
		if len(found) == 0 {
			unreadable = t.unreadable(pattern)
		}
		switch {
		case err != nil || pattern == "":
			t.errorf(at, "include: %s is not a pattern of file names", show(pattern))
		case unreadable != "":
			t.errorf(at, "include: %s cannot be read: %s", show(pattern), unreadable)
		case len(found) == 0 && !strings.ContainsAny(pattern, wild):
			t.warnf(at, "include: %s does not exist", show(pattern))
		}
		hidden := strings.HasPrefix(filepath.Base(pattern), ".")
		for _, file := range found {
			if hidden || !strings.HasPrefix(filepath.Base(file), ".") {
				files = append(files, file)
			}
		}
	}
	slices.Sort(files)
	files = slices.Compact(files)
	if i := slices.Index(files, t.source); i >= 0 {
		t.errorf(t.at("include"), "include names config.toml itself")
		files = slices.Delete(files, i, i+1)
	}
	return files
}

// patterns returns what include says, or its default.
func (t *table) patterns() []string {
	patterns := []string{"rules.d/*.toml"}
	if t.has("include") {
		patterns = t.list("include")
	}
	t.known = append(t.known, "include")
	return patterns
}

// wild are the characters that make a pattern of a file name.
const wild = "*?["

// unreadable says why the file or directory that a pattern begins with cannot
// be read, though it is there: Glob takes it for absent.
func (t *table) unreadable(pattern string) string {
	var err error
	if i := strings.IndexAny(pattern, wild); i < 0 {
		_, err = os.Stat(t.abs(pattern))
	} else {
		_, err = os.ReadDir(t.abs(filepath.Dir(pattern[:i] + "*")))
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return cause(err)
}

// absPattern is pattern relative to the file, whose own path is no pattern.
func (t *table) absPattern(pattern string) string {
	if filepath.IsAbs(pattern) {
		return pattern
	}
	dir := filepath.Dir(t.source)
	if runtime.GOOS != "windows" { // there Glob knows no escape, and file names no '*' or '?'
		dir = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
	}
	return filepath.Join(dir, pattern)
}
