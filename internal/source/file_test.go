package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// age makes the file old enough for its times to be trusted.
func age(t *testing.T, path string, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func wantToken(t *testing.T, src token.Source, ask token.Ask, want string) token.Token {
	t.Helper()
	got, err := src.Token(t.Context(), ask)
	if err != nil || got.Reveal() != want {
		t.Fatalf("got %q, %v, want %q", got.Reveal(), err, want)
	}
	return got
}

func TestFileIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	src := NewFile(path)

	write(t, path, "one\n")
	if got := wantToken(t, src, token.Ask{}, "one"); got.Source() != "token_file" {
		t.Errorf("source %q", got.Source())
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "two\n") // same size, and within one tick of the clock
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	wantToken(t, src, token.Ask{}, "two")

	next := path + ".next" // as Kubernetes and renameio do it
	write(t, next, "six\n")
	age(t, path, time.Hour)
	age(t, next, time.Hour)
	wantToken(t, src, token.Ask{}, "two")
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	wantToken(t, src, token.Ask{}, "six")
}

func TestUnchangedFileIsNotReadUnlessItsTokenWasRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "one")
	age(t, path, time.Hour)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	src := NewFile(path)
	one := wantToken(t, src, token.Ask{}, "one")

	write(t, path, "two") // behind the back of the file's times
	if err := os.Chtimes(path, before.ModTime(), before.ModTime()); err != nil {
		t.Fatal(err)
	}
	wantToken(t, src, token.Ask{}, "one")
	wantToken(t, src, token.Ask{Rejected: one}, "two")
	wantToken(t, src, token.Ask{}, "two")
}

func TestFileThatIsBeingWrittenIsWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "")
	src := NewFile(path)
	if _, err := src.(*file).read(); !errors.Is(err, errUnsettled) {
		t.Fatalf("an empty file: got %v", err)
	}
	done := make(chan error, 1)
	go func() {
		got, err := src.Token(t.Context(), token.Ask{})
		if err == nil && got.Reveal() != "whole" {
			err = errors.New("got " + got.Reveal())
		}
		done <- err
	}()
	write(t, path+".next", "whole")
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestEmptyFileIsGivenUp(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "")
	_, err := NewFile(path).Token(t.Context(), token.Ask{})
	wantError(t, err, token.Misconfigured)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = NewFile(path).Token(ctx, token.Ask{})
	if e := wantError(t, err, token.Transient); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
}

func TestUnusableFileIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, make := range map[string]func(path string){
		"missing":       func(string) {},
		"directory":     func(p string) { os.Mkdir(p, 0o700) },
		"too large":     func(p string) { write(t, p, canary+strings.Repeat("x", maxToken)) },
		"two lines":     func(p string) { write(t, p, canary+"\nX-Evil: 1\n") },
		"binary":        func(p string) { write(t, p, canary+"\xff") },
		"newline alone": func(p string) { write(t, p, "\n") },
		"loop":          func(p string) { os.Symlink(p, p) },
	} {
		path := filepath.Join(dir, name)
		make(path)
		_, err := NewFile(path).Token(t.Context(), token.Ask{})
		if e := wantError(t, err, token.Misconfigured); !strings.Contains(e.Message, path) || !strings.Contains(e.Hint, "token_file") {
			t.Errorf("%s: error %v, hint %q", name, e, e.Hint)
		}
	}
	path := filepath.Join(dir, "expired")
	write(t, path, jwt(`{"exp":1000}`))
	_, err := NewFile(path).Token(t.Context(), token.Ask{})
	wantError(t, err, token.Transient)
}

func TestFileThatOthersMayWriteIsRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // permission bits say nothing there
	}
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, canary)
	if err := os.Chmod(path, 0o646); err != nil {
		t.Fatal(err)
	}
	_, err := NewFile(path).Token(t.Context(), token.Ask{})
	if e := wantError(t, err, token.Misconfigured); e.Hint != "chmod o-w "+path {
		t.Errorf("hint %q", e.Hint)
	}
	if err := os.Chmod(path, 0o664); err != nil {
		t.Fatal(err)
	}
	age(t, path, time.Hour)
	src := NewFile(path)
	wantToken(t, src, token.Ask{}, canary)
	if err := os.Chmod(path, 0o666); err != nil { // leaves the file's times alone
		t.Fatal(err)
	}
	_, err = src.Token(t.Context(), token.Ask{})
	wantError(t, err, token.Misconfigured)
}
