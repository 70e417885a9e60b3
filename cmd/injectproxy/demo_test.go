package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// runDemo demonstrates in a world that spoil has changed, and returns the
// output.
func runDemo(t *testing.T, o demoOptions, spoil func(*demoWorld)) (string, error) {
	t.Helper()
	w, err := newDemoWorld(o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if spoil != nil {
		spoil(w)
	}
	var out bytes.Buffer
	err = w.demonstrate(t.Context(), &out)
	return out.String(), err
}

// The tests here change the process's environment, so none is parallel.

func TestDemoHolds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Setenv("AZURE_CLIENT_ID", "the user's own")
	out, err := runDemo(t, demoOptions{}, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "All 10 steps held.") || strings.Contains(out, "FAILED") {
		t.Errorf("output:\n%s", out)
	}
	if strings.Contains(out, "\x1b[") {
		t.Error("colour without a terminal")
	}
	if got := os.Getenv("AZURE_CLIENT_ID"); got != "the user's own" {
		t.Errorf("AZURE_CLIENT_ID afterwards: %q", got)
	}
}

// Each step is run once in a world in which its claim is not true.
func TestDemoFailsWhenAStepDoesNotHold(t *testing.T) {
	in := func(old, with string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("the configuration has no %q:\n%s", old, s)
			}
			return strings.Replace(s, old, with, 1)
		}
	}
	replace := func(old, with string) demoOptions { return demoOptions{config: in(old, with)} }
	replaceGate := func(old, with string) demoOptions { return demoOptions{gate: in(old, with)} }
	tests := []struct {
		name    string
		options demoOptions
		spoil   func(*demoWorld)
		failed  string
	}{
		{"the server admits anybody", demoOptions{}, func(w *demoWorld) { w.mcp.anyone = true }, "1"},
		{"the model's audience is unknown", replace(demoModels, "https://other.demo.test"), nil, "2"},
		{"the prefix covers the sibling", replace(`/mcp"`, `/"`), nil, "3"},
		// The site's port is not known when the configuration is written, so a
		// server that is in a rule takes the site's part.
		{"the site is in a rule", demoOptions{}, func(w *demoWorld) { w.site = w.share }, "4"},
		{"Entra replays the revoked token", demoOptions{}, func(w *demoWorld) { w.entra.ReplayTokens(true) }, "5, 6, 7, 10"},
		{"one document has an audience of its own", demoOptions{config: splitAudience}, nil, "6"},
		{"sessions are left alone", replace(`"mcp"`, "\"mcp\"\nrecover  = \"off\""), nil, "7"},
		{"the proxy has tokens of an application alone", replace(`"device-code"`, `"default"`), nil, "8, 9, 10"},
		{"the gate exchanges nothing", demoOptions{gate: exchangeless}, func(w *demoWorld) { w.reports.anyone = true }, "8, 10"},
		{"the gate grants everything", replaceGate(`{ scopes = ["reports.delete"] }`, "{}"), nil, "9"},
		{"the proxy can send no call again", replace("[token]", "[retry]\nbody_limit = \"1B\"\n[token]"), nil, "7, 10"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := runDemo(t, tt.options, tt.spoil)
			var f *failure
			if !errors.As(err, &f) || f.status != exitFailed {
				t.Fatalf("error %v, output:\n%s", err, out)
			}
			if _, failed, _ := strings.Cut(err.Error(), ": "); failed != tt.failed {
				t.Errorf("failed steps: %s, want %s\n%s", failed, tt.failed, out)
			}
			if strings.Contains(out, "All 10 steps held") || !strings.Contains(out, "FAILED") {
				t.Errorf("output:\n%s", out)
			}
		})
	}
}

// splitAudience gives one document of the share an audience of its own, for
// which the proxy has to ask Entra separately.
func splitAudience(s string) string {
	prefix := regexp.MustCompile(`"https://share[^"]*/shared/"`).FindString(s)
	return s + `
[audience.other]
client_id = "` + demoAPI + `"
tenant    = "` + demoTenant + `"

[[rule]]
prefix   = ` + strings.Replace(prefix, "/shared/", "/shared/7.json", 1) + `
audience = "other"
`
}

// exchangeless has the gate's only route be one that is not on behalf of users.
func exchangeless(s string) string {
	s, _, _ = strings.Cut(s, "[route.on_behalf_of]")
	return s
}

func TestDemoThatIsInterruptedDoesNotHold(t *testing.T) {
	w, err := newDemoWorld(demoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.demonstrate(ctx, new(bytes.Buffer)); err == nil {
		t.Error("no error")
	}
}

func TestKeptDemoAnswersTheCurlLinesItPrints(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip("curl is not installed")
	}
	w, err := newDemoWorld(demoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	var out bytes.Buffer
	w.printKept(&out)
	lines := regexp.MustCompile(`(?m)^ +(curl .*)$`).FindAllStringSubmatch(out.String(), -1)
	answers := []string{`{"document":"/shared/report.json"}`, `"text":"ada@demo.test"`}
	if len(lines) != len(answers) {
		t.Fatalf("%d curl lines in %q, want %d", len(lines), out.String(), len(answers))
	}
	for i, line := range lines {
		got, err := exec.CommandContext(t.Context(), "sh", "-c", line[1]+" -sS").CombinedOutput()
		if err != nil || !strings.Contains(string(got), answers[i]) {
			t.Errorf("%s: %v\n%s", line[1], err, got)
		}
	}
	dir := w.dir
	w.close()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", dir, err)
	}
}
