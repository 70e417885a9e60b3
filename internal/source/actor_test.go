//go:build unix

package source

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// part is what a scripted tool does when its first argument is that of the
// part.
type part struct {
	Stdout, Stderr string
	Local          int64  // prints a token that expires then, in the local time of the tool alone
	Exit           int    // status
	Alone          bool   // fails if it runs twice at once
	Hold           string // address to report to, and to wait for
	Leave          string // address that a process reports to which is left behind
	Profile        string // becomes $AZURE_CONFIG_DIR/azureProfile.json
}

// call is what a scripted tool saw of itself.
type call struct {
	Args, Env      []string
	Dir, Stdin     string
	Cmdline, Seen  string // as others see it, in /proc
	SeenIsReadable bool
}

// stage is a directory of scripted tools and what they run in.
type stage struct {
	t         *testing.T
	dir, home string
	env       []string
}

// newStage puts the test binary on a PATH of its own under each of names, and
// makes it play a tool there. Env is added to its environment.
func newStage(t *testing.T, names []string, env ...string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), home: t.TempDir()}
	for _, name := range names {
		s.install(name)
	}
	clean := ToolEnvironment(append([]string{"PATH=" + s.dir, "HOME=" + s.home}, env...))
	s.env = append(clean, actor+"=tool", quick, "SOURCE_TEST_STAGE="+s.dir)
	return s
}

func (s *stage) install(name string) {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(exe, filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
}

// tools finds the scripted ones and no others.
func (s *stage) tools() *Tools { return NewTools(ToolOptions{Env: s.env, Dirs: []string{}}) }

func (s *stage) az(e Entra) *Az {
	s.t.Helper()
	a, err := s.tools().Az(e)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// plays says what the tools do from now on when their first argument is cue.
func (s *stage) plays(cue string, p part) {
	s.t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		s.t.Fatal(err)
	}
	write(s.t, filepath.Join(s.dir, "part-"+cue), string(b))
}

// calls returns what was run, in order.
func (s *stage) calls() []call {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	var all []call
	for line := range strings.Lines(string(b)) {
		var c call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// playTool is what the test binary does on a stage.
func playTool(args []string) {
	dir := os.Getenv("SOURCE_TEST_STAGE")
	note(filepath.Join(dir, "calls"), args)
	b, err := os.ReadFile(filepath.Join(dir, "part-"+args[0]))
	var p part
	if err != nil || json.Unmarshal(b, &p) != nil {
		fmt.Fprintln(os.Stderr, "the stage has no part for", args)
		os.Exit(42)
	}
	p.play(filepath.Join(dir, "running-"+tenantOf(args)))
}

func (p part) play(lock string) {
	if p.Alone {
		f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			fmt.Fprintln(os.Stderr, "another one runs")
			os.Exit(43)
		}
		f.Close()
		defer os.Remove(lock)
	}
	if p.Leave != "" {
		os.Setenv(actor, "1")
		start("hang", p.Leave)
	}
	if p.Profile != "" {
		os.WriteFile(filepath.Join(os.Getenv("AZURE_CONFIG_DIR"), "azureProfile.json"), []byte(p.Profile), 0o600)
	}
	fmt.Fprint(os.Stderr, p.Stderr)
	if p.Hold != "" {
		hang(p.Hold)
	}
	if p.Local != 0 {
		fmt.Printf(`{"accessToken":"local","expiresOn":%q,"tokenType":"Bearer"}`, time.Unix(p.Local, 0).Format("2006-01-02 15:04:05.000000"))
	}
	fmt.Print(p.Stdout)
	if p.Exit != 0 {
		os.Exit(p.Exit)
	}
}

func tenantOf(args []string) string {
	if i := slices.IndexFunc(args, func(a string) bool { return a == "--tenant" || a == "--tenant-id" }); i >= 0 {
		return args[i+1]
	}
	return ""
}

func note(path string, args []string) {
	in, _ := io.ReadAll(os.Stdin)
	dir, _ := os.Getwd()
	c := call{Args: args, Env: os.Environ(), Dir: dir, Stdin: string(in)}
	if b, err := os.ReadFile("/proc/self/environ"); err == nil {
		c.Seen, c.SeenIsReadable = string(b), true
	}
	if b, err := os.ReadFile("/proc/self/cmdline"); err == nil {
		c.Cmdline = string(b)
	}
	b, _ := json.Marshal(c)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.Write(append(b, '\n')); err != nil {
		panic(err)
	}
}

// answer is a token as az prints it.
func answer(value string) string {
	return fmt.Sprintf(`{"accessToken":%q,"expires_on":4102444800,"expiresOn":"1999-01-01 00:00:00.000000","tokenType":"Bearer"}`, value)
}

// later runs f and returns where its error comes.
func later(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func tokenOf(t *testing.T, value string) token.Token {
	t.Helper()
	tok, err := token.New(value, "test", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// release ends the wait of a tool that reported with c.
func release(c net.Conn) { c.Close() }

func makeDir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
