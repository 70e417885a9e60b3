//go:build unix

package main

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/clientenv"
)

// binDir returns a directory in which this test binary is injectproxy.
func binDir(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	dir := t.TempDir()
	must(t, os.Symlink(exe, filepath.Join(dir, "injectproxy")))
	return dir
}

// userShell is the environment of a user's shell with injectproxy in its PATH.
func userShell(t testing.TB, home string, more ...string) []string {
	t.Helper()
	return append([]string{"PATH=" + binDir(t) + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "INJECTPROXY_HOME=" + home, "GORACE=atexit_sleep_ms=0"}, more...)
}

// envCommand runs injectproxy env in an environment.
func envCommand(t testing.TB, environ []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), exe, append([]string{"env"}, args...)...)
	cmd.Args[0], cmd.Env = "injectproxy", environ
	var errors strings.Builder
	cmd.Stderr = &errors
	out, _ := cmd.Output() // the status says it
	return string(out), errors.String(), cmd.ProcessState.ExitCode()
}

// envJSON returns the variables that env sets, by name.
func envJSON(t testing.TB, environ []string, args ...string) map[string]string {
	t.Helper()
	out, stderr, status := envCommand(t, environ, append(args, "--shell", "json")...)
	if status != 0 {
		t.Fatalf("exit status %d:\n%s", status, stderr)
	}
	var set map[string]string
	must(t, json.Unmarshal([]byte(out), &set))
	return set
}

// corporateRoot writes a certificate that no system has, and returns its file.
func corporateRoot(t testing.TB, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "corporate roots.pem")
	block, _ := pem.Decode(origins().pem)
	writeTestFile(t, file, string(pem.EncodeToMemory(block)))
	return file
}

func TestEachShellSetsTheSameVariablesAndTakesThemBack(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), `it's "home" $HOME`)
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	d := startDaemon(t, home, nil)
	before := []string{
		"https_proxy=http://user:p%40ss@corp.test:3128", "NO_PROXY=.example.test, 10.0.0.0/8", "SSL_CERT_FILE=" + corporateRoot(t, t.TempDir()),
		"JAVA_TOOL_OPTIONS=-Da='b \"c\"'\n-Dd=\\e", "HTTP_PROXY=http://corp.test:3128",
	}
	shell := userShell(t, home, before...)
	want := envJSON(t, shell, "--listen", d.addr)
	if len(want) < 20 || want["NO_PROXY"] != "10.0.0.0/8,localhost,127.0.0.1,::1,[::1]" || want["INJECTPROXY_UPSTREAM"] != "http://user:p%40ss@corp.test:3128" {
		t.Fatalf("env sets %q", want)
	}
	if runtime.GOOS == "linux" && want["HTTPS_PROXY"] != "http://"+d.addr {
		t.Error("the credential is in the proxy's URL, though the kernel tells the user")
	}
	eachShell(t, func(t *testing.T, program, language, code string) {
		got := evaluate(t, program, code, "injectproxy env --listen "+d.addr+" --shell "+language, shell)
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s=%q, want %q", name, got[name], value)
			}
		}
		var set []string
		for name, value := range got {
			set = append(set, name+"="+value)
		}
		undone := evaluate(t, program, code, "injectproxy env --unset --shell "+language, set)
		for name := range want {
			old := ""
			for _, kv := range before {
				if value, ok := strings.CutPrefix(kv, name+"="); ok {
					old = value
				}
			}
			if value, there := undone[name]; value != old || there != (old != "") {
				t.Errorf("after --unset %s=%q, it was %q", name, value, old)
			}
		}
	})
}

func TestEnvInAShellThatHasItChangesNothing(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	d := startDaemon(t, home, nil)
	shell := userShell(t, home, "NO_PROXY=api.example.test", "HTTPS_PROXY=http://corp.test:3128")
	once := envJSON(t, shell, "--listen", d.addr)
	for name, value := range once {
		shell = append(shell, name+"="+value)
	}
	if twice := envJSON(t, shell, "--listen", d.addr); !maps.Equal(once, twice) {
		t.Errorf("once\n%q\ntwice\n%q", once, twice)
	}
}

func TestProxyThatIsThisServeIsNotOneThatWasThereBefore(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	d := startDaemon(t, home, nil)
	_, port, _ := strings.Cut(d.addr, ":")
	if set := envJSON(t, userShell(t, home, "HTTPS_PROXY=http://localhost:"+port), "--listen", d.addr); set["INJECTPROXY_UPSTREAM"] != "direct" {
		t.Errorf("INJECTPROXY_UPSTREAM=%s", set["INJECTPROXY_UPSTREAM"])
	}
}

func TestVariableThatEnvNoLongerSetsIsTakenBack(t *testing.T) {
	set := []clientenv.Variable{{Name: "A", Value: "new"}}
	got := withLeftovers(set, []clientenv.Variable{{Name: "A", Value: "old"}, {Name: "B", Value: "old"}, {Name: "C"}})
	want := []clientenv.Variable{{Name: "A", Value: "new"}, {Name: "B", Value: "old"}, {Name: "C"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestEnvTellsWhatItLeavesOutOfNoProxy(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	d := startDaemon(t, home, nil)
	out, stderr, status := envCommand(t, userShell(t, home, "NO_PROXY=kept.test,.example.test"), "--listen", d.addr)
	if status != 0 || lineWith(stderr, "note: ", "NO_PROXY", ".example.test") == "" || strings.Contains(stderr, "kept.test") {
		t.Errorf("exit status %d, stderr %q", status, stderr)
	}
	if lineWith(out, "export NO_PROXY=", "kept.test") == "" || lineWith(out, "export NO_PROXY=", ".example.test") != "" {
		t.Errorf("stdout %q", out)
	}
}

func TestBundleGetsTheRootsThatTheShellsClientsTrust(t *testing.T) {
	t.Parallel()
	home, corporate := t.TempDir(), corporateRoot(t, t.TempDir())
	writeTestFile(t, filepath.Join(home, "config.toml"), "listen = \"127.0.0.1:0\"\nupstream_proxy = \"direct\"\n"+fileAudiences+rule("https://api.example.test/"))
	cfg, _ := loadText(t, "[ca]\npermit = [\"serve.test\"]")
	authority := ephemeralCA(t, cfg)
	ofServe := filepath.Join(t.TempDir(), "serve.pem")
	writeTestFile(t, ofServe, string(authority.RootPEM()))
	d := startDaemon(t, home, []string{"PIP_CERT=" + ofServe})
	bundle := filepath.Join(home, "ca", "bundle.pem")
	data, err := os.ReadFile(corporate)
	must(t, err)
	holds := func() bool {
		b, err := os.ReadFile(bundle)
		must(t, err)
		return within(certificatesIn(b), certificatesIn(data))
	}
	if holds() {
		t.Fatal("the bundle has that root by itself")
	}
	size := func() int64 {
		info, err := os.Stat(bundle)
		must(t, err)
		return info.Size()
	}
	bare := size()
	envJSON(t, userShell(t, home, "NODE_EXTRA_CA_CERTS=/none", "PIP_CERT="+os.DevNull), "--listen", d.addr)
	if size() != bare {
		t.Error("files without a certificate changed the bundle")
	}
	// DENO_CERT is one that serve does not look at.
	set := envJSON(t, userShell(t, home, "DENO_CERT="+corporate), "--listen", d.addr)
	if !holds() || set["DENO_CERT"] != bundle || size() <= bare {
		t.Errorf("DENO_CERT=%s, and the bundle holds its root: %v", set["DENO_CERT"], holds())
	}
	merged, err := os.ReadFile(bundle)
	must(t, err)
	if !within(certificatesIn(merged), certificatesIn(authority.RootPEM())) {
		t.Error("what serve had put into the bundle is gone")
	}
	before, err := os.Stat(bundle)
	must(t, err)
	envJSON(t, userShell(t, home, "DENO_CERT="+corporate), "--listen", d.addr)
	if after, err := os.Stat(bundle); err != nil || !os.SameFile(before, after) {
		t.Errorf("the bundle was written again, though it had all: %v", err)
	}
}

func TestProxyURLHasTheCredentialWhereTheProxyWantsIt(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "[access]\nmode = \"credential\"\n").write(t, home)
	d := startDaemon(t, home, nil)
	set := envJSON(t, userShell(t, home), "--listen", d.addr)
	u, err := url.Parse(set["HTTPS_PROXY"])
	must(t, err)
	if u.User == nil || u.Host != d.addr {
		t.Fatalf("HTTPS_PROXY is for %s, with a user: %v", u.Host, u.User != nil)
	}
	call(t, d.client("h2", u.User), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	password, _ := u.User.Password()
	_, stderr, _ := envCommand(t, userShell(t, home), "--listen", d.addr)
	if strings.Contains(set["JAVA_TOOL_OPTIONS"], password) || strings.Contains(stderr, password) {
		t.Error("the credential is in what Java prints, or on stderr")
	}
	if strings.Contains(set["JAVA_TOOL_OPTIONS"], "proxyHost") || lineWith(stderr, "note: Java", "Authenticator") == "" {
		t.Errorf("Java is sent to a proxy that will refuse it: %q", stderr)
	}
	// A credential that is not the one of this serve is of no use.
	must(t, os.Remove(filepath.Join(home, "credential")))
	if out, stderr, status := envCommand(t, userShell(t, home), "--listen", d.addr); out != "" || status != 1 || lineWith(stderr, "error: ", "does not take the credential") == "" {
		t.Errorf("exit status %d, stdout %q, stderr %q", status, out, stderr)
	}
}
