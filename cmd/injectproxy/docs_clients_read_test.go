package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// clientServer is a server that a client starts, whatever its file calls that.
type clientServer struct {
	argv []string
	env  map[string]string
}

// mcpServer is a server in the files of the clients that call them mcpServers,
// and of VS Code.
type mcpServer struct {
	Type    string            `json:"type,omitempty"`
	Command string            `json:"command"`
	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
}

// untyped is a server of Claude Desktop, which knows no type.
type untyped struct {
	Command string            `json:"command"`
	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
}

// clientFiles are the ready configurations, each with how its client reads it.
var clientFiles = map[string]func([]byte) (map[string]clientServer, error){
	"vscode.mcp.json":             readVSCode,
	"cursor.mcp.json":             readMCPServers,
	"claude-code.mcp.json":        readMCPServers,
	"claude-desktop.json":         readClaudeDesktop,
	"claude-desktop.windows.json": readClaudeDesktop,
	"opencode.json":               readOpencode,
	"codex.toml":                  readCodex,
}

// readVSCode reads .vscode/mcp.json, which may have comments.
func readVSCode(b []byte) (map[string]clientServer, error) {
	var file struct {
		Inputs []struct {
			Type        string `json:"type"`
			ID          string `json:"id"`
			Description string `json:"description"`
			Password    bool   `json:"password,omitempty"`
		} `json:"inputs,omitempty"`
		Servers map[string]mcpServer `json:"servers"`
	}
	err := exactly(uncommented(b), &file)
	inputs := map[string]bool{}
	for _, in := range file.Inputs {
		inputs["${input:"+in.ID+"}"] = in.Type == "promptString" && in.Description != ""
	}
	list := map[string]clientServer{}
	for name, s := range file.Servers {
		err = errors.Join(err, s.stdio())
		list[name] = clientServer{append([]string{s.Command}, s.Args...), s.Env}
		for _, value := range s.Env {
			if strings.HasPrefix(value, "${input:") && !inputs[value] {
				err = errors.Join(err, fmt.Errorf("%s: there is no input for %s", name, value))
			}
		}
	}
	return list, err
}

// readMCPServers reads the files of Cursor and Claude Code.
func readMCPServers(b []byte) (map[string]clientServer, error) {
	var file struct {
		Servers map[string]mcpServer `json:"mcpServers"`
	}
	err := exactly(b, &file)
	list := map[string]clientServer{}
	for name, s := range file.Servers {
		err = errors.Join(err, s.stdio())
		list[name] = clientServer{append([]string{s.Command}, s.Args...), s.Env}
	}
	return list, err
}

func (s mcpServer) stdio() error {
	if s.Type != "stdio" {
		return fmt.Errorf("type is %q", s.Type)
	}
	return nil
}

// readClaudeDesktop reads claude_desktop_config.json. Its client finds no
// program by PATH, so the command is a whole path.
func readClaudeDesktop(b []byte) (map[string]clientServer, error) {
	var file struct {
		Servers map[string]untyped `json:"mcpServers"`
	}
	err := exactly(b, &file)
	list := map[string]clientServer{}
	for name, s := range file.Servers {
		if !regexp.MustCompile(`^(/|[A-Z]:\\)`).MatchString(s.Command) {
			err = errors.Join(err, fmt.Errorf("%s: %q is no whole path", name, s.Command))
		}
		list[name] = clientServer{append([]string{s.Command}, s.Args...), s.Env}
	}
	return list, err
}

// readOpencode reads opencode.json.
func readOpencode(b []byte) (map[string]clientServer, error) {
	var file struct {
		Schema  string `json:"$schema"`
		Servers map[string]struct {
			Type        string            `json:"type"`
			Command     []string          `json:"command"`
			Environment map[string]string `json:"environment,omitempty"`
			Enabled     bool              `json:"enabled,omitempty"`
			Timeout     int               `json:"timeout,omitempty"` // ms, of each request
		} `json:"mcp"`
	}
	err := exactly(b, &file)
	list := map[string]clientServer{}
	for name, s := range file.Servers {
		if s.Type != "local" || !s.Enabled {
			err = errors.Join(err, fmt.Errorf("%s: type %q, enabled %v", name, s.Type, s.Enabled))
		}
		list[name] = clientServer{s.Command, s.Environment}
	}
	return list, err
}

// readCodex reads Codex's config.toml.
func readCodex(b []byte) (map[string]clientServer, error) {
	var file struct {
		Servers map[string]struct {
			Command        string            `toml:"command"`
			Args           []string          `toml:"args"`
			Env            map[string]string `toml:"env"`
			EnvVars        []string          `toml:"env_vars"`
			Cwd            string            `toml:"cwd"`
			StartupTimeout float64           `toml:"startup_timeout_sec"`
			ToolTimeout    float64           `toml:"tool_timeout_sec"`
			Enabled        *bool             `toml:"enabled"`
		} `toml:"mcp_servers"`
	}
	meta, err := toml.Decode(string(b), &file)
	if unknown := meta.Undecoded(); err == nil && len(unknown) > 0 {
		err = fmt.Errorf("unknown keys: %v", unknown)
	}
	list := map[string]clientServer{}
	for name, s := range file.Servers {
		list[name] = clientServer{append([]string{s.Command}, s.Args...), s.Env}
	}
	return list, err
}

// exactly decodes JSON into v, and fails if v does not hold the very members that
// it has: a member that is unknown, or written with another case, is one that the
// client would not see.
func exactly(b []byte, v any) error {
	var want, got any
	if err := json.Unmarshal(b, &want); err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return err
	}
	again, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(again, &got); err != nil {
		return err
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Errorf("it has what its client does not know:\n%v\n%v", want, got)
	}
	return nil
}

// uncommented takes the comments of JSONC out that have a line of their own.
func uncommented(b []byte) []byte {
	return regexp.MustCompile(`(?m)^\s*//.*$`).ReplaceAll(b, nil)
}
