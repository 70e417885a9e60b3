//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestTeamFileThatOthersCanChangeIsRefused(t *testing.T) {
	t.Parallel()
	const text = "team = \"a\"\n[[rule]]\nprefix = \"https://a.example/\"\naudience = \"a\""
	const main = "[audience.a]\ntoken_env = \"A\"\n[team.a]\nprefixes = [\"https://a.example/\"]\naudiences = [\"a\"]"
	for name, tt := range map[string]struct {
		change func(t *testing.T, dir, file string) error
		want   string
	}{
		"everybody": {func(_ *testing.T, _, file string) error { return os.Chmod(file, 0o646) }, "can be written by others (mode 0646)"},
		"group":     {func(_ *testing.T, _, file string) error { return os.Chmod(file, 0o660) }, "can be written by others (mode 0660)"},
		"owner": {func(t *testing.T, _, file string) error {
			needRoot(t)
			return os.Chown(file, 65534, -1)
		}, "belongs to another user (uid 65534)"},
		"directory": {func(_ *testing.T, dir, _ string) error { return os.Chmod(dir, 0o777) }, "lies in a directory that everybody can write"},
		"target of a link": {func(_ *testing.T, dir, file string) error {
			target := filepath.Join(dir, "target")
			if err := os.Rename(file, target); err != nil {
				return err
			}
			if err := os.Chmod(target, 0o666); err != nil {
				return err
			}
			return os.Symlink(target, file)
		}, "can be written by others (mode 0666)"},
		"directory of the target": {func(t *testing.T, dir, file string) error {
			open := filepath.Join(dir, "open")
			if err := os.Mkdir(open, 0o700); err != nil {
				return err
			}
			if err := os.Rename(file, filepath.Join(open, "target")); err != nil {
				return err
			}
			if err := os.Chmod(open, 0o777); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(open, "target"), file)
		}, "lies in a directory that everybody can write"},
		"named pipe": {func(_ *testing.T, _, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return syscall.Mkfifo(file, 0o600)
		}, "is not a regular file"},
		"dangling link": {func(_ *testing.T, _, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return os.Symlink("nowhere", file)
		}, "cannot be read: no such file"},
		"directory instead": {func(_ *testing.T, _, file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return os.Mkdir(file, 0o700)
		}, "is not a regular file"},
		"honest link": {func(_ *testing.T, dir, file string) error {
			target := filepath.Join(dir, "target")
			if err := os.Rename(file, target); err != nil {
				return err
			}
			return os.Symlink(target, file)
		}, ""},
		"sticky directory": {func(_ *testing.T, dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "rules.d", "a.toml")
			writeFile(t, filepath.Join(dir, "config.toml"), main)
			writeFile(t, file, text)
			for _, d := range []string{dir, filepath.Dir(file)} { // whatever the umask
				if err := os.Chmod(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.change(t, filepath.Dir(file), file); err != nil {
				t.Fatal(err)
			}
			c, problems := Load(filepath.Join(dir, "config.toml"))
			want, decides := []string{}, "a http-1"
			if tt.want != "" {
				want, decides = []string{"a.toml:1: |" + tt.want}, "off a"
			}
			wantProblems(t, problems, want...)
			if strings.Contains(tt.want, "directory") && !strings.HasPrefix(problems[0].Hint, "chmod o-w \""+dir) {
				t.Errorf("the hint is %s", problems[0].Hint)
			}
			if got := outcome(t, c, "a.example:443", "GET", "/"); got != decides {
				t.Errorf("outcome = %s, want %s", got, decides)
			}
		})
	}
}

func TestConfigThatOthersCanChangeIsWarnedOf(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.toml")
	writeFile(t, file, "")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	c, problems := Load(file)
	wantProblems(t, problems, "config.toml:1: warning: |can be written by others (mode 0666)")
	if c == nil {
		t.Error("the warning stopped it")
	}
}

// needRoot skips a test that changes owners, unless everything is required.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatal("only root can give a file to another user")
	}
	t.Skip("only root can give a file to another user")
}

func TestNameOfATeamFileCannotForgeALine(t *testing.T) {
	t.Parallel()
	_, problems := load(t, map[string]string{"config.toml": granting, "rules.d/x\nforged:1: \x1b.toml": ""})
	if len(problems) != 1 || strings.ContainsAny(problems[0].String(), "\n\x1b") {
		t.Errorf("problems = %q", problems)
	}
}
