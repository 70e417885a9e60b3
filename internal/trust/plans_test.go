package trust

import (
	"context"
	"crypto/x509"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// elsewhere is a machine of another kind: what programs it has, what files, and
// what its programs say.
type elsewhere struct {
	os       string
	programs []string
	files    map[string]string
	answers  map[string]string // by command; any other fails
}

func (e elsewhere) machine(t *testing.T) *Machine {
	t.Helper()
	m := &Machine{os: e.os, home: "/home/u", root: t.TempDir()}
	for name, content := range e.files {
		write(t, filepath.Join(m.root, name), []byte(content))
	}
	m.getenv = func(name string) string { return map[string]string{"SystemRoot": `D:\Windows`}[name] }
	m.lookPath = func(name string) (string, error) {
		if slices.Contains(e.programs, name) {
			return "/bin/" + name, nil
		}
		return "", exec.ErrNotFound
	}
	m.output = func(_ context.Context, args ...string) ([]byte, error) {
		if answer, ok := e.answers[strings.Join(args, " ")]; ok {
			return []byte(answer), nil
		}
		return nil, &exec.ExitError{}
	}
	return m
}

// lines writes a plan as a test has it, with placeholders for what differs
// from root to root.
func lines(p Plan, root *x509.Certificate) (found []string) {
	fill := strings.NewReplacer(label(root), "LABEL", strings.ToUpper(fingerprint(root)), "SHA256", thumbprint(root), "SHA1")
	for _, args := range p.Commands {
		found = append(found, fill.Replace(strings.Join(args, " ")))
	}
	return found
}

const (
	fedoraAnchors = "/etc/pki/ca-trust/source/anchors/"
	archAnchors   = "/etc/ca-certificates/trust-source/anchors/"
	keychainFile  = "/home/u/Library/Keychains/login.keychain-db"
	findInLogin   = "security find-certificate -a -Z -c NAME " + keychainFile
	windowsList   = `D:\Windows\System32\certutil.exe -user -store Root SHA1`
)

// In files, answers and names, PEM, NAME, LABEL, SHA256 and SHA1 stand for
// those of the root.
var plans = []struct {
	name string
	elsewhere
	install, uninstall []string // nil if nothing is to be done
	problem            string   // of both, if there is one
}{
	{
		name:      "Fedora",
		elsewhere: elsewhere{os: "linux", programs: []string{"update-ca-trust"}, files: map[string]string{"/etc/redhat-release": "", fedoraAnchors + "other": "x"}},
		install:   []string{"install -m 644 /ca.pem " + fedoraAnchors + "LABEL.pem", "update-ca-trust extract"},
	},
	{
		name: "Fedora that trusts it",
		elsewhere: elsewhere{os: "linux", programs: []string{"update-ca-trust"}, files: map[string]string{"/etc/redhat-release": "",
			fedoraAnchors + "LABEL.pem": "PEM", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": "# some root\nPEM"}},
		uninstall: []string{"rm -f " + fedoraAnchors + "LABEL.pem", "update-ca-trust extract"},
	},
	{
		name: "Fedora that was interrupted",
		elsewhere: elsewhere{os: "linux", programs: []string{"update-ca-trust"}, files: map[string]string{"/etc/redhat-release": "",
			fedoraAnchors + "LABEL.pem": "PEM"}},
		install:   []string{"update-ca-trust extract"},
		uninstall: []string{"rm -f " + fedoraAnchors + "LABEL.pem", "update-ca-trust extract"},
	},
	{
		name:      "Fedora's child without its marker",
		elsewhere: elsewhere{os: "linux", programs: []string{"update-ca-trust"}, files: map[string]string{fedoraAnchors + "other": "x"}},
		install:   []string{"install -m 644 /ca.pem " + fedoraAnchors + "LABEL.pem", "update-ca-trust extract"},
	},
	{
		name:      "Arch",
		elsewhere: elsewhere{os: "linux", programs: []string{"update-ca-trust"}, files: map[string]string{"/etc/arch-release": "", archAnchors + "other": "x"}},
		install:   []string{"install -m 644 /ca.pem " + archAnchors + "LABEL.crt", "update-ca-trust"},
	},
	{
		name: "Arch that trusts it",
		elsewhere: elsewhere{os: "linux", programs: []string{"update-ca-trust"}, files: map[string]string{"/etc/arch-release": "",
			archAnchors + "mine.crt": "PEM", "/etc/ca-certificates/extracted/tls-ca-bundle.pem": "PEM"}},
		uninstall: []string{"rm -f " + archAnchors + "mine.crt", "update-ca-trust"},
	},
	{
		name:      "Alpine without a directory for it",
		elsewhere: elsewhere{os: "linux", programs: []string{"update-ca-certificates"}, files: map[string]string{"/etc/alpine-release": ""}},
		install: []string{"mkdir -p /usr/local/share/ca-certificates",
			"install -m 644 /ca.pem /usr/local/share/ca-certificates/LABEL.crt", "update-ca-certificates"},
	},
	{
		name: "Alpine that trusts it",
		elsewhere: elsewhere{os: "linux", programs: []string{"update-ca-certificates"}, files: map[string]string{"/etc/alpine-release": "",
			"/usr/local/share/ca-certificates/LABEL.crt": "PEM", "/etc/ssl/certs/ca-certificates.crt": "PEM"}},
		uninstall: []string{"rm -f /usr/local/share/ca-certificates/LABEL.crt", "update-ca-certificates"},
	},
	{
		name:      "Alpine without the program",
		elsewhere: elsewhere{os: "linux", files: map[string]string{"/etc/alpine-release": "", "/usr/local/share/ca-certificates/LABEL.crt": "PEM"}},
		problem:   "apk add ca-certificates",
	},
	{
		name: "Debian whose user lacks sbin in PATH",
		elsewhere: elsewhere{os: "linux", files: map[string]string{"/etc/debian_version": "", "/usr/sbin/update-ca-certificates": "",
			"/usr/local/share/ca-certificates/LABEL.crt": "PEM"}},
		install:   []string{"/usr/sbin/update-ca-certificates"},
		uninstall: []string{"rm -f /usr/local/share/ca-certificates/LABEL.crt", "/usr/sbin/update-ca-certificates --fresh"},
	},
	{
		name:      "macOS",
		elsewhere: elsewhere{os: "darwin", answers: map[string]string{findInLogin: "SHA-256 hash: 00AA\n"}},
		install:   []string{"security add-trusted-cert -r trustRoot -p ssl -p basic -k " + keychainFile + " /ca.pem"},
	},
	{
		name: "macOS that trusts it",
		elsewhere: elsewhere{os: "darwin", answers: map[string]string{
			"security verify-cert -q -l -L -p ssl -c /ca.pem": "",
			findInLogin: "SHA-256 hash: 00AA\nSHA-256 hash: SHA256\n",
		}},
		uninstall: []string{"security delete-certificate -t -Z SHA256 " + keychainFile},
	},
	{
		name:      "Windows",
		elsewhere: elsewhere{os: "windows"},
		install:   []string{`D:\Windows\System32\certutil.exe -user -addstore Root /ca.pem`},
	},
	{
		name:      "Windows that trusts it",
		elsewhere: elsewhere{os: "windows", answers: map[string]string{windowsList: "anything"}},
		uninstall: []string{`D:\Windows\System32\certutil.exe -user -delstore Root SHA1`},
	},
}

func TestWhatWouldBeRunOnOtherSystems(t *testing.T) {
	t.Parallel()
	for _, tt := range plans {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root, _ := newRoot(t)
			fill := strings.NewReplacer("PEM", string(pemOf(root)), "NAME", root.Subject.CommonName, "LABEL", label(root),
				"SHA256", strings.ToUpper(fingerprint(root)), "SHA1", thumbprint(root))
			e := elsewhere{os: tt.os, programs: tt.programs, files: map[string]string{}, answers: map[string]string{}}
			for name, content := range tt.files {
				e.files[fill.Replace(name)] = fill.Replace(content)
			}
			for command, answer := range tt.answers {
				e.answers[fill.Replace(command)] = fill.Replace(answer)
			}
			s := one(t, e.machine(t), System)
			in, inErr := s.Install(t.Context(), root, "/ca.pem")
			out, outErr := s.Uninstall(t.Context(), root)
			for _, err := range []error{inErr, outErr} {
				if e, ok := err.(*Error); tt.problem != "" && (!ok || e.Hint != tt.problem) || tt.problem == "" && err != nil {
					t.Errorf("%v, want %q", err, tt.problem)
				}
			}
			if got := lines(in, root); !slices.Equal(got, tt.install) {
				t.Errorf("install: %q", got)
			}
			if got := lines(out, root); !slices.Equal(got, tt.uninstall) {
				t.Errorf("uninstall: %q", got)
			}
		})
	}
}

func TestSystemThatIsNotKnownHasNoStore(t *testing.T) {
	t.Parallel()
	for _, os := range []string{"linux", "plan9"} {
		if stores := (elsewhere{os: os}).machine(t).Stores(Kinds()); len(stores) > 0 {
			t.Errorf("%s: %s", os, stores[0].Name)
		}
	}
}

func TestProgramThatCannotBeRunIsAProblem(t *testing.T) {
	t.Parallel()
	root, file := newRoot(t)
	for _, os := range []string{"darwin", "windows"} {
		m := elsewhere{os: os}.machine(t)
		m.output = func(context.Context, ...string) ([]byte, error) { return nil, exec.ErrNotFound }
		s := one(t, m, System)
		_, in := s.Install(t.Context(), root, file)
		_, out := s.Uninstall(t.Context(), root)
		if in == nil || out == nil {
			t.Errorf("%s: %v, %v", os, in, out)
		}
	}
}

func TestMissingCertutilIsNamedWithItsPackage(t *testing.T) {
	t.Parallel()
	root, file := newRoot(t)
	for _, tt := range []struct{ os, marker, db, want string }{
		{"linux", "/etc/debian_version", ".pki/nssdb", "apt-get install libnss3-tools"},
		{"linux", "/etc/redhat-release", "snap/firefox/common/.mozilla/firefox/a.b", "dnf install nss-tools"},
		{"linux", "/etc/arch-release", ".config/mozilla/firefox/a.b", "pacman -S nss"},
		{"linux", "/etc/alpine-release", ".var/app/org.chromium.Chromium/data/pki/nssdb", "apk add nss-tools"},
		{"linux", "/etc/other", ".local/share/pki/nssdb", "install the tools of NSS"},
		{"darwin", "/x", "Library/Application Support/Firefox/Profiles/a.b", "brew install nss"},
	} {
		m := elsewhere{os: tt.os, files: map[string]string{tt.marker: "", "/home/u/" + tt.db + "/cert9.db": ""}}.machine(t)
		_, err := one(t, m, NSS).Install(t.Context(), root, file)
		if e, ok := err.(*Error); !ok || e.Hint != tt.want {
			t.Errorf("%s: %v", tt.marker, err)
		}
	}
}

func TestEveryJavaIsFoundOnce(t *testing.T) {
	t.Parallel()
	const inside = "/lib/security/cacerts"
	m := elsewhere{os: "linux", files: map[string]string{
		"/usr/lib/jvm/java-8/jre" + inside:                "",
		"/usr/lib/jvm/java-17" + inside:                   "",
		"/home/u/.sdkman/candidates/java/21-tem" + inside: "",
		"/usr/lib/jvm/not-a-java/readme":                  "",
	}}.machine(t)
	m.getenv = func(string) string { return "/usr/lib/jvm/java-17" }
	var names []string
	for _, s := range m.Stores([]Kind{Java}) {
		names = append(names, s.Name)
	}
	want := []string{"Java in /usr/lib/jvm/java-17", "Java in /usr/lib/jvm/java-8", "Java in /home/u/.sdkman/candidates/java/21-tem"}
	if !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
}

func TestProgramsGetNoSecretsAndNoJavaOptions(t *testing.T) {
	t.Setenv("AZURE_CLIENT_SECRET", "canary")
	t.Setenv("JAVA_TOOL_OPTIONS", "-Dcanary")
	env, err := exec.LookPath("env")
	if err != nil {
		absent(t, "env is not installed")
	}
	out, err := output(t.Context(), env)
	if err != nil || strings.Contains(string(out), "canary") || !strings.Contains(string(out), "PATH=") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestFailureNamesTheProgramAndNothingThatItSaid(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil {
		absent(t, "sh is not installed")
	}
	done := filepath.Join(t.TempDir(), "done")
	err = Plan{Commands: [][]string{{sh, "-c", "echo canary; echo canary >&2; exit 3"}, {sh, "-c", "touch '" + done + "'"}}}.Run(t.Context())
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
	if matches, _ := filepath.Glob(done); matches != nil {
		t.Error("went on after a failure")
	}
}

func TestPlanThatTakesRootIsNotRun(t *testing.T) {
	t.Parallel()
	touch, err := exec.LookPath("touch")
	if err != nil {
		absent(t, "touch is not installed")
	}
	file := filepath.Join(t.TempDir(), "done")
	p := Plan{Commands: [][]string{{touch, file}}, Privileged: true}
	if err := p.Run(t.Context()); err == nil {
		t.Error("no error")
	}
	if matches, _ := filepath.Glob(file); matches != nil {
		t.Error("it was run")
	}
	p.Privileged = false
	if err := p.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if matches, _ := filepath.Glob(file); matches == nil {
		t.Error("without that it is not run either")
	}
}
