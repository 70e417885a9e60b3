//go:build unix

package match_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/match"
)

// folders makes files that name the path they lie at.
func folders(t *testing.T) (root string) {
	t.Helper()
	top := t.TempDir()
	// The servers may give up the test's user.
	if err := os.Chmod(filepath.Dir(top), 0o755); err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(top, "root")
	for _, dir := range []string{"/", "/v1", "/v1/x", "/v1/b", "/admin", "/v1-admin", "/v1/v1"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"index.html", "secret", "y"} {
			file := filepath.Join(root+dir, name)
			if err := os.WriteFile(file, fmt.Appendf(nil, "served:%s/%s;", strings.TrimSuffix(dir, "/"), name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

var servedFrom = regexp.MustCompile(`served:([^;]*);`)

// ask sends path as it is and returns the path of the file that came back, ""
// if none did.
func ask(t *testing.T, addr, path string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("no answer to %q", path)
	}
	if found := servedFrom.FindSubmatch(answer); found != nil {
		return string(found[1])
	}
	return ""
}

// found returns the paths that fuzzing has found.
func found() (paths []string) {
	files, _ := filepath.Glob("testdata/fuzz/FuzzLookup/*")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if _, quoted, ok := strings.Cut(strings.TrimSpace(string(text)), "\nstring("); ok && err == nil {
			if path, err := strconv.Unquote(strings.TrimSuffix(quoted, ")")); err == nil && strings.HasPrefix(path, "/") {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// attacks returns paths that try to get from /v1 to another folder in every
// combination of tricks.
func attacks() []string {
	paths := append(append(found(), hostile...), honest[:len(honest)-2]...)
	targets := []string{"admin/secret", "b/secret", "v1/y"}
	for i, before := range []string{"", "x", "a%2fb", "a%5cb", "a;b", "/"} {
		for j, up := range []string{"..", "%2e%2e", ".%2E", "..;", "..%3b", "%252e%252e", "%25252e."} {
			for k, slash := range []string{"/", "%2f", `\`, "%5C", "//", "%252F"} {
				to := targets[(i+j+k)%3]
				paths = append(paths,
					strings.Join([]string{"/v1", before, up, to}, slash),
					"/v1/"+before+slash+up+slash+up+"/"+to,
					"/v1/"+before+slash+up+"/"+up+slash+to)
			}
		}
	}
	// Where these are, the request line is another one than meant.
	var sendable []string
	for _, path := range paths {
		if path != "" && !strings.ContainsAny(path, " \r\n") {
			sendable = append(sendable, path)
		}
	}
	return sendable
}

// Real servers are the judges: whatever file comes back for a path that was
// given a rule lies under the prefix of that rule and of no longer one.
func TestServersServeNoForeignFolderWithToken(t *testing.T) {
	t.Parallel()
	root, paths := folders(t), attacks()
	var leaks, kept atomic.Int64
	t.Run("judges", func(t *testing.T) {
		for name, start := range map[string]func(*testing.T, string) map[string]string{
			"nginx": startNginx, "apache": startApache, "node": startNode, "go": startGo, "python": startPython,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for way, addr := range start(t, root) {
					naive, home := questioned(t, way, addr, paths)
					t.Logf("%s: %d paths, a check of the string alone leaks %d, %d granted ones were served", way, len(paths), naive, home)
					leaks.Add(int64(naive))
					kept.Add(int64(home))
				}
			})
		}
	})
	if leaks.Load() == 0 || kept.Load() == 0 {
		t.Errorf("the judges never object (%d leaks of a naive check) or never serve (%d)", leaks.Load(), kept.Load())
	}
}

// questioned tries paths on one server. It returns how many of them would have
// taken a token elsewhere had the string alone been looked at, and how many
// were granted and served.
func questioned(t *testing.T, way, addr string, paths []string) (naive, home int) {
	t.Helper()
	for _, path := range []string{"/v1/y", "/v1/b/secret", "/admin/secret"} {
		if got := ask(t, addr, path); got == "" || !strings.HasPrefix(path, got) {
			t.Fatalf("%s: %s for %s: the server does not serve", way, got, path)
		}
	}
	worlds := [][]string{{"/v1"}, {"/v1", "/v1/b"}}
	var tables []*match.Table
	for _, world := range worlds {
		var rules []match.Rule
		for _, p := range world {
			rules = append(rules, match.Rule{Prefix: mustPrefix(t, "https://api.example"+p)})
		}
		tables = append(tables, table(t, rules...))
	}
	for _, path := range paths {
		from := ask(t, addr, path)
		if from == "" {
			continue
		}
		if owner(worlds[0], path) == 0 && owner(worlds[0], from) < 0 {
			naive++
		}
		for i, world := range worlds {
			v := tables[i].Lookup(host, "GET", path)
			if v.Rule >= 0 && owner(world, from) != v.Rule {
				t.Errorf("%s: %q carries the token of %s and is served from %s", way, path, world[v.Rule], from)
			}
			covered := mustPrefix(t, "https://api.example"+world[0]).Covers(host, path)
			if covered && owner(world[:1], from) < 0 {
				t.Errorf("%s: %q is covered by %s and is served from %s", way, path, world[0], from)
			}
			if i == 0 && v.Rule == 0 {
				home++
			}
		}
	}
	return naive, home
}
