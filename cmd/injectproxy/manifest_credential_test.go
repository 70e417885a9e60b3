package main

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// Files that a page says to hand to a service are found by it under the names that
// the same page has its configuration say.
func TestCredentialsOfUnitsAreFoundWhereTheyAreHandedOut(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/service.md")
	must(t, err)
	var handed []string
	for _, m := range regexp.MustCompile(`(?m)^ *LoadCredential=([\w.]+):/etc/injectproxy/([\w.]+)$`).FindAllStringSubmatch(string(page), -1) {
		if handed = append(handed, m[1]); m[1] != m[2] {
			t.Errorf("%s is handed out as %s", m[2], m[1])
		}
	}
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`/run/credentials/([\w.-]+)/([\w.]+)"`).FindAllStringSubmatch(string(page), -1) {
		found[m[2]] = true
		if _, err := os.Stat(deploy + "systemd/system/" + m[1]); err != nil || !slices.Contains(handed, m[2]) {
			t.Errorf("%s is not handed to %s: %v", m[2], m[1], err)
		}
	}
	for _, name := range []string{"tls.crt", "obo.pem", "redis.password", "metrics.token"} {
		if !found[name] {
			t.Errorf("the page does not say where the gate finds %s", name)
		}
	}
}
