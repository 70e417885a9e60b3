package main

import (
	"runtime/metrics"
	"strings"
	"testing"
)

// The runtime knows each setting that we warn of, under that name; those that
// it does not count are the exceptions here.
func TestEachWeakeningSettingIsOneOfThisGo(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"tlsmlkem": true, "tlssecpmlkem": true}
	for _, m := range metrics.All() {
		if name, ok := strings.CutPrefix(m.Name, "/godebug/non-default-behavior/"); ok {
			known[strings.TrimSuffix(name, ":events")] = true
		}
	}
	for setting, why := range weakening {
		if name, _, ok := strings.Cut(setting, "="); !ok || !known[name] || why == "" {
			t.Errorf("%s (%s) is no setting of this Go", setting, why)
		}
	}
}
