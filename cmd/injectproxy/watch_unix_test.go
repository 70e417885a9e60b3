//go:build unix

package main

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
)

// TestWaysToWriteAFileAreSeen changes a configuration as editors, sed and
// deployments do, several times each, since some of them replace what is
// watched.
func TestWaysToWriteAFileAreSeen(t *testing.T) {
	t.Parallel()
	content := func(n int) []byte { return []byte{'#', byte('0' + n), '\n'} }
	write := func(t *testing.T, name string, n int) {
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, content(n), 0o600))
	}
	for name, change := range map[string]func(t *testing.T, home string, n int){
		"in place": func(t *testing.T, home string, n int) { write(t, home+"/config.toml", n) },
		"vim: the old one becomes the backup": func(t *testing.T, home string, n int) {
			os.Rename(home+"/config.toml", home+"/config.toml~")
			write(t, home+"/config.toml", n)
			os.Remove(home + "/config.toml~")
		},
		"an atomic save": func(t *testing.T, home string, n int) {
			write(t, home+"/.config.toml.tmp", n)
			must(t, os.Rename(home+"/.config.toml.tmp", home+"/config.toml"))
		},
		"sed -i": func(t *testing.T, home string, n int) {
			out, err := exec.Command("sed", "-i", "-e", "s/^#.*/#"+string(content(n)[1])+"/", home+"/config.toml").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
		"removed, then written": func(t *testing.T, home string, n int) {
			os.Remove(home + "/config.toml")
			write(t, home+"/config.toml", n)
		},
		"a link to a file elsewhere, written there": func(t *testing.T, home string, n int) {
			elsewhere := home + "-elsewhere/real.toml"
			write(t, elsewhere, n)
			if n == 1 {
				os.Remove(home + "/config.toml")
				must(t, os.Symlink(elsewhere, home+"/config.toml"))
			}
		},
		"a ConfigMap: the directory behind the link is swapped": func(t *testing.T, home string, n int) {
			data := home + "/..v" + string(content(n)[1])
			write(t, data+"/config.toml", n)
			must(t, os.Symlink(filepath.Base(data), home+"/..data_tmp"))
			must(t, os.Rename(home+"/..data_tmp", home+"/..data"))
			if n == 1 {
				os.Remove(home + "/config.toml")
				must(t, os.Symlink("..data/config.toml", home+"/config.toml"))
			} else {
				must(t, os.RemoveAll(home+"/..v"+string(content(n - 1)[1])))
			}
		},
		"a team file comes": func(t *testing.T, home string, n int) {
			write(t, home+"/rules.d/"+string(content(n)[1])+".toml", n)
		},
		"a team file goes": func(t *testing.T, home string, n int) {
			must(t, os.Remove(home+"/teams/old/"+string(content(n)[1])+".toml"))
		},
		"a team's directory comes": func(t *testing.T, home string, n int) {
			write(t, home+"/teams/"+string(content(n)[1])+"/team.toml", n)
		},
		"the team files' directory is replaced": func(t *testing.T, home string, n int) {
			write(t, home+"/new/a.toml", n)
			os.RemoveAll(home + "/rules.d")
			must(t, os.Rename(home+"/new", home+"/rules.d"))
		},
		"its mode": func(t *testing.T, home string, n int) {
			must(t, os.Chmod(home+"/config.toml", os.FileMode(0o600+n)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := filepath.Join(t.TempDir(), "home")
			write(t, home+"/config.toml", 0)
			for n := range 3 {
				write(t, home+"/teams/old/"+string(content(n + 1)[1])+".toml", 0)
			}
			w, err := watchFiles(home+"/config.toml", []string{home + "/rules.d/*.toml", home + "/teams/*/*.toml"}, slog.New(slog.DiscardHandler))
			must(t, err)
			defer w.close()
			for n := 1; n <= 3; n++ {
				change(t, home, n)
				select {
				case <-w.changed:
				case <-time.After(guard):
					t.Fatalf("change %d went unseen", n)
				}
			}
		})
	}
}

func TestWhatIsNotTheConfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	must(t, os.WriteFile(home+"/config.toml", []byte("#"), 0o600))
	w, err := watchFiles(home+"/config.toml", []string{home + "/rules.d/*.toml"}, slog.New(slog.DiscardHandler))
	must(t, err)
	for range 3 {
		must(t, os.WriteFile(home+"/credential", []byte("x"), 0o600))
		must(t, os.WriteFile(home+"/config.toml.swp", []byte("x"), 0o600))
		must(t, os.WriteFile(home+"/config.toml", []byte("#"), 0o600))
	}
	w.close()
	w.look()
	select {
	case <-w.changed:
		t.Error("taken for a change")
	default:
	}
}

// TestLinkOnTheWayIsWatched swaps a link that leads to the directory of the
// configuration.
func TestLinkOnTheWayIsWatched(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for _, v := range []string{"v1", "v2"} {
		must(t, os.MkdirAll(base+"/releases/"+v, 0o700))
		must(t, os.WriteFile(base+"/releases/"+v+"/config.toml", []byte("# "+v), 0o600))
	}
	must(t, os.Symlink("releases/v1", base+"/current"))
	w, err := watchFiles(base+"/current/config.toml", nil, slog.New(slog.DiscardHandler))
	must(t, err)
	defer w.close()
	must(t, os.Symlink("releases/v2", base+"/next"))
	must(t, os.Rename(base+"/next", base+"/current"))
	select {
	case <-w.changed:
	case <-time.After(guard):
		t.Fatal("it went unseen")
	}
}

func TestWatcherFollowsOtherPatterns(t *testing.T) {
	t.Parallel()
	home, teams := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(home+"/config.toml", []byte("#"), 0o600))
	w, err := watchFiles(home+"/config.toml", nil, slog.New(slog.DiscardHandler))
	must(t, err)
	defer w.close()
	must(t, os.WriteFile(teams+"/a.toml", []byte("#"), 0o600))
	w.include([]string{teams + "/*.toml"})
	for range 2 {
		select {
		case <-w.changed:
		case <-time.After(guard):
			t.Fatal("a change went unseen")
		}
		must(t, os.WriteFile(teams+"/a.toml", []byte("# other"), 0o600))
	}
}

func TestChangeBeforeTheWatchIsSeen(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	read := func(text string) (*config.Config, loadFunc) {
		writeTestFile(t, home+"/config.toml", text)
		load := func() (*config.Config, []config.Problem, error) {
			cfg, problems := config.Load(home + "/config.toml")
			return cfg, problems, nil
		}
		cfg, _, _ := load()
		return cfg, load
	}
	const rules = "[audience.a]\ntoken_env = \"A\"\n[[rule]]\nprefix = \"https://a.example/\"\naudience = \"a\"\n"
	for text, want := range map[string]int{rules: 0, rules + "methods = [\"GET\"]": 1, rules + "[": 1} {
		before, load := read(rules)
		writeTestFile(t, home+"/config.toml", text)
		w, _ := watchConfig(before, slog.New(slog.DiscardHandler))
		w.compare(before, load)
		w.close()
		if got := len(w.changed); got != want {
			t.Errorf("%d changes, want %d, with\n%s", got, want, text)
		}
	}
}
