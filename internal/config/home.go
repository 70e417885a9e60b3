package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// system is where machine-wide configurations lie, on systems that have /etc.
const system = "/etc/injectproxy"

// Home returns the directory of everything that belongs to this user:
// $INJECTPROXY_HOME, else injectproxy in the user's configuration directory.
// It is absolute; it need not exist.
func Home() (string, error) {
	if dir := os.Getenv("INJECTPROXY_HOME"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no home for injectproxy (set INJECTPROXY_HOME): %v", err)
	}
	return filepath.Join(dir, "injectproxy"), nil
}

// Find returns the configuration file to use: flag if it is not "", else
// config.toml in [Home], else the machine's. The error wraps [fs.ErrNotExist]
// if there is none.
func Find(flag string) (string, error) { return find(flag, "config.toml") }

// FindGate is [Find] for the configuration of the gate, gate.toml.
func FindGate(flag string) (string, error) { return find(flag, "gate.toml") }

func find(flag, name string) (string, error) {
	if flag != "" {
		return filepath.Abs(flag)
	}
	home, err := Home()
	if err != nil {
		return "", err
	}
	file := filepath.Join(home, name)
	candidates := []string{file}
	if runtime.GOOS != "windows" {
		candidates = append(candidates, filepath.Join(system, name))
	}
	for _, c := range candidates {
		// A file that is there but cannot be read is the one that was meant:
		// reading it will say what is wrong.
		if _, err := os.Stat(c); !errors.Is(err, fs.ErrNotExist) {
			return c, nil
		}
	}
	return "", fmt.Errorf("no configuration: %s: %w", file, fs.ErrNotExist)
}
