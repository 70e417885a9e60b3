// Package internal_test holds the walls between the packages of this module:
// who may import whom, and what nobody may use.
package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	module  = "github.com/injectproxy/injectproxy/"
	goproxy = "github.com/elazarl/goproxy"

	// rival is goproxy's own interception, to be measured beside the program.
	// None of it is in what is shipped: nothing outside of bench imports bench.
	rival = "bench/rival"
)

// rooms says which of our packages each package may import outside of tests.
// A new package needs a row. Commands may import everything.
var rooms = map[string][]string{
	"bench":                nil,
	"bench/rival":          nil,
	"bench/sidebyside":     {"bench/rival"},
	"cmd/injectproxy":      {"*"},
	"internal/aadsts":      {"internal/token"},
	"internal/access":      nil,
	"internal/admin":       {"internal/telemetry"},
	"internal/binding":     nil,
	"internal/ca":          nil,
	"internal/challenge":   nil,
	"internal/clientenv":   nil,
	"internal/collector":   nil,
	"internal/config":      {"internal/match"},
	"internal/entratest":   nil,
	"internal/eventstream": nil,
	"internal/exchange":    {"internal/aadsts", "internal/token"},
	"internal/gate":        {"internal/binding", "internal/challenge", "internal/eventstream", "internal/exchange", "internal/jsonrpc", "internal/listing", "internal/verify"},
	"internal/inject":      {"internal/match", "internal/token"},
	"internal/jsonrpc":     nil,
	"internal/listing":     {"internal/jsonrpc"},
	"internal/match":       nil,
	"internal/proxy":       {"internal/jsonrpc", "internal/match", "internal/record"},
	"internal/record":      nil,
	"internal/retry":       {"internal/challenge", "internal/replay", "internal/token"},
	"internal/session":     {"internal/eventstream", "internal/jsonrpc", "internal/replay"},
	"internal/replay":      nil,
	"internal/signin":      {"internal/token"},
	"internal/stdio":       {"internal/eventstream", "internal/jsonrpc", "internal/listing"},
	"internal/source":      {"internal/aadsts", "internal/token"},
	"internal/systemd":     nil,
	"internal/telemetry":   {"internal/record"},
	"internal/token":       nil,
	"internal/trust":       nil,
	"internal/verify":      nil,

	"internal/challenge/challengetest": nil, // for tests
}

// holders are the packages that hold a body for longer than it takes to pass it
// on. None of them can write it to a disk.
var holders = []string{"internal/replay", "internal/retry", "internal/session"}

// banned are identifiers that no product code mentions, each with the reason.
var banned = map[string]string{
	"GoproxyCa":          "its private key is public",
	"TLSConfigFromCA":    "its leaf keys can be computed from the host name",
	"MitmConnect":        "goproxy must not intercept: proxy does, after a hijack",
	"AlwaysMitm":         "goproxy must not intercept: proxy does, after a hijack",
	"ConnectMitm":        "goproxy must not intercept: proxy does, after a hijack",
	"ConnectHTTPMitm":    "goproxy must not intercept: proxy does, after a hijack",
	"HTTPMitmConnect":    "goproxy must not intercept: proxy does, after a hijack",
	"UrlHasPrefix":       "it compares strings: match reads paths as servers do",
	"InsecureSkipVerify": "every certificate is verified",
	"KeyLogWriter":       "it writes down what opens every connection",
}

// allowed are the banned identifiers that a package has to mention all the same.
var allowed = map[string][]string{rival: {"TLSConfigFromCA", "ConnectMitm"}}

func TestPackagesImportOnlyWhatTheirRowAllows(t *testing.T) {
	for _, v := range violations(t, os.DirFS("..")) {
		t.Error(v)
	}
}

// TestWallsSeeEachBreach plants one breach at a time into a tree that is
// otherwise in order, so that the walls above are known to stand.
func TestWallsSeeEachBreach(t *testing.T) {
	tests := []struct{ name, file, code, want string }{
		{"import that the row lacks", "internal/match/x.go", `import _ "` + module + `internal/token"`, "internal/match/x.go:2: imports internal/token"},
		{"command imported by a package", "internal/proxy/x.go", `import _ "` + module + `cmd/injectproxy"`, "imports cmd/injectproxy"},
		{"package without a row", "internal/helper/x.go", "", "internal/helper/x.go:1: internal/helper has no row"},
		{"package below one with a row", "internal/proxy/deep/x.go", "", "internal/proxy/deep has no row"},
		{"package outside of the tree", "pkg/x/x.go", "", "pkg/x has no row"},
		{"goproxy outside of proxy", "cmd/injectproxy/x.go", `import _ "` + goproxy + `"`, "only internal/proxy imports goproxy"},
		{"a part of goproxy outside of proxy", "internal/ca/x.go", `import _ "` + goproxy + `/ext/auth"`, "only internal/proxy imports goproxy"},
		{"net/http in match", "internal/match/x.go", `import _ "net/http"`, "internal/match imports no net/http"},
		{"file where bodies are held", "internal/replay/x.go", `import _ "os"`, "internal/replay holds bodies, and has no way to a disk"},
		{"system call where bodies are held", "internal/session/x.go", `import _ "golang.org/x/sys/unix"`, "internal/session holds bodies"},
		{"behind a build tag", "internal/match/x_windows.go", `import _ "net/http/httptrace"`, "internal/match imports no net/http"},
		{"banned selector", "internal/proxy/x.go", "import g \"" + goproxy + "\"\nvar x = g.GoproxyCa", "internal/proxy/x.go:3: mentions GoproxyCa"},
		{"interception of goproxy's own beside the rival", "bench/sidebyside/x.go", "import \"crypto/tls\"\nfunc ConnectMitm(*tls.Config) {}", "mentions ConnectMitm"},
		{"the rival's trust turned off", "bench/rival/x.go", "import \"crypto/tls\"\nvar x = tls.Config{InsecureSkipVerify: true}", "mentions InsecureSkipVerify"},
		{"measurement in a command", "cmd/injectproxy/x.go", `import _ "` + module + `bench/rival"`, "imports bench/rival: measurements are in no program"},
		{"banned method", "internal/proxy/x.go", "func f(c interface{ UrlHasPrefix() }) { c.UrlHasPrefix() }", "mentions UrlHasPrefix"},
		{"verification turned off in a literal", "internal/ca/x.go", "import \"crypto/tls\"\nvar x = tls.Config{InsecureSkipVerify: true}", "mentions InsecureSkipVerify"},
		{"verification turned off by assignment", "internal/ca/x.go", "import \"crypto/tls\"\nfunc f(c *tls.Config) { c.InsecureSkipVerify = true }", "mentions InsecureSkipVerify"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := inOrder()
			if got := violations(t, tree); len(got) > 0 {
				t.Fatalf("the tree without the breach: %q", got)
			}
			tree[tt.file] = &fstest.MapFile{Data: []byte("package x\n" + tt.code + "\n")}
			got := violations(t, tree)
			if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), tt.want) {
				t.Errorf("violations: %q, want one with %q", got, tt.want)
			}
		})
	}
}

// A body is held in memory, within retry.memory, or not at all.
func TestWhatHoldsBodiesHasNoWayToADisk(t *testing.T) {
	for _, room := range holders {
		if _, ok := rooms[room]; !ok {
			t.Errorf("%s has no row", room)
		}
		for _, p := range []string{"os", "os/exec", "syscall", "golang.org/x/sys/unix"} {
			if refused(room, p) == "" {
				t.Errorf("%s may import %s", room, p)
			}
		}
	}
	for _, v := range violations(t, os.DirFS("..")) {
		t.Error(v)
	}
}

func TestWallsSeeARowWithoutPackage(t *testing.T) {
	tree := inOrder()
	delete(tree, "internal/record/ok.go")
	if got := violations(t, tree); !slices.Contains(got, "internal/record has a row, but no code") {
		t.Errorf("violations: %q", got)
	}
}

// inOrder returns a tree that breaks no wall, though its tests would.
func inOrder() fstest.MapFS {
	tree := fstest.MapFS{
		"internal/proxy/door.go":             {Data: []byte("package x\nimport _ \"" + goproxy + "\"\nimport _ \"" + module + "internal/match\"\n")},
		"internal/match/x_test.go":           {Data: []byte("package x\nimport _ \"net/http\"\nvar GoproxyCa int\n")},
		"internal/match/testdata/bad/bad.go": {Data: []byte("package x\nimport _ \"net/http\"\n")},
		"e2e/node_modules/x/x.go":            {Data: []byte("package x\n")},
		".cache/x.go":                        {Data: []byte("package x\n")},
	}
	for room := range rooms {
		tree[room+"/ok.go"] = &fstest.MapFile{Data: []byte("package x\nimport _ \"strings\"\n")}
	}
	return tree
}

// violations returns what breaks the walls in the Go files of tree, whatever
// system or build tag they are for. Tests are free to import.
func violations(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var found []string
	seen := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		seen[path.Dir(name)] = true
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		vs, err := violationsOf(name, src)
		found = append(found, vs...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		if !seen[room] {
			found = append(found, room+" has a row, but no code")
		}
	}
	return found
}

// skipped reports whether dir holds no code of ours: those that the go command
// leaves out too, and what npm installs.
func skipped(dir string) bool {
	return dir != "." && (dir[0] == '.' || dir[0] == '_') || dir == "testdata" || dir == "node_modules" || dir == "vendor"
}

func violationsOf(name string, src []byte) (found []string, err error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	say := func(pos token.Pos, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s:%d: %s", name, files.Position(pos).Line, fmt.Sprintf(format, args...)))
	}
	room := path.Dir(name)
	if _, ok := rooms[room]; !ok {
		say(f.Package, "%s has no row in the table of imports", room)
	}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if reason := refused(room, p); reason != "" {
			say(spec.Pos(), "%s", reason)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && banned[id.Name] != "" && !slices.Contains(allowed[room], id.Name) {
			say(id.Pos(), "mentions %s: %s", id.Name, banned[id.Name])
		}
		return true
	})
	return found, nil
}

// refused says why room may not import p, or nothing if it may.
func refused(room, p string) string {
	if ours, ok := strings.CutPrefix(p, module); ok {
		if within(ours, "bench") && !within(room, "bench") {
			return fmt.Sprintf("imports %s: measurements are in no program that is shipped", ours)
		}
		if row := rooms[room]; !slices.Contains(row, ours) && !slices.Contains(row, "*") {
			return fmt.Sprintf("imports %s: the table allows it %q", ours, row)
		}
	}
	if within(p, goproxy) && room != "internal/proxy" && room != rival {
		return "only internal/proxy imports goproxy"
	}
	if within(p, "net/http") && room == "internal/match" {
		return "internal/match imports no net/http"
	}
	if slices.Contains(holders, room) && (within(p, "os") || p == "io/ioutil" || p == "syscall" || within(p, "golang.org/x/sys")) {
		return room + " holds bodies, and has no way to a disk"
	}
	return ""
}

// within reports whether p is the package root or lies below it.
func within(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }
