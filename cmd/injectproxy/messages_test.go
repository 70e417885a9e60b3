package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// namedCommand finds the commands that texts tell the user to run. The words are
// those of all commands that this program has or will have: "start injectproxy
// again" names none.
var namedCommand = regexp.MustCompile(`injectproxy ((?:ca )?(?:serve|exec|env|init|check|explain|doctor|login|show|install|uninstall|rotate|status|demo|stdio|gate|version|completion))\b`)

func TestMessagesNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	found := 0
	for place, text := range texts(t) {
		for _, match := range namedCommand.FindAllStringSubmatch(text, -1) {
			found++
			if !isCommand(match[1]) {
				t.Errorf("%s tells the user to run %q, which there is not", place, match[0])
			}
		}
	}
	if found < 5 {
		t.Errorf("%d texts name a command: the search does not find them", found)
	}
}

// isCommand reports whether the words lead to a command.
func isCommand(words string) bool {
	root := newRootCommand(&globals{})
	root.SetOut(io.Discard)
	root.InitDefaultCompletionCmd()
	found, rest, err := root.Find(strings.Fields(words))
	return err == nil && found != root && len(rest) == 0
}

// texts returns what users read, by place: README, docs, example, and every string
// of the program itself.
func texts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	maps.Copy(all, pages(t))
	example, err := os.ReadFile("../../config.example.toml")
	must(t, err)
	all["config.example.toml"] = string(example)
	for _, root := range []string{".", "../../internal"} {
		must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, _ := strconv.Unquote(lit.Value)
					all[files.Position(lit.Pos()).String()] = text
				}
				return true
			})
			return nil
		}))
	}
	return all
}
