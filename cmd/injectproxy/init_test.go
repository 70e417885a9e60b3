package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
)

// loadText returns the configuration that text is.
func loadText(t *testing.T, text string) (*config.Config, []config.Problem) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	writeTestFile(t, file, text)
	return config.Load(file)
}

func TestStarterIsValidAndChangesNoDefault(t *testing.T) {
	cfg, problems := loadText(t, starter)
	if len(problems) > 0 {
		t.Fatalf("%v", problems)
	}
	defaults, _ := loadText(t, "")
	if cfg.Listen != defaults.Listen || cfg.Upstream.Proxy != defaults.Upstream.Proxy || cfg.Token != defaults.Token || len(cfg.Rules)+len(cfg.Audiences)+len(cfg.Teams) != 0 {
		t.Errorf("the starter sets %+v", cfg)
	}
}

func TestStartersExamplesCanBePutIntoEffect(t *testing.T) {
	text := regexp.MustCompile(`(?m)^# (\[|[a-z_]+ *= )`).ReplaceAllString(starter, "$1")
	cfg, problems := loadText(t, text)
	if len(problems) > 0 {
		t.Fatalf("%v", problems)
	}
	if len(cfg.Rules) != 1 || len(cfg.Audiences) != 2 || len(cfg.Teams) != 1 {
		t.Errorf("the starter lost something: %d rules, %d audiences, %d teams", len(cfg.Rules), len(cfg.Audiences), len(cfg.Teams))
	}
}

// What the starter shows is in the file that explains every key.
func TestStarterHasNoKeyThatTheExampleLacks(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", "..", "config.example.toml"))
	must(t, err)
	key := regexp.MustCompile(`(?m)^(?:# )?(\[[^\]]+\]\]?|[a-z_]+ *=)`)
	keys := func(text string) (list []string) {
		for _, m := range key.FindAllStringSubmatch(text, -1) {
			list = append(list, strings.TrimRight(m[1], " ="))
		}
		return list
	}
	shown, known := keys(starter), keys(string(example))
	if len(shown) < 15 {
		t.Fatalf("found only %q: the search is wrong", shown)
	}
	for _, k := range shown {
		if !slices.Contains(known, k) {
			t.Errorf("the example has no %s", k)
		}
	}
}

func TestStarterForDomainsPermitsThem(t *testing.T) {
	permit := []string{"corp.example", "10.0.0.0/8", "2001:db8::/32", "bücher.example", "mcp.corp.example"}
	want := []string{"corp.example", "10.0.0.0/8", "2001:db8::/32", "xn--bcher-kva.example", "mcp.corp.example"}
	text, err := starterFor(permit)
	must(t, err)
	cfg, problems := loadText(t, text)
	if cfg == nil || len(problems) > 0 || !slices.Equal(cfg.CA.Permit, want) {
		t.Errorf("problems %v, %+v", problems, cfg)
	}
	for _, bad := range []string{"", "a b", "*.corp.example", "https://corp.example", "a\"]\n[x]", "corp.example:443"} {
		if text, err := starterFor([]string{"good.example", bad}); err == nil {
			cfg, problems := loadText(t, text)
			t.Errorf("%q is taken: %v %v", bad, cfg, problems)
		}
	}
}

func TestStarterIsForItsOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	file := filepath.Join(t.TempDir(), "new", "home", "config.toml")
	must(t, writeStarter(file, starter))
	for name, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700 | os.ModeDir} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, error %v", name, info.Mode(), err)
		}
	}
}
