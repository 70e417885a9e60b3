package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

func openAudit(t testing.TB, name string, log *slog.Logger) *Audit {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	a, err := OpenAudit(name, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(guard) })
	return a
}

// guard is what no test may last.
const guard = 2 * time.Minute

// settled returns once all lines before are written.
func settled(a *Audit) {
	seen := make(chan struct{})
	a.lines <- auditLine{seen: seen}
	<-seen
}

// reopened returns once the file is opened again.
func reopened(a *Audit) {
	a.Reopen()
	for len(a.again) > 0 {
		settled(a)
	}
	settled(a)
}

// auditPaths returns the path that each line of the files tells, and fails the
// test if one is not JSON.
func auditPaths(t testing.TB, names ...string) (paths []string) {
	t.Helper()
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			var got struct{ Path string }
			if err := json.Unmarshal([]byte(line), &got); err != nil || !strings.HasSuffix(line, "\n") {
				t.Errorf("%s: torn line %q: %v", filepath.Base(name), line, err)
			}
			paths = append(paths, got.Path)
		}
	}
	return paths
}

func asked(path string) *record.Record {
	return &record.Record{Start: time.Unix(1800000000, 0), Method: "GET", Path: path, Status: 200}
}

func TestAuditLineHasEveryFact(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	a := openAudit(t, name, nil)
	r := healed()
	r.Start, r.Client, r.Session = time.Date(2026, 11, 21, 19, 0, 0, 5e6, time.FixedZone("", 3600)), "build-farm", "healed"
	a.Request(r, 12345678*time.Nanosecond)
	a.Request(new(record.Record), 0)
	settled(a)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	for line := range strings.Lines(string(b)) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		got = append(got, one)
	}
	want := map[string]any{
		"time": "2026-11-21T18:00:00.005Z", "team": "platform", "rule": "mcp-1", "kind": "mcp", "method": "POST",
		"authority": "mcp.corp.example:443", "path": "/servers/kusto/mcp", "status": 200.0, "attempt": 2.0,
		"source": "azure-cli", "token": "5f70bf18", "duration_ms": 12.346, "bytes": 48211.0,
		"client": "build-farm", "retry": "sent again with a new token", "session": "healed", "problem": "",
	}
	if len(got) != 2 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(got[1]) < len(want)-1 { // the time of nothing is not told
		t.Errorf("a line without some keys: %v", got[1])
	}
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAuditMasksWhatLooksLikeASecret(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	a := openAudit(t, name, nil)
	r := asked("/x?code=" + canary + "\n{\"forged\":1}")
	r.Problem = "Bearer " + canary + "1"
	r.Method = jwt
	a.Request(r, 0)
	a.Request(asked("/https://u:"+canary+"@h/"), 0)
	settled(a)
	b, _ := os.ReadFile(name)
	if got := string(b); strings.Contains(strings.ReplaceAll(got, "/x?code="+canary, ""), canary) || strings.Contains(got, jwt) || strings.Count(got, "\n") != 2 {
		t.Errorf("%s", got)
	}
	auditPaths(t, name)
}

// While it is written from all sides the file is renamed and opened again, as
// logrotate does it: each line is in one of the files, once and whole.
func TestAuditLosesNoLineWhenItIsRotated(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files that are open cannot be renamed")
	}
	const writers, each, turns = 8, 300, 20
	name := filepath.Join(t.TempDir(), "audit")
	a := openAudit(t, name, nil)
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := range each {
				a.Request(asked(fmt.Sprintf("/%d/%d/%s", w, i, strings.Repeat("x", 2000))), 0)
			}
		})
	}
	names := []string{name}
	for i := range turns {
		old := fmt.Sprintf("%s.%d", name, i)
		if err := os.Rename(name, old); err != nil {
			t.Fatal(err)
		}
		names = append(names, old)
		reopened(a)
	}
	running.Wait()
	settled(a)
	got := auditPaths(t, names...)
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != writers*each || len(got) != writers*each || a.Errors() != 0 || a.Lost() != 0 {
		t.Errorf("%d lines, %d different ones, of %d; %d errors, %d lost", len(got), n, writers*each, a.Errors(), a.Lost())
	}
}

// A file that has been renamed or removed is written until Reopen; one that
// cannot be opened then changes nothing.
func TestAuditKeepsItsFileUntilItIsReopened(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files that are open cannot be renamed")
	}
	dir := t.TempDir()
	name, old := filepath.Join(dir, "sub", "audit"), filepath.Join(dir, "audit.1")
	if err := os.Mkdir(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	log, out := newLogger(t, "info", "text")
	a := openAudit(t, name, log)
	a.Request(asked("/1"), 0)
	settled(a)
	if err := os.Rename(name, old); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Dir(name))
	a.Request(asked("/2"), 0)
	reopened(a)
	a.Request(asked("/3"), 0)
	settled(a)
	if got := auditPaths(t, old); !slices.Equal(got, []string{"/1", "/2", "/3"}) || a.Errors() != 1 {
		t.Errorf("%q, %d errors", got, a.Errors())
	}
	if !strings.Contains(out.String(), "cannot be opened again") || !strings.Contains(out.String(), "hint=") {
		t.Errorf("logged %s", out)
	}
	if why, since, lost := a.Failing(); !strings.Contains(why, "cannot be opened again") || since.IsZero() || lost != 0 {
		t.Errorf("failing: %q since %v, %d lines", why, since, lost)
	}
	os.Mkdir(filepath.Dir(name), 0o700)
	reopened(a)
	a.Request(asked("/4"), 0)
	settled(a)
	if why, _, _ := a.Failing(); why != "" {
		t.Errorf("failing: %q", why)
	}
	if got := auditPaths(t, name); !slices.Equal(got, []string{"/4"}) {
		t.Errorf("%q", got)
	}
	a.Close(guard)
	a.Request(asked("/5"), 0)
	a.Reopen()
	if got := auditPaths(t, name); len(got) != 1 {
		t.Errorf("written after the end: %q", got)
	}
	var none *Audit
	none.Request(asked("/"), 0)
	none.Reopen()
	none.Close(0)
	if why, _, _ := none.Failing(); why != "" || none.Lost() != 0 {
		t.Error(why)
	}
}

func TestAuditEndsALineThatAKilledProcessLeft(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	if err := os.WriteFile(name, []byte("{\"path\":\"/whole\"}\n{\"path\":\"/ha"), 0o640); err != nil {
		t.Fatal(err)
	}
	a := openAudit(t, name, nil)
	a.Request(asked("/next"), 0)
	settled(a)
	b, _ := os.ReadFile(name)
	if lines := strings.Split(string(b), "\n"); len(lines) != 4 || lines[1] != `{"path":"/ha` || !json.Valid([]byte(lines[2])) || lines[3] != "" {
		t.Errorf("%q", lines)
	}
}

func TestAuditRefusesWhatItCannotWrite(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "none", "audit")} {
		if a, err := OpenAudit(name, nil); err == nil {
			a.Close(0)
			t.Errorf("%s is opened", name)
		}
	}
}

// The log hears once a minute at most of a file that cannot be written.
func TestAuditTellsOnceAMinuteThatItFails(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		name := filepath.Join(t.TempDir(), "audit")
		if err := os.Symlink("/dev/full", name); err != nil {
			t.Fatal(err)
		}
		a := openAudit(t, name, log)
		defer a.Close(guard)
		for range 150 {
			a.Request(asked("/"), 0)
			time.Sleep(time.Second)
		}
		if why, since, lost := a.Failing(); !strings.Contains(why, "no space") || time.Since(since) != 150*time.Second || lost != 150 || a.Lost() != 150 {
			t.Errorf("failing: %q since %v, %d lines, %d lost", why, since, lost, a.Lost())
		}
		if n := strings.Count(out.String(), "cannot be written"); n != 3 || a.Errors() != 150 {
			t.Errorf("told %d times in two and a half minutes, %d errors", n, a.Errors())
		}
		os.Remove(name)
		reopened(a)
		a.Request(asked("/ok"), 0)
		a.Request(asked("/ok"), 0)
		settled(a)
		if why, _, _ := a.Failing(); why != "" {
			t.Errorf("failing: %q", why)
		}
		if got := out.String(); strings.Count(got, "is written again") != 1 || !strings.Contains(got, "lost=150") {
			t.Errorf("logged %s", got)
		}
		if got := auditPaths(t, name); len(got) != 2 {
			t.Errorf("%q", got)
		}
	})
}

// A disk that works loses no line, however many come at once, and the end waits
// for those that are left.
func TestAuditWritesTenThousandLinesOfABurst(t *testing.T) {
	const writers, each = 16, 625
	name := filepath.Join(t.TempDir(), "audit")
	a := openAudit(t, name, nil)
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := range each {
				a.Request(asked(fmt.Sprintf("/%d/%d", w, i)), 0)
			}
		})
	}
	running.Wait()
	a.Close(guard)
	got := auditPaths(t, name)
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != writers*each || a.Lost() != 0 || a.size.Load() != 0 {
		t.Errorf("%d lines, %d lost, %d bytes still wait", n, a.Lost(), a.size.Load())
	}
}
