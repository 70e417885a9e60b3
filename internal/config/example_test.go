package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// example returns the file that users copy.
func example(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config.example.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExampleIsValidAndShowsTheDefaults(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{"config.toml": example(t)})
	wantProblems(t, problems)
	defaults, _ := load(t, map[string]string{"config.toml": ""})
	c.File = defaults.File
	c.CA.Permit, c.Upstream.NoProxy = defaults.CA.Permit, defaults.Upstream.NoProxy // empty and absent are alike
	if got, want := describe(c), describe(defaults); got != want {
		t.Errorf("the example sets\n%s\nthe defaults are\n%s", got, want)
	}
}

// Every line of the example that is commented out can be put into effect.
func TestExampleIsValidWithEveryLineInEffect(t *testing.T) {
	t.Parallel()
	text := example(t)
	text = regexp.MustCompile(`(?m)^# (\[|[a-z_]+ *= )`).ReplaceAllString(text, "$1")
	text = regexp.MustCompile(`(?m)^token_(file   |command) .*$`).ReplaceAllString(text, "") // one kind is enough
	c, problems := load(t, map[string]string{"config.toml": text})
	for _, p := range problems {
		t.Error(p)
	}
	if c == nil || len(c.Rules) != 1 || len(c.Audiences) != 4 || len(c.Teams) != 1 {
		t.Errorf("the example lost something: %+v", c)
	}
}

// Work that adds a key adds it to the example: the accessors in this package's
// source say which keys there are.
func TestExampleNamesEveryKey(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	accessor := regexp.MustCompile(`\b(?:t|top|tunnel|admin|ca|client|from)\.[a-zA-Z]+\("([a-z_]+)"`)
	text, found := example(t), 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "gate") { // the gate has an example of its own
			continue
		}
		for _, m := range accessor.FindAllStringSubmatch(string(source), -1) {
			found++
			if !regexp.MustCompile(`[\[# {.]` + m[1] + `( *=|\.|\])|\n` + m[1] + ` *=`).MatchString(text) {
				t.Errorf("the example does not name %s", m[1])
			}
		}
	}
	if found < 80 {
		t.Errorf("found only %d accessors: the search is wrong", found)
	}
}

// describe prints every setting.
func describe(c *Config) string {
	return fmt.Sprintf("%s %s %+v %+v %+v %+v %+v %+v %+v %+v %+v %+v", c.Listen, c.Drain,
		c.Upstream, c.Access, c.Tunnel, c.Admin, c.CA, c.Token, c.Entra, c.Retry, c.Session, c.Log)
}
