//go:build unix

package main

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// execToken is the token of execRule, in the variable that it names.
const (
	execToken = "token-of-the-variable"
	execRule  = "--rule=https://api.example.test/=env:EXEC_TOKEN"
)

// execution is injectproxy exec in a directory of its own, in a session without
// a terminal.
type execution struct {
	cmd            *exec.Cmd
	temp           string // TMPDIR
	home           string
	stdout, stderr eventLog
}

func newExecution(t testing.TB, args ...string) *execution {
	t.Helper()
	e := &execution{temp: t.TempDir(), home: t.TempDir()}
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	t.Cleanup(cancel)
	e.cmd = command(t, ctx, e.home, []string{"TMPDIR=" + e.temp, "EXEC_TOKEN=" + execToken}, append([]string{"exec"}, args...)...)
	e.cmd.Dir, e.cmd.Stdout, e.cmd.Stderr = t.TempDir(), &e.stdout, &e.stderr
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return e
}

// run runs it to its end.
func (e *execution) run(t testing.TB) syscall.WaitStatus {
	t.Helper()
	must(t, e.cmd.Start())
	return e.wait(t)
}

// wait returns how it ended, having left nothing behind.
func (e *execution) wait(t testing.TB) syscall.WaitStatus {
	t.Helper()
	e.cmd.Wait() // the status says it
	entries, err := os.ReadDir(e.temp)
	must(t, err)
	for _, entry := range entries {
		t.Errorf("%s is left", entry.Name())
	}
	if strings.Contains(e.stderr.String(), execToken) {
		t.Errorf("stderr has the token:\n%s", e.stderr.String())
	}
	return e.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

func TestExecEndsAsItsCommandDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"plain": "exit 7", "lost": "#!/nowhere/sh\n", "data": "x"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700))
	}
	must(t, os.Chmod(filepath.Join(dir, "data"), 0o600))
	for _, tt := range []struct {
		command []string
		status  int
	}{
		{[]string{"true"}, 0},
		{[]string{"sh", "-c", "exit 3"}, 3},
		{[]string{"sh", "-c", "exit 1"}, 1},
		{[]string{"sh", "-c", "exit 255"}, 255},
		{[]string{filepath.Join(dir, "plain")}, 7}, // a script that names no interpreter is the shell's
		{[]string{"no-such-command"}, 127},
		{[]string{""}, 127},
		{[]string{filepath.Join(dir, "nowhere")}, 127},
		{[]string{filepath.Join(dir, "lost")}, 127},
		{[]string{filepath.Join(dir, "data")}, 126},
		{[]string{"data"}, 126}, // found in PATH
		{[]string{dir}, 126},
		{[]string{"sh", "-c", "kill -QUIT $$"}, 128 + 3},
		{[]string{"sh", "-c", "kill -USR1 $$"}, 128 + int(syscall.SIGUSR1)},
	} {
		for _, dashes := range [][]string{{"--"}, nil} {
			e := newExecution(t, append(append([]string{execRule}, dashes...), tt.command...)...)
			e.cmd.Env = append(e.cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"))
			how := e.run(t)
			if how.ExitStatus() != tt.status {
				t.Errorf("%q: ended with %#x, want status %d:\n%s", tt.command, how, tt.status, e.stderr.String())
			}
			said := lineWith(e.stderr.String(), "error: cannot run ") != ""
			if ours := tt.status == 126 || tt.status == 127; said != ours || !ours && e.stderr.String() != "" {
				t.Errorf("%q: stderr %q", tt.command, e.stderr.String())
			}
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		e := newExecution(t, execRule, "--", "sh", "-c", "kill -"+strings.TrimPrefix(signalNames[s], "SIG")+" $$")
		if how := e.run(t); !how.Signaled() || how.Signal() != s || e.stderr.String() != "" {
			t.Errorf("%v: ended with %#x:\n%s", s, how, e.stderr.String())
		}
	}
}

var signalNames = map[syscall.Signal]string{
	syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGKILL: "KILL", syscall.SIGQUIT: "QUIT",
	syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2", syscall.SIGWINCH: "WINCH", syscall.SIGCONT: "CONT",
}

func TestExecThatCannotStartRunsNothing(t *testing.T) {
	t.Parallel()
	one := "[audience.a]\ntoken_env = \"EXEC_TOKEN\"\n" + rule("https://api.example.test/", `name = "api"`)
	for _, tt := range []struct {
		config string // "" for none
		args   []string
		says   string
	}{
		{"", nil, "there is no config.toml"},
		{"", []string{"--only", "api"}, "there is no config.toml"},
		{"listen = 1\n", nil, "the configuration has an error"},
		{"# nothing\n", nil, "there is no rule"},
		{one, []string{"--only", "apj"}, `did you mean "api"`},
		{one, []string{"--no-such-flag"}, "unknown flag"},
		{one, []string{"--log-level", "loud"}, "--log-level"},
		{one, []string{"--rule", "https://api.example.test/=env:EXEC_TOKEN", "--only", "api"}, "is taken by rule api at "},
		{"upstream_proxy = \"env\"\n" + one, []string{"ENV", "HTTPS_PROXY=socks5://127.0.0.1:1"}, "not supported"},
		{one, []string{"ENV", "TMPDIR=/nowhere"}, "/nowhere"},
		{"", []string{"--rule", "https://api.example.test/=env:NOT_SET"}, "--rule 1: the environment variable that env: names is not set"},
		{"", []string{"--rule", "https://api.example.test/=" + execToken}, "--rule 1: want PREFIX=AUDIENCE"},
		{"", []string{"--rule", "https://api.example.test/=env:"}, "nothing after the colon of env"},
		{"", []string{execRule, "--rule", "https://x.example.test/=client_id:" + execToken}, "--rule 2: client_id is not a GUID"},
		{"", []string{"--rule", "https://x.example.test/=resource:--debug"}, "--rule 1: resource has a character"},
		{"", []string{"--rule", "https://x.example.test/=scope:x\n[audience]"}, "--rule 1: scope has a character"},
		{"", []string{"--rule", "https://x.example.test/\n=env:EXEC_TOKEN"}, "--rule 1: prefix"},
		{"", []string{"--rule", "https://x.example.test/=scope:a\n--only=env:EXEC_TOKEN"}, "--rule 1: "},
	} {
		args, env := tt.args, ""
		if len(args) > 0 && args[0] == "ENV" {
			args, env = nil, args[1]
		}
		e := newExecution(t, append(args, "--", "touch", "ran")...)
		if env != "" {
			e.cmd.Env = append(e.cmd.Env, env)
		}
		if tt.config != "" {
			writeTestFile(t, filepath.Join(e.home, "config.toml"), tt.config)
		}
		how := e.run(t)
		if how.ExitStatus() != 125 || lineWith(e.stderr.String(), "error: ", tt.says) == "" {
			t.Errorf("%q: ended with %#x, want status 125 and %q:\n%s", tt.args, how, tt.says, e.stderr.String())
		}
		if _, err := os.Stat(filepath.Join(e.cmd.Dir, "ran")); err == nil {
			t.Errorf("%q: the command was run", tt.args)
		}
	}
	e := newExecution(t, execRule)
	if how := e.run(t); how.ExitStatus() != 125 || lineWith(e.stderr.String(), "error: exec needs a command") == "" {
		t.Errorf("no command: ended with %#x:\n%s", how, e.stderr.String())
	}
}

// listener returns a command that tells on stdout of each signal that it gets,
// and ends on TERM with status 9. Shells lose one that comes while they fork.
func listener(t testing.TB) []string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		absent(t, "python3 is not installed")
	}
	return []string{execRule, "--", python, "-c", `
import signal, sys
wanted = [getattr(signal, "SIG" + name) for name in "HUP INT QUIT USR1 USR2 WINCH CONT TSTP TERM".split()]
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("ready:", flush=True)
while True:
    got = signal.sigwait(wanted)
    print("got:%s:" % signal.Signals(got).name[3:], flush=True)
    if got == signal.SIGTERM:
        sys.exit(9)
`}
}

func TestExecPassesSignalsOn(t *testing.T) {
	t.Parallel()
	e := newExecution(t, listener(t)...)
	must(t, e.cmd.Start())
	e.stdout.wait(t, "ready:")
	for _, s := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTERM,
	} {
		must(t, e.cmd.Process.Signal(s))
		e.stdout.wait(t, "got:"+signalNames[s]+":")
	}
	if how := e.wait(t); how.ExitStatus() != 9 {
		t.Errorf("ended with %#x, want status 9:\n%s", how, e.stderr.String())
	}
	if out := e.stdout.String(); strings.Count(out, "got:") != 8 {
		t.Errorf("signals came more than once:\n%s", out)
	}
}

// The listener would hear of each signal, so that what it does not hear of was
// not caught either: exec keeps what nohup(1) has set, for its command too.
func TestExecInheritsWhichSignalsAreIgnored(t *testing.T) {
	t.Parallel()
	e := newExecution(t)
	e.cmd.Path = must1(exec.LookPath("sh"))(t)
	e.cmd.Args = []string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, filepath.Join(binDir(t), "injectproxy"), "exec", execRule, "--", "sh", "-c", "kill -HUP $$; kill -HUP $PPID; echo alive"}
	if how := e.run(t); how.ExitStatus() != 0 || e.stdout.String() != "alive\n" {
		t.Errorf("ended with %#x: %s%s", how, e.stdout.String(), e.stderr.String())
	}
}

func must1[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// A signal that comes before there is a command ends exec as it would have
// ended the command.
func TestSignalBeforeTheCommandEndsExec(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGWINCH
	signals <- syscall.SIGTERM
	marker := filepath.Join(t.TempDir(), "ran")
	how, err := attend(exec.Command("touch", marker), signals)
	if err != nil || !how.Signaled() || how.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %#x, %v", how, err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the command was run")
	}
}

func TestExecHandsItsDescriptorsOn(t *testing.T) {
	t.Parallel()
	extra := filepath.Join(t.TempDir(), "extra")
	must(t, os.WriteFile(extra, []byte("from 3\n"), 0o600))
	f, err := os.Open(extra)
	must(t, err)
	defer f.Close()
	e := newExecution(t, execRule, "--", "sh", "-c", "cat; cat <&3; echo to stderr >&2; pwd")
	e.cmd.Stdin, e.cmd.ExtraFiles = strings.NewReader("from 0\n"), []*os.File{f}
	how := e.run(t)
	dir, err := filepath.EvalSymlinks(e.cmd.Dir)
	must(t, err)
	if want := "from 0\nfrom 3\n" + dir + "\n"; how != 0 || e.stdout.String() != want || e.stderr.String() != "to stderr\n" {
		t.Errorf("ended with %#x: %q and %q, want %q", how, e.stdout.String(), e.stderr.String(), want)
	}
}

// variables returns what a child that ran env printed, by name.
func variables(output string) map[string]string {
	set := map[string]string{}
	for line := range strings.Lines(output) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		set[name] = value
	}
	return set
}

// An exec in an exec, or in a shell that env has led to serve, does not go out
// through the other: its command's environment is as if there had been none.
func TestExecInExecStandsOnItsOwn(t *testing.T) {
	t.Parallel()
	e := newExecution(t, execRule, "--", "injectproxy", "exec", "--rule=https://other.example.test/=env:EXEC_TOKEN", "--", "env")
	e.cmd.Env = append(e.cmd.Env, "PATH="+binDir(t)+":"+os.Getenv("PATH"), "HTTPS_PROXY=http://corp.test:3128", "NO_PROXY=.example.test")
	how := e.run(t)
	set := variables(e.stdout.String())
	if how != 0 || set["INJECTPROXY_UPSTREAM"] != "http://corp.test:3128" || set["INJECTPROXY_BEFORE_NO_PROXY"] != ".example.test" {
		t.Errorf("ended with %#x:\n%s%s", how, e.stdout.String(), e.stderr.String())
	}
}

func TestExecIsQuietAndKeepsItsSecrets(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"", "debug"} {
		e := newExecution(t, "--log-level="+level, execRule, "--", "sh", "-c", "env; ps -o args= -p $PPID,$$; ls -ld $TMPDIR/*")
		if level == "" {
			e.cmd.Args = append(e.cmd.Args[:2], e.cmd.Args[3:]...)
		}
		how := e.run(t)
		set := variables(e.stdout.String())
		proxy, err := url.Parse(set["HTTPS_PROXY"])
		must(t, err)
		password, _ := proxy.User.Password()
		if how != 0 || len(password) < 32 {
			t.Fatalf("ended with %#x:\n%s", how, e.stdout.String())
		}
		if strings.Contains(e.stderr.String(), password) || (e.stderr.String() == "") != (level == "") {
			t.Errorf("level %q: stderr %q", level, e.stderr.String())
		}
		_, shown, _ := strings.Cut(e.stdout.String(), "\nINJECTPROXY_UPSTREAM=direct\n")
		if !strings.Contains(shown, "EXEC_TOKEN") || strings.Contains(shown, password) || strings.Contains(shown, execToken) {
			t.Errorf("the arguments of the processes:\n%s", shown)
		}
		if lineWith(shown, "drwx------") == "" {
			t.Errorf("the directory:\n%s", shown)
		}
	}
}

// What is wrong with a rule of the configuration that --only leaves out does
// not stop the command, and a configuration that is not asked for is not read.
func TestExecWithARuleReadsNoConfigurationUnlessTold(t *testing.T) {
	t.Parallel()
	for _, more := range [][]string{nil, {"--only", "api"}, {"--config", "config.toml"}} {
		e := newExecution(t, append(append([]string{execRule}, more...), "--", "true")...)
		e.cmd.Dir = e.home
		writeTestFile(t, filepath.Join(e.home, "config.toml"), "broken\n")
		want := 125
		if more == nil {
			want = 0
		}
		if how := e.run(t); how.ExitStatus() != want {
			t.Errorf("%q: ended with %#x, want status %d:\n%s", more, how, want, e.stderr.String())
		}
	}
}
