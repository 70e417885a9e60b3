//go:build unix

package config

import "testing"

// A directory that cannot be read may hold rules, which would be gone without
// a word. Root reads every directory, so here a file stands in its place.
func TestIncludeThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		"":                                      `config.toml:1: |include: "rules.d/*.toml" cannot be read: not a directory`,
		"\ninclude = [\"rules.d/*.toml\"]":      `config.toml:2: |include: "rules.d/*.toml" cannot be read`,
		"\ninclude = [\"rules.d/*/mine.toml\"]": `config.toml:2: |include: "rules.d/*/mine.toml" cannot be read`,
		"\ninclude = [\"rules.d/mine.toml\"]":   `config.toml:2: |include: "rules.d/mine.toml" cannot be read`,
	} {
		c, problems := load(t, map[string]string{"config.toml": config, "rules.d": "a file"})
		wantProblems(t, problems, want)
		if c != nil {
			t.Errorf("%q: the configuration is taken", config)
		}
	}
}

func TestIncludeOfADirectoryThatIsNotThereIsNoError(t *testing.T) {
	t.Parallel()
	for config, want := range map[string][]string{
		"":                                      nil,
		"\ninclude = [\"other.d/*.toml\"]":      nil,
		"\ninclude = [\"other.d/mine.toml\"]":   {`config.toml:2: warning: |include: "other.d/mine.toml" does not exist`},
		"\ninclude = [\"o*r.d/x/*.toml\"]":      nil,
		"\ninclude = [\"rules.d/[a-z].toml\"]":  nil,
		"\ninclude = [\"rules.d/../x/*.toml\"]": nil,
	} {
		c, problems := load(t, map[string]string{"config.toml": config})
		wantProblems(t, problems, want...)
		if c == nil {
			t.Errorf("%q: the configuration is not taken", config)
		}
	}
}
