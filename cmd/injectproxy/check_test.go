package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/ca"
)

// invoke runs a command line as the program does.
func invoke(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestRuleOutsideTheCAIsReportedAndExplained(t *testing.T) {
	home := t.TempDir()
	t.Setenv("INJECTPROXY_HOME", home)
	text := "[audience.a]\ntoken_env = \"A\"\n[[rule]]\nprefix = \"https://in.example/x/\"\naudience = \"a\"\n" +
		"[[rule]]\nprefix = \"https://out.example/x/\"\naudience = \"a\"\n"
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, stdout, _ := invoke("check"); status != 0 || stdout != "" {
		t.Errorf("without a CA check exits %d: %s", status, stdout)
	}
	permit, err := ca.ParsePermit([]string{"in.example"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Ensure(filepath.Join(home, "ca"), permit, nil); err != nil {
		t.Fatal(err)
	}
	status, stdout, _ := invoke("check")
	if status != 2 || !strings.Contains(stdout, "config.toml:6: rule http-2 is off: the CA may sign for in.example, not for \"out.example\"\n  hint: ") {
		t.Errorf("check exits %d: %s", status, stdout)
	}
	for url, want := range map[string]string{
		"https://in.example/x/":  "outcome   inject\n",
		"https://in.example/":    "outcome   forward\n",
		"https://out.example/x/": "outcome   refuse (502)\n  why       the CA may sign for in.example, not for",
		"https://out.example/":   "outcome   refuse (502)\n",
		"https://any.example/":   "outcome   tunnel\n",
	} {
		if status, stdout, _ := invoke("explain", url); status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("explain %s exits %d: %s", url, status, stdout)
		}
	}
	key, err := filepath.Glob(filepath.Join(home, "ca", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range key {
		if err := os.WriteFile(file, []byte("spoilt"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if status, stdout, _ := invoke("check"); status != 2 || !strings.Contains(stdout, "/ca/") || !strings.Contains(stdout, "  hint: ") {
		t.Errorf("with a spoilt CA check exits %d: %s", status, stdout)
	}
}
