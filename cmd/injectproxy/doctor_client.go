package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/injectproxy/injectproxy/internal/clientenv"
)

// setVariables is what sets a shell up.
const setVariables = `eval "$(injectproxy env)"`

// examineClients looks at the variables of the shell that doctor runs in, as
// the clients that are started there have the same. Where they do not lead to
// serve, what else they say does not matter to it.
func (d *doctor) examineClients(context.Context) []finding {
	address, err := reachable(d.cfg.Listen)
	if err != nil || d.authority == nil {
		return nil // nothing to compare with, and that has been said
	}
	leads := func(value string) bool { return value != "" && leadsToUs(value, d.own) }
	if !leads(d.variable("HTTPS_PROXY")) && !leads(d.variable("https_proxy")) {
		return []finding{{"client", stateWarn, "HTTPS_PROXY", "clients of this shell do not use serve at " + address, setVariables}}
	}
	expected := clientenv.For(clientenv.Settings{
		Proxy: &url.URL{Scheme: "http", Host: address}, RootFile: d.authority.RootFile(), BundleFile: bundleFile(d.home),
		Authorities: authoritiesOf(d.cfg),
		// What For has set counts as well: it is what clients see.
		Environ: slices.DeleteFunc(slices.Clone(d.environ), func(kv string) bool { return strings.HasPrefix(kv, "INJECTPROXY_") }),
	})
	var findings []finding
	var missing []string
	for _, v := range expected.Variables {
		value := d.variable(v.Name)
		switch {
		case strings.HasPrefix(v.Name, "INJECTPROXY_"):
		case value == "" && !strings.EqualFold(v.Name, "NO_PROXY"):
			missing = append(missing, v.Name)
		case strings.EqualFold(v.Name, "HTTPS_PROXY") && !leads(value):
			findings = append(findings, finding{"client", stateFail, v.Name, "names another proxy (" + v.Reason + ")", setVariables})
		case (v.Value == d.authority.RootFile() || v.Value == bundleFile(d.home)) && !d.trusts(value):
			findings = append(findings, finding{"client", stateFail, v.Name, fmt.Sprintf("%s lacks the CA's root (%s)", value, v.Reason), setVariables})
		}
	}
	if missing != nil {
		findings = append(findings, finding{"client", stateFail, cmp.Or(one(missing), "variables"),
			"not set, so clients that go by them do not trust the CA: " + strings.Join(missing, ", "), setVariables})
	}
	if expected.Lifted != nil {
		findings = append(findings, finding{"client", stateFail, "NO_PROXY", "leads past serve to hosts of rules: " + strings.Join(expected.Lifted, ", "), setVariables})
	}
	if findings == nil {
		findings = []finding{{"client", stateOK, "variables", "clients of this shell use serve and trust its CA", ""}}
	}
	return findings
}

func one(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return ""
}

func (d *doctor) variable(name string) string {
	for _, kv := range slices.Backward(d.environ) {
		if n, value, _ := strings.Cut(kv, "="); n == name || runtime.GOOS == "windows" && strings.EqualFold(n, name) {
			return value
		}
	}
	return ""
}

// trusts reports whether the file that a variable names has the CA's root. A
// directory of roots, which some clients take too, has it as a file.
func (d *doctor) trusts(name string) bool {
	files := []string{name}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		files, _ = filepath.Glob(filepath.Join(name, "*"))
	}
	for _, file := range files {
		data, _ := os.ReadFile(file)
		if within(certificatesIn(data), certificatesIn(d.authority.RootPEM())) {
			return true
		}
	}
	return false
}
