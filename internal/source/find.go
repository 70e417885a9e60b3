package source

import (
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// errNotThere is the failure to find a tool whose path the user gave.
var errNotThere = errors.New("not there")

// find returns the path of the first of names that is in PATH, else in one of
// the usual places, else [exec.ErrNotFound]. A PATH that names the current
// directory does not count, as with os/exec: if a tool is nowhere else, the
// error is [exec.ErrDot].
func (t *Tools) find(names ...string) (string, error) {
	if t.azPath != "" && names[0] == "az" {
		if path, err := exec.LookPath(t.azPath); err == nil {
			return path, nil
		}
		return "", errNotThere
	}
	list, _ := variable(t.env, "PATH")
	missing := exec.ErrNotFound
	for _, name := range names {
		for _, dir := range append(filepath.SplitList(list), t.dirs...) {
			if !filepath.IsAbs(dir) {
				// Joined to nothing, a name would be looked up in PATH again.
				if _, err := exec.LookPath("." + string(filepath.Separator) + filepath.Join(dir, name)); err == nil {
					missing = exec.ErrDot
				}
				continue
			}
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, nil
			}
		}
	}
	return "", missing
}

// usualDirs are where installers put the tools, in case that the program was
// not started from a shell and has a PATH without them.
func usualDirs(goos string, env []string) []string {
	if goos != "windows" {
		dirs := []string{"/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin", "/usr/bin", "/snap/bin", "/opt/microsoft/powershell/7"}
		if home, _ := variable(env, "HOME"); filepath.IsAbs(home) {
			dirs = append(dirs, filepath.Join(home, ".local/bin"), filepath.Join(home, ".azd/bin"))
		}
		return dirs
	}
	var dirs []string
	for _, place := range []struct{ variable, dir string }{
		{"ProgramFiles", `Microsoft SDKs\Azure\CLI2\wbin`},
		{"ProgramFiles(x86)", `Microsoft SDKs\Azure\CLI2\wbin`},
		{"ProgramFiles", `Azure Dev CLI`},
		{"LOCALAPPDATA", `Programs\Azure Dev CLI`},
		{"ProgramFiles", `PowerShell\7`},
		{"SystemRoot", `System32\WindowsPowerShell\v1.0`},
	} {
		if root, _ := variable(env, place.variable); root != "" {
			dirs = append(dirs, root+`\`+place.dir)
		}
	}
	return dirs
}

// programs are the names under which a tool is found here, in this order.
func programs(tool string) []string {
	windows := runtime.GOOS == "windows"
	switch {
	case tool == "powershell" && windows:
		return []string{"pwsh.exe", "powershell.exe"}
	case tool == "powershell":
		return []string{"pwsh"}
	case tool == "az" && windows:
		return []string{"az", "az.cmd", "az.exe"} // the first by PATHEXT
	default:
		return []string{tool}
	}
}

// variable returns the value of the variable name in env, where the last one
// counts. On Windows the case of names does not.
func variable(env []string, name string) (value string, set bool) {
	for _, kv := range env {
		n, v, ok := strings.Cut(kv, "=")
		if ok && (n == name || runtime.GOOS == "windows" && strings.EqualFold(n, name)) {
			value, set = v, true
		}
	}
	return value, set
}

// home is the user's home directory as the tools see it.
func home(env []string) string {
	name := "HOME"
	if runtime.GOOS == "windows" {
		name = "USERPROFILE"
	}
	dir, _ := variable(env, name)
	return dir
}
