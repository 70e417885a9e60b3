package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// findProgram returns where a command is, as a shell would find it.
func findProgram(name string) (string, error) {
	program, err := exec.LookPath(name)
	if err == nil || errors.Is(err, exec.ErrDot) {
		return program, nil // a PATH with the current directory is the user's choice
	}
	if isMissing(err) && filepath.Base(name) == name && isSomewhere(name) {
		err = fs.ErrPermission
	}
	return "", cannotRun(name, err)
}

// isSomewhere reports whether PATH leads to a file of that name, which then is
// one that cannot be run.
func isSomewhere(name string) bool {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

func isMissing(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
}

// errorText is the innermost text of err, without the names of calls and files
// around it.
func errorText(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return strings.TrimPrefix(err.Error(), "exec: ")
}
