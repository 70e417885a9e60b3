//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Whoever wants an audit wants the requests of exec in it: several at a time
// write whole lines into the same file, and each has written all when it ends.
func TestExecWritesTheAuditFileToo(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		absent(t, "curl is not installed")
	}
	o := newOrigin(t, "h1", nil, "api.example.test")
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	s := exchangeConfig(t, o, "", fmt.Sprintf("[log]\naudit = %q\n", file))
	var both sync.WaitGroup
	want := []string{}
	for i := range 2 {
		path := fmt.Sprintf("/v1/%d/", i)
		for n := range 20 {
			want = append(want, fmt.Sprint(path, n))
		}
		e := newExecution(t, "--", curl, "-sS", "-o", os.DevNull, "--noproxy", "", "https://api.example.test"+path+"[0-19]?code=secret-query")
		s.write(t, e.home)
		both.Go(func() {
			if how := e.run(t); how.ExitStatus() != 0 {
				t.Errorf("ended with %#x:\n%s", how, e.stderr.String())
			}
		})
	}
	both.Wait()
	var got []string
	for _, l := range auditLines(t, file) {
		got = append(got, l.Path)
		if l.Rule != "api" || l.Status != 200 || l.Token == "" {
			t.Errorf("%+v", l)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestExecDoesNotStartWithoutItsAuditFile(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h1", nil, "api.example.test")
	e := newExecution(t, "--", "sh", "-c", "echo ran")
	exchangeConfig(t, o, "", "[log]\naudit = \"none/audit.jsonl\"\n").write(t, e.home)
	how := e.run(t)
	said := e.stderr.String()
	if how.ExitStatus() != exitNotStarted || lineWith(said, "error: log.audit: ", filepath.Join(e.home, "none", "audit.jsonl")) == "" || lineWith(said, "hint: ") == "" || strings.Contains(e.stdout.String(), "ran") {
		t.Errorf("ended with %#x:\n%s", how, said)
	}
}
