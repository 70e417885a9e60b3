package source

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestToolEnvironmentIsAListOfWhatToolsNeed(t *testing.T) {
	t.Parallel()
	in := []string{
		"PATH=/bin", "HOME=/home/ada", "LC_ALL=C", "TZ=Europe/Zurich", "XDG_DATA_HOME=/x", "HTTPS_PROXY=http://p", "AZURE_CORE_OUTPUT=table",
		"AZURE_CONFIG_DIR=rel", "REQUESTS_CA_BUNDLE=", "AZURE_CORE_COLLECT_TELEMETRY=true", "AZURE_CORE_NO_COLOR=false",
		"AZURE_CLIENT_SECRET=x", "AZURE_CORE_API_KEY=x", "MCP_TOKEN=x", "GODEBUG=x", "NOVALUE", "=C:=C:", "TERM=xterm", "PYTHONSTARTUP=/x",
	}
	got := ToolEnvironment(in)
	abs, err := filepath.Abs("rel")
	if err != nil {
		t.Fatal(err)
	}
	want := append([]string{"PATH=/bin", "HOME=/home/ada", "LC_ALL=C", "TZ=Europe/Zurich", "XDG_DATA_HOME=/x", "HTTPS_PROXY=http://p", "AZURE_CORE_OUTPUT=table",
		"AZURE_CONFIG_DIR=" + abs, "REQUESTS_CA_BUNDLE="}, settings...)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !slices.Equal(ToolEnvironment(got), got) {
		t.Error("it is another one the second time")
	}
	for _, setting := range []string{"AZURE_CORE_COLLECT_TELEMETRY=false", "AZURE_CORE_NO_COLOR=true", "AZURE_AUTO-UPGRADE_ENABLE=no"} {
		if !slices.Contains(got, setting) {
			t.Errorf("no %s", setting)
		}
	}
}

func TestCaseOfVariablesCountsWhereTheSystemSaysSo(t *testing.T) {
	t.Parallel()
	got := ToolEnvironment([]string{"Path=/x", "SystemRoot=C:", "azure_core_x=1", "https_proxy=p", "PSModulePath=m"})
	windows := runtime.GOOS == "windows"
	for name, always := range map[string]bool{"Path": false, "SystemRoot": false, "azure_core_x": false, "https_proxy": true, "PSModulePath": true} {
		has := slices.ContainsFunc(got, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
		if has != (always || windows) {
			t.Errorf("%s passes: %v", name, has)
		}
	}
}

func TestToolsHaveTheProcessEnvironmentUnlessGiven(t *testing.T) {
	t.Setenv("AZURE_CONFIG_DIR", t.TempDir())
	t.Setenv("AZURE_CLIENT_SECRET", canary)
	if got := NewTools(ToolOptions{}).env; !slices.Equal(got, ToolEnvironment(environ())) {
		t.Errorf("got %q", got)
	}
	if got := NewTools(ToolOptions{Env: []string{"A=1"}}).env; !slices.Equal(got, []string{"A=1"}) {
		t.Errorf("got %q", got)
	}
}

func TestUsualPlacesOfEachSystem(t *testing.T) {
	t.Parallel()
	unix := usualDirs("linux", []string{"HOME=/home/ada"})
	for _, dir := range []string{"/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin", "/usr/bin", "/snap/bin"} {
		if !slices.Contains(unix, dir) {
			t.Errorf("no %s in %q", dir, unix)
		}
	}
	windows := usualDirs("windows", []string{`ProgramFiles=C:\Program Files`, `ProgramFiles(x86)=D:\x86`})
	for _, dir := range []string{`C:\Program Files\Microsoft SDKs\Azure\CLI2\wbin`, `D:\x86\Microsoft SDKs\Azure\CLI2\wbin`} {
		if !slices.Contains(windows, dir) {
			t.Errorf("no %s in %q", dir, windows)
		}
	}
}

func TestCodeIsShownWhereNoBrowserCanBe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		goos string
		env  []string
		want bool
	}{
		{"linux", nil, true},
		{"linux", []string{"DISPLAY="}, true},
		{"linux", []string{"SSH_CONNECTION=x"}, true},
		{"linux", []string{"DISPLAY=:0"}, false},
		{"linux", []string{"WAYLAND_DISPLAY=wayland-0"}, false},
		{"linux", []string{"DISPLAY=localhost:10", "SSH_CONNECTION=x"}, false}, // forwarded
		{"freebsd", nil, true},
		{"darwin", nil, false},
		{"darwin", []string{"SSH_CONNECTION=x"}, true},
		{"windows", nil, false},
		{"windows", []string{"SSH_TTY=x"}, true},
	} {
		if got := codeNeeded(c.goos, c.env); got != c.want {
			t.Errorf("%s %q: %v", c.goos, c.env, got)
		}
	}
}

func TestVersionsAreCompared(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"2.76.0": true, "2.76": true, "2.100.1": true, "3.0.0": true, "2.75.0": false, "2.8.0": false, "1.99": false,
		"": false, "2": false, "x.y": false, "2.76b1": false,
	} {
		if got := AtLeast(version, 2, 76); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
