package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestEveryCommandHasAManPage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "man1")
	var stdout, stderr bytes.Buffer
	if status := run([]string{"man", dir}, &stdout, &stderr); status != 0 || stdout.Len() > 0 {
		t.Fatalf("exit status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
	}
	pages := 0
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		pages++
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		page, err := os.ReadFile(filepath.Join(dir, name+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		text := strings.ReplaceAll(string(page), `\-`, "-")
		for _, want := range []string{".TH", "SYNOPSIS", cmd.Short} {
			if !strings.Contains(text, want) {
				t.Errorf("the page of %q lacks %q", name, want)
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	root := newRootCommand(&globals{})
	root.InitDefaultCompletionCmd()
	visit(root)
	page, err := os.ReadFile(filepath.Join(dir, "injectproxy-exec.1"))
	must(t, err)
	if !strings.Contains(string(page), "\n.EX\ninjectproxy exec -- claude\ninjectproxy exec --only") {
		t.Error("the lines of an example run into each other")
	}
	if pages < 15 {
		t.Errorf("%d commands: the search does not find them", pages)
	}
}
