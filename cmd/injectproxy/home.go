package main

import (
	"os"
	"path/filepath"
)

// What lies below the home of the program, besides the configuration.

func caDir(home string) string       { return filepath.Join(home, "ca") }
func bundleFile(home string) string  { return filepath.Join(caDir(home), "bundle.pem") }
func sessionsDir(home string) string { return filepath.Join(home, "sessions") }

// bundleOf returns the file with the roots that the Azure tools are to trust:
// the bundle, or "" if there is none.
func bundleOf(home string) string {
	if _, err := os.Stat(bundleFile(home)); err != nil {
		return ""
	}
	return bundleFile(home)
}
