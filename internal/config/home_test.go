package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestHomeIsTheVariableOrTheUsersDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("INJECTPROXY_HOME", dir)
	if home, err := Home(); home != dir || err != nil {
		t.Errorf("home = %s, %v", home, err)
	}
	t.Setenv("INJECTPROXY_HOME", "relative")
	if home, err := Home(); !filepath.IsAbs(home) || err != nil {
		t.Errorf("home = %s, %v", home, err)
	}
	t.Setenv("INJECTPROXY_HOME", "")
	user, err := os.UserConfigDir()
	if err != nil {
		t.Skip(err)
	}
	if home, err := Home(); home != filepath.Join(user, "injectproxy") || err != nil {
		t.Errorf("home = %s, %v", home, err)
	}
}

func TestFindPrefersTheFlagThenTheHome(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("INJECTPROXY_HOME", dir)
	if _, err := os.Stat(filepath.Join(system, "config.toml")); errors.Is(err, fs.ErrNotExist) {
		if file, err := Find(""); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("found %s in an empty home, %v", file, err)
		}
	}
	own := filepath.Join(dir, "config.toml")
	writeFile(t, own, "")
	if file, err := Find(""); file != own || err != nil {
		t.Errorf("found %s, %v", file, err)
	}
	flag := filepath.Join(dir, "other.toml")
	if file, err := Find(flag); file != flag || err != nil {
		t.Errorf("with a flag found %s, %v", file, err)
	}
}
