package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/injectproxy/injectproxy/internal/config"
)

const deploy = "../../deploy/"

// unitFile returns the options of a unit file by section and name, each with
// its values in order.
func unitFile(t *testing.T, name string) map[string][]string {
	t.Helper()
	f, err := os.Open(deploy + "systemd/" + name)
	must(t, err)
	defer f.Close()
	options, err := unit.DeserializeOptions(f)
	must(t, err)
	values := map[string][]string{}
	for _, o := range options {
		key := o.Section + "." + o.Name
		values[key] = append(values[key], o.Value)
	}
	return values
}

// The socket units listen where a configuration that says nothing does, or env
// would not find what they start.
func TestSocketUnitsListenAtTheDefaultAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeTestFile(t, filepath.Join(dir, "config.toml"), "")
	cfg, problems := config.Load(filepath.Join(dir, "config.toml"))
	if cfg == nil {
		t.Fatal(problems)
	}
	for _, kind := range []string{"user", "system"} {
		socket := unitFile(t, kind+"/injectproxy.socket")
		if got := socket["Socket.ListenStream"]; !slices.Equal(got, []string{cfg.Listen}) {
			t.Errorf("%s: ListenStream %q, but listen is %q", kind, got, cfg.Listen)
		}
		if accept := socket["Socket.Accept"]; accept != nil {
			t.Errorf("%s: Accept=%q: serve wants the socket", kind, accept)
		}
	}
}

func TestUnitsSayWhatServeReliesOn(t *testing.T) {
	t.Parallel()
	for kind, program := range map[string]string{"user": "%h/.local/bin/injectproxy", "system": "/usr/local/bin/injectproxy"} {
		service := unitFile(t, kind+"/injectproxy.service")
		for key, want := range map[string]string{
			"Service.Type":                     "notify",
			"Service.ExecStart":                program + " serve",
			"Service.ExecReload":               "/bin/kill -HUP $MAINPID",
			"Service.NoNewPrivileges":          "yes",
			"Service.UMask":                    "0077",
			"Service.KillMode":                 "mixed", // az is not shot while it is waited for
			"Service.RestartPreventExitStatus": fmt.Sprint(exitUsage),
			"Unit.Requires":                    "injectproxy.socket",
		} {
			if got := service[key]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s=%q, want %q", kind, key, got, want)
			}
		}
	}
	system := unitFile(t, "system/injectproxy.service")
	if home, dir := system["Service.Environment"], system["Service.StateDirectory"]; len(dir) != 1 || !slices.Equal(home, []string{"INJECTPROXY_HOME=%S/" + dir[0]}) {
		t.Errorf("the home is in %q, the state in %q", home, dir)
	}
}

func TestUnitOfTheGateSaysWhatItReliesOn(t *testing.T) {
	t.Parallel()
	service, serve := unitFile(t, "system/injectproxy-gate.service"), unitFile(t, "system/injectproxy.service")
	for key, want := range map[string]string{
		"Service.ExecStart":   "/usr/local/bin/injectproxy gate", // gate_linux_test.go starts that as systemd does
		"Service.Environment": "INJECTPROXY_HOME=%S/injectproxy-gate",
	} {
		if got := service[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
	for _, key := range []string{"Service.StateDirectory", "Service.LogsDirectory"} {
		if got := service[key]; !slices.Equal(got, []string{"injectproxy-gate"}) || slices.Equal(got, serve[key]) {
			t.Errorf("%s=%q", key, got)
		}
	}
	own := []string{"Service.ExecStart", "Service.Environment", "Service.EnvironmentFile", "Service.StateDirectory", "Service.LogsDirectory",
		"Service.TimeoutStopSec", "Service.RestrictAddressFamilies"}
	for key, want := range serve {
		if strings.HasPrefix(key, "Service.") && !slices.Contains(own, key) && !slices.Equal(service[key], want) {
			t.Errorf("%s=%q, and the proxy's has %q", key, service[key], want)
		}
	}
}

func TestServiceDocsNameWhatIsThere(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/service.md")
	must(t, err)
	files := regexp.MustCompile(`\bdeploy/[\w./-]*\w`).FindAllString(string(b), -1)
	commands := namedCommand.FindAllStringSubmatch(string(b), -1)
	for _, name := range files {
		if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
			t.Error(err)
		}
	}
	for _, match := range commands {
		if !isCommand(match[1]) {
			t.Errorf("there is no %q", match[0])
		}
	}
	if len(files) < 10 || len(commands) < 5 {
		t.Errorf("%d files and %d commands: the search does not find them", len(files), len(commands))
	}
}

// plist returns the value of a property list in XML: map[string]any, []any,
// string, bool, or the text of a number.
func plist(d *xml.Decoder) (any, error) {
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			return plistValue(d, token.Name.Local)
		case xml.EndElement:
			return nil, nil // of what has no more values
		}
	}
}

func plistValue(d *xml.Decoder, kind string) (any, error) {
	switch kind {
	case "plist":
		v, err := plist(d)
		return v, errors.Join(err, d.Skip())
	case "true", "false":
		return kind == "true", d.Skip()
	case "string", "integer", "key":
		text, err := d.Token()
		if err != nil {
			return nil, err
		}
		chars, ok := text.(xml.CharData)
		if !ok {
			return nil, fmt.Errorf("an empty %s", kind)
		}
		return strings.Clone(string(chars)), d.Skip()
	case "array", "dict":
		var values []any
		for {
			v, err := plist(d)
			if err != nil {
				return nil, err
			}
			if v == nil {
				break
			}
			values = append(values, v)
		}
		if kind == "array" {
			return values, nil
		}
		return pairs(values)
	}
	return nil, fmt.Errorf("element %s", kind)
}

func pairs(values []any) (map[string]any, error) {
	dict := map[string]any{}
	for pair := range slices.Chunk(values, 2) {
		key, ok := pair[0].(string)
		if _, twice := dict[key]; !ok || twice || len(pair) < 2 {
			return nil, fmt.Errorf("key %v", pair)
		}
		dict[key] = pair[1]
	}
	return dict, nil
}

const agent = deploy + "launchd/io.github.injectproxy.plist"

// agentFile returns the property list of the launch agent.
func agentFile(t *testing.T) map[string]any {
	t.Helper()
	f, err := os.Open(agent)
	must(t, err)
	defer f.Close()
	d := xml.NewDecoder(f)
	v, err := plist(d)
	must(t, err)
	if _, err := d.Token(); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	dict, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("the property list is a %T", v)
	}
	return dict
}

func TestLaunchAgentIsWhatLaunchdReads(t *testing.T) {
	t.Parallel()
	got := agentFile(t)
	for key, want := range map[string]any{
		"Label":       strings.TrimSuffix(filepath.Base(agent), ".plist"),
		"RunAtLoad":   true,
		"Umask":       fmt.Sprint(0o077),
		"ExitTimeOut": "30",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if alive, _ := got["KeepAlive"].(map[string]any); alive["SuccessfulExit"] != false {
		t.Errorf("KeepAlive is %v", got["KeepAlive"])
	}
}
