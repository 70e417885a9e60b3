package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// bridgeFlags returns the flags of a command line that starts the bridge, by
// name, as the program itself takes them, or why it would not.
func bridgeFlags(argv []string) (map[string]string, error) {
	program := argv[0][strings.LastIndexAny(argv[0], `/\`)+1:]
	if program != "injectproxy" && program != "injectproxy.exe" {
		return nil, fmt.Errorf("%q is not the program", argv[0])
	}
	command, rest, err := newRootCommand(&globals{}).Find(argv[1:])
	if err != nil || command.Name() != "stdio" {
		return nil, fmt.Errorf("it is not the bridge: %v", err)
	}
	if err := command.ParseFlags(rest); err != nil {
		return nil, err
	}
	set := map[string]string{}
	for _, f := range strings.Fields("client-id resource scope token-env audience tenant") {
		if flag := command.Flags().Lookup(f); flag == nil {
			return nil, fmt.Errorf("there is no flag --%s any more: adapt this test", f)
		} else if flag.Changed {
			set[f] = flag.Value.String()
		}
	}
	set["URL"] = strings.Join(command.Flags().Args(), " ")
	return set, command.ValidateArgs(command.Flags().Args())
}

// Each ready configuration is one that its client takes, with one server by rule
// and one by flags, and with command lines that the program takes.
func TestReadyConfigurationsAreWhatTheirClientsRead(t *testing.T) {
	t.Parallel()
	for file, read := range clientFiles {
		b, err := os.ReadFile(filepath.Join("../../docs/clients", file))
		must(t, err)
		servers, err := read(b)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		var kinds []string
		for name, s := range servers {
			set, err := bridgeFlags(s.argv)
			if err != nil {
				t.Errorf("%s: %s: %v", file, name, err)
				continue
			}
			if !strings.HasPrefix(set["URL"], "https://mcp.corp.example/servers/") {
				t.Errorf("%s: %s: the URL is %q", file, name, set["URL"])
			}
			if variable, named := set["token-env"]; named && s.env[variable] == "" {
				t.Errorf("%s: %s: nothing sets %s", file, name, variable)
			}
			delete(set, "URL")
			kinds = append(kinds, fmt.Sprint(len(set) > 0))
		}
		if !slices.Contains(kinds, "true") || !slices.Contains(kinds, "false") {
			t.Errorf("%s: wants one server by rule and one by flags", file)
		}
	}
}

// No file lies there that no test reads, and the page names each.
func TestReadyConfigurationsAreAllOnTheirPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/clients/README.md")
	must(t, err)
	files, err := os.ReadDir("../../docs/clients")
	must(t, err)
	for _, f := range files {
		if f.Name() == "README.md" {
			continue
		}
		if clientFiles[f.Name()] == nil {
			t.Errorf("%s: no test reads it", f.Name())
		}
		if !strings.Contains(string(page), "]("+f.Name()+")") {
			t.Errorf("%s: the page does not name it", f.Name())
		}
	}
	if len(files) != len(clientFiles)+1 {
		t.Errorf("%d files, want %d and the page", len(files), len(clientFiles))
	}
}

// pageCommand is a member of a client's configuration that starts the bridge.
var pageCommand = regexp.MustCompile(`"command": "injectproxy", "args": (\[[^\]]*\])`)

// What the pages show of clients' configurations are command lines, too.
func TestBridgesOfThePagesAreOnesThatTheProgramTakes(t *testing.T) {
	t.Parallel()
	found := 0
	for name, page := range pages(t) {
		for _, f := range fences(name, page) {
			if f.info != "json" || !strings.Contains(f.text, "injectproxy") {
				continue
			}
			if err := json.Unmarshal([]byte(f.text), new(any)); err != nil {
				t.Errorf("%s: %v", f.place, err)
			}
			for _, m := range pageCommand.FindAllStringSubmatch(f.text, -1) {
				found++
				var args []string
				must(t, json.Unmarshal([]byte(m[1]), &args))
				if _, err := bridgeFlags(append([]string{"injectproxy"}, args...)); err != nil {
					t.Errorf("%s: %v", f.place, err)
				}
			}
		}
	}
	if found < 3 {
		t.Errorf("%d command lines: the search does not find them", found)
	}
}

// A file with a member that its client does not know, or that is written with
// another case, is seen.
func TestWhatAClientDoesNotKnowIsSeen(t *testing.T) {
	t.Parallel()
	for file, wrong := range map[string]string{
		"vscode.mcp.json":      `{"mcpServers": {}}`,
		"cursor.mcp.json":      `{"MCPServers": {"a": {"type": "stdio", "command": "injectproxy"}}}`,
		"claude-code.mcp.json": `{"mcpServers": {"a": {"command": "injectproxy", "args": []}}}`,
		"claude-desktop.json":  `{"mcpServers": {"a": {"command": "injectproxy", "args": ["stdio"]}}}`,
		"opencode.json":        `{"$schema": "", "mcp": {"a": {"type": "local", "command": ["injectproxy"], "env": {}, "enabled": true}}}`,
		"codex.toml":           "[mcp_servers.a]\ncommand = \"injectproxy\"\nstartup_timeout = 3\n",
	} {
		if _, err := clientFiles[file]([]byte(wrong)); err == nil {
			t.Errorf("%s: %s is taken", file, wrong)
		}
	}
	for _, argv := range [][]string{
		{"npx", "stdio", "https://mcp.corp.example/"}, {"injectproxy", "exec", "--", "true"},
		{"injectproxy", "stdio", "--client", "x", "https://mcp.corp.example/"},
		{"injectproxy", "stdio", "https://mcp.corp.example/", "https://mcp.corp.example/"},
	} {
		if _, err := bridgeFlags(argv); err == nil {
			t.Errorf("%q is taken", argv)
		}
	}
}

// bridgeMessage is the first cell of a row that begins with a message.
var bridgeMessage = regexp.MustCompile("(?m)^\\| `([^`]+)`(?:, `([^`]+)`)? \\|")

// What the page says that the bridge says is what the program says: each part of
// a message between the dots stands in its source.
func TestMessagesOnThePageOfTheBridgeAreTheProgramsOwn(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for _, dir := range []string{".", "../../internal/stdio", "../../internal/proxy"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, f := range files {
			if !strings.HasSuffix(f, "_test.go") {
				b, err := os.ReadFile(f)
				must(t, err)
				source.Write(b)
			}
		}
	}
	page, err := os.ReadFile("../../docs/stdio.md")
	must(t, err)
	_, rest, _ := strings.Cut(string(page), "\n## Troubleshooting\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	messages := bridgeMessage.FindAllStringSubmatch(section, -1)
	if len(messages) < 15 {
		t.Errorf("%d messages: the search does not find them", len(messages))
	}
	for _, m := range messages {
		for part := range strings.SplitSeq(m[1]+"…"+m[2], "…") {
			if !strings.Contains(source.String(), strings.Trim(part, ": ")) {
				t.Errorf("the program never says %q", part)
			}
		}
	}
}
