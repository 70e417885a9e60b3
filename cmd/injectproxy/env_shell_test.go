package main

import (
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/clientenv"
)

// hostile are values that a shell takes apart unless they are quoted well.
var hostile = map[string]string{
	"PLAIN": "http://127.0.0.1:8877", "SPACES": "  a  b ", "SINGLE": "it's '", "DOUBLE": `"say" "`, "BOTH": `'"'"`,
	"LINES": "first\nsecond\n\nlast\n", "DOLLAR": "$HOME ${PATH} $(id) `id` $", "BACKSLASH": `C:\new\table\`, "ENDS": `\'`,
	"GLOB": "* ? [a] ~ {a,b}", "SIGNS": "a;b&c|d<e>f#g!h%i^j(k)", "DASH": "-n", "TAB": "\ta\t", "RETURN": "a\r\nb",
	"UNICODE": "Jürgen ‘quoted’ 日本 🔑", "EQUALS": "=a=b",
}

func hostileVariables() []clientenv.Variable {
	var list []clientenv.Variable
	for _, name := range slices.Sorted(maps.Keys(hostile)) {
		list = append(list, clientenv.Variable{Name: name, Value: hostile[name]})
	}
	return list
}

// evaluators are the real shells, each with the code that evaluates what the
// command $ENV prints and then runs env -0, and whether it has to be here.
var evaluators = []struct {
	program, shell string
	code           string
	required       bool
}{
	{"sh", "sh", `eval "$(eval "$ENV")"; env -0`, true},
	{"bash", "sh", `eval "$(eval "$ENV")"; env -0`, true},
	{"zsh", "sh", `eval "$(eval "$ENV")"; env -0`, false},
	{"fish", "fish", `eval $ENV | source; env -0`, true},
	{"pwsh", "powershell", `Invoke-Expression $env:ENV | Out-String | Invoke-Expression; env -0`, false},
}

// evaluate returns the environment that a shell has after it has evaluated
// what command prints.
func evaluate(t *testing.T, program, code, command string, environ []string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-c", code)
	cmd.Env = append(slices.Clone(environ), "ENV="+command)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	got := map[string]string{}
	for kv := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		name, value, _ := strings.Cut(kv, "=")
		got[name] = value
	}
	return got
}

// eachShell runs f for each shell that is here.
func eachShell(t *testing.T, f func(t *testing.T, program, shell, code string)) {
	for _, e := range evaluators {
		t.Run(e.program, func(t *testing.T) {
			if _, err := exec.LookPath(e.program); err != nil {
				if e.required {
					absent(t, "%s is not here", e.program)
				}
				t.Skipf("%s is not here", e.program)
			}
			f(t, e.program, e.shell, e.code)
		})
	}
}

func TestHostileValuesSurviveEachShell(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("env"); err != nil {
		t.Skip("there is no env")
	}
	eachShell(t, func(t *testing.T, program, shell, code string) {
		var b strings.Builder
		must(t, printVariables(&b, shell, append(hostileVariables(), clientenv.Variable{Name: "GONE"})))
		file := filepath.Join(t.TempDir(), "statements")
		writeTestFile(t, file, b.String())
		got := evaluate(t, program, code, "cat "+file, []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "GONE=not yet"})
		for name, value := range hostile {
			if got[name] != value {
				t.Errorf("%s=%q, want %q", name, got[name], value)
			}
		}
		if value, there := got["GONE"]; there {
			t.Errorf("GONE=%q was not removed", value)
		}
	})
}

func TestHostileValuesSurviveJSON(t *testing.T) {
	var b strings.Builder
	must(t, printVariables(&b, "json", append(hostileVariables(), clientenv.Variable{Name: "GONE"})))
	var got map[string]*string
	must(t, json.Unmarshal([]byte(b.String()), &got))
	for name, value := range hostile {
		if got[name] == nil || *got[name] != value {
			t.Errorf("%s: %v, want %q", name, got[name], value)
		}
	}
	if value, there := got["GONE"]; !there || value != nil || len(got) != len(hostile)+1 {
		t.Errorf("GONE: %v, %d variables", value, len(got))
	}
}

// Node reads .env files by itself (--env-file); what it gets is what its users
// get.
func TestHostileValuesSurviveNodesDotenv(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("node", "-p", "typeof require('util').parseEnv").Output(); strings.TrimSpace(string(out)) != "function" {
		absent(t, "there is no Node that reads .env files (%v)", err)
	}
	variables := slices.DeleteFunc(hostileVariables(), func(v clientenv.Variable) bool {
		return v.Name == "RETURN" // Node makes one kind of line end of all
	})
	var b strings.Builder
	must(t, printVariables(&b, "dotenv", append(variables, clientenv.Variable{Name: "GONE"})))
	file := filepath.Join(t.TempDir(), ".env")
	writeTestFile(t, file, b.String())
	out, err := exec.CommandContext(t.Context(), "node", "-p", "JSON.stringify(require('util').parseEnv(require('fs').readFileSync(process.argv[1], 'utf8')))", file).Output()
	must(t, err)
	var got map[string]string
	must(t, json.Unmarshal(out, &got))
	for _, v := range variables {
		if got[v.Name] != v.Value {
			t.Errorf("%s=%q, want %q", v.Name, got[v.Name], v.Value)
		}
	}
	if got["GONE"] != "" {
		t.Errorf("GONE=%q", got["GONE"])
	}
}

func TestValueThatADotenvFileCannotHoldIsAnError(t *testing.T) {
	var b strings.Builder
	err := printVariables(&b, "dotenv", []clientenv.Variable{{Name: "A", Value: "a"}, {Name: "KEY", Value: "'\"`"}})
	if err == nil || !strings.HasPrefix(err.Error(), "KEY: ") || b.Len() > 0 {
		t.Errorf("error %v, printed %q", err, b.String())
	}
}

// PowerShell is seldom where tests run. Its language says what these mean.
func TestPowerShellGetsASCIIAndNoQuoteOfItsOwn(t *testing.T) {
	for value, want := range map[string]string{
		`C:\Program Files\x`: `'C:\Program Files\x'`,
		"it's $HOME `n":      "'it''s $HOME `n'",
		"a\nb":               "'a'+[char]0x000A+'b'",
		"Jürgen":             "'J'+[char]0x00FC+'rgen'",
		"‘":                  "''+[char]0x2018+''",
		"🔑":                  "''+[char]0xD83D+''+[char]0xDD11+''",
	} {
		if got := powershellQuote(value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
