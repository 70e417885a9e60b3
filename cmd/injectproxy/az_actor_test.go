package main

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// playedTools are the programs that the test binary plays where it is called
// by their names: those that a sign-in or a token may need.
func playedTools() []string { return []string{"az", "azd", "pwsh", "xdg-open"} }

// stageFile lies in AZURE_CONFIG_DIR, the one place that a tool in a clean
// environment is sure to be told, and has the address of who knows its part.
const stageFile = "stage"

// toolRun is what a played tool sees of itself.
type toolRun struct {
	Name       string
	Args, Env  []string
	Dir, Stdin string
	Pid, Ppid  int
}

// toolLine is what a played tool is told to do.
type toolLine struct {
	Stdout, Stderr string
	Last           bool // it ends, with the status
	Status         int
}

// playedTool returns the name of the tool that this process is called by, ""
// for none.
func playedTool() string {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if slices.Contains(playedTools(), name) {
		return name
	}
	return ""
}

// playTool tells the stage of this run, does what it says, and ends. A stage
// that goes away ends it, too.
func playTool(name string) {
	// Not os.Exit: there the race detector, which no variable reaches here,
	// would sleep for a second.
	address, err := os.ReadFile(filepath.Join(os.Getenv("AZURE_CONFIG_DIR"), stageFile))
	if err != nil {
		syscall.Exit(98)
	}
	c, err := net.Dial("tcp", string(address))
	if err != nil {
		syscall.Exit(98)
	}
	in, _ := io.ReadAll(os.Stdin)
	dir, _ := os.Getwd()
	err = json.NewEncoder(c).Encode(toolRun{
		Name: name, Args: os.Args[1:], Env: os.Environ(), Dir: dir, Stdin: string(in), Pid: os.Getpid(), Ppid: os.Getppid(),
	})
	for lines := json.NewDecoder(c); err == nil; {
		var line toolLine
		if err = lines.Decode(&line); err != nil {
			break
		}
		io.WriteString(os.Stderr, line.Stderr)
		io.WriteString(os.Stdout, line.Stdout)
		if line.Last {
			syscall.Exit(line.Status)
		}
	}
	syscall.Exit(99)
}
