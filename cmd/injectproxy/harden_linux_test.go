package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// unlimited lets cmd, which may then be started by another name, write cores of
// any size.
func unlimited(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	shell, err := exec.LookPath("bash")
	if err != nil {
		absent(t, "bash is not installed")
	}
	cmd.Args = append([]string{"bash", "-c", `ulimit -c unlimited && exec -a "$0" "$@"`, cmd.Args[0], cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
}

// coreLimit is the limit of a process that runs.
func coreLimit(t testing.TB, pid int) (limit unix.Rlimit) {
	t.Helper()
	must(t, unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &limit))
	return limit
}

// A crash says where it was, and takes no token with it: neither to stderr nor
// into a core, though both were asked for.
func TestCrashLeavesNoCoreAndShowsNoToken(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	for _, by := range []syscall.Signal{syscall.SIGABRT, syscall.SIGSEGV} {
		home := t.TempDir()
		exchangeConfig(t, o, "", "").write(t, home)
		d := readyToCrash(t, home, "serve")
		d.listening()
		call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)
		if seen := o.one(t); seen.bearer() != tokenA {
			t.Errorf("token %q arrived", seen.bearer())
		}
		if limit := coreLimit(t, d.cmd.Process.Pid); limit != (unix.Rlimit{}) {
			t.Errorf("cores of serve are limited to %+v", limit)
		}
		d.crash(by)
	}
	aCoreIsPossible(t)
}

// exec leaves the limit as it was, for its command.
func TestCrashOfExecLeavesNoCoreThoughItIsNotLimited(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	d := readyToCrash(t, home, "exec", "--", "sh", "-c", "echo msg=ready; exec >/dev/null 2>&1; while kill -0 $PPID; do sleep 1; done")
	d.log.wait(t, "msg=ready")
	d.crash(syscall.SIGABRT)
	aCoreIsPossible(t)
}

// readyToCrash is the real program, asked for all that a crash could leave.
func readyToCrash(t testing.TB, home string, args ...string) *daemon {
	t.Helper()
	cmd := command(t, t.Context(), home, []string{"GOTRACEBACK=crash"}, args...)
	cmd.Dir = filepath.Join(home, "cwd")
	must(t, os.Mkdir(cmd.Dir, 0o700))
	unlimited(t, cmd)
	return spawn(t, home, cmd)
}

// crash ends d by a signal and looks at what it leaves.
func (d *daemon) crash(by syscall.Signal) {
	d.t.Helper()
	d.signal(by)
	<-d.exited
	how := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
	left, err := os.ReadDir(d.cmd.Dir)
	must(d.t, err)
	if !how.Signaled() || how.CoreDump() || len(left) != 0 {
		d.t.Errorf("%v: it ended by %v, core %v, and left %v", by, how.Signal(), how.CoreDump(), left)
	}
	if found := leaks(d.log.String(), map[string]string{"token": tokenA}); found != nil || !strings.Contains(d.log.String(), "goroutine ") {
		d.t.Errorf("%v: the crash shows %q, or nothing at all:\n%s", by, found, d.log)
	}
}

// aCoreIsPossible ends the test unless a process that is as it was would have
// left a core.
func aCoreIsPossible(t *testing.T) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.Dir = t.TempDir()
	path, err := exec.LookPath("sleep")
	must(t, err)
	cmd.Path = path
	unlimited(t, cmd)
	cmd.Args = append(cmd.Args[:2:2], append([]string{`ulimit -c unlimited && kill -ABRT $$`}, cmd.Args[3:]...)...)
	_ = cmd.Run()
	if how, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !how.CoreDump() {
		absent(t, "this system writes no cores (%v)", cmd.ProcessState)
	}
}

// What exec starts may dump its core, if exec's caller may.
func TestCommandOfExecKeepsItsCoreLimit(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	cmd := command(t, t.Context(), home, nil, "exec", "--", "sh", "-c", "ulimit -S -c; ulimit -H -c")
	unlimited(t, cmd)
	out, err := cmd.CombinedOutput()
	if err != nil || !slices.Equal(strings.Fields(string(out)), []string{"unlimited", "unlimited"}) {
		t.Errorf("%v: %q", err, out)
	}
}

// asAnother runs a program as the other user.
func asAnother(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: anotherUser, Gid: anotherUser}}
	return cmd
}

// The memory, the environment and the descriptors of serve are closed to its
// own user's other processes. It works as ever, and what exec starts is open.
func TestUsersOtherProcessesCannotLookIntoServe(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		absent(t, "running serve as another user needs root")
	}
	o := newOrigin(t, "h2", nil, "api.example.test")
	home, at := ownedHome(t), "127.0.0.1:"+freePort(t)
	exchangeConfig(t, o, fmt.Sprintf("admin = { listen = %q }", at), "[access]\nmode = \"open\"\n").write(t, home)
	must(t, exec.Command("chown", "-R", fmt.Sprint(anotherUser), home).Run())
	cmd := command(t, t.Context(), home, []string{"GORACE=atexit_sleep_ms=0"}, "serve")
	cmd.Path, cmd.Dir = "/proc/self/exe", "/"
	cmd.SysProcAttr = asAnother("true").SysProcAttr
	d := spawn(t, home, cmd)
	d.listening()
	call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)

	plain := asAnother("sleep", "1000")
	must(t, plain.Start())
	defer func() { plain.Process.Kill(); plain.Wait() }()
	for file, tool := range map[string][]string{
		"environ": {"cat"}, "mem": {"head", "-c", "0"}, "maps": {"cat"}, "fd": {"ls"}, "cwd": {"readlink"}, "auxv": {"cat"}, "io": {"cat"},
	} {
		look := func(pid int) error {
			return asAnother(tool[0], append(tool[1:], fmt.Sprintf("/proc/%d/%s", pid, file))...).Run()
		}
		if err := look(plain.Process.Pid); err != nil {
			t.Errorf("%s of a process that is as it was: %v", file, err)
		}
		if look(cmd.Process.Pid) == nil {
			t.Errorf("%s of serve is open to a process of the same user", file)
		}
	}
	// It counts its descriptors by /proc/self, which must not be closed to it.
	metrics := call(t, clientOf(t, nil, d.root(), "h1"), "GET", "http://"+at+"/metrics", nil)
	if !strings.Contains(metrics.body, "\nprocess_open_fds ") || !strings.Contains(metrics.body, "\nprocess_resident_memory_bytes ") {
		t.Errorf("serve does not know its own state: %d %.300s", metrics.status, metrics.body)
	}
}

// ownedHome returns a directory that another user can get to.
func ownedHome(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	home := filepath.Join(dir, "home")
	must(t, os.Mkdir(home, 0o700))
	return home
}

// What exec starts can be debugged by its user as if exec was not there.
func TestCommandOfExecIsNotSealed(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		absent(t, "running exec as another user needs root")
	}
	home := ownedHome(t)
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	must(t, exec.Command("chown", "-R", fmt.Sprint(anotherUser), home).Run())
	cmd := command(t, t.Context(), home, []string{"TMPDIR=" + home}, "exec", "--", "sh", "-c", "cat /proc/$$/environ && cat /proc/$PPID/environ")
	cmd.Path, cmd.Dir = "/proc/self/exe", "/"
	cmd.SysProcAttr = asAnother("true").SysProcAttr
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "HTTPS_PROXY=") || !strings.Contains(string(out), "ermission denied") {
		t.Errorf("%v: %q", err, out)
	}
}
