package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/ca"
)

// madeCA makes a CA in the home of this test, whose path has a space in it.
func madeCA(t *testing.T) *ca.Authority {
	t.Helper()
	home := filepath.Join(t.TempDir(), "my home")
	t.Setenv("INJECTPROXY_HOME", home)
	permit, err := ca.ParsePermit([]string{"corp.example", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Ensure(filepath.Join(home, "ca"), permit, nil)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func TestCAShowTellsWhatToTrust(t *testing.T) {
	authority := madeCA(t)
	bundle := filepath.Join(filepath.Dir(authority.RootFile()), "bundle.pem")
	show := func() string {
		var stdout, stderr bytes.Buffer
		if status := run([]string{"ca", "show"}, &stdout, &stderr); status != 0 || stderr.Len() > 0 {
			t.Fatalf("exit status %d, stderr %q", status, stderr.String())
		}
		return stdout.String()
	}
	text := show()
	for _, want := range []string{
		authority.RootFile() + "\n", authority.Fingerprint() + "\n", "corp.example, 10.0.0.0/8; nothing else\n",
		authority.Root().NotAfter.Format(time.DateOnly) + " (", "curl --cacert '" + authority.RootFile() + "'",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, bundle) {
		t.Errorf("names a bundle that is not there:\n%s", text)
	}
	if err := os.WriteFile(bundle, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if text := show(); !strings.Contains(text, "SSL_CERT_FILE='"+bundle+"'") {
		t.Errorf("does not name the bundle:\n%s", text)
	}
}

func TestCAShowJSON(t *testing.T) {
	authority := madeCA(t)
	var stdout, stderr bytes.Buffer
	if status := run([]string{"ca", "show", "--json"}, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d, stderr %q", status, stderr.String())
	}
	var got struct {
		File        string              `json:"file"`
		Fingerprint string              `json:"fingerprint_sha256"`
		Permit      map[string][]string `json:"permit"`
		NotAfter    time.Time           `json:"not_after"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.File != authority.RootFile() || got.Fingerprint != authority.Fingerprint() ||
		strings.Join(got.Permit["dns"], " ") != "corp.example" || strings.Join(got.Permit["ip"], " ") != "10.0.0.0/8" ||
		!got.NotAfter.Equal(authority.Root().NotAfter) {
		t.Errorf("got %s", stdout.String())
	}
}

func TestCAShowWithoutAUsableCANamesTheRemedy(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		t.Setenv("INJECTPROXY_HOME", t.TempDir())
		wantFailure(t, "there is no CA yet", "injectproxy serve")
	})
	t.Run("damaged", func(t *testing.T) {
		file := madeCA(t).RootFile()
		if err := os.WriteFile(file, []byte("damaged"), 0o644); err != nil {
			t.Fatal(err)
		}
		wantFailure(t, file+": ", "injectproxy ca rotate, then injectproxy ca rotate --finish")
	})
}

func wantFailure(t *testing.T, problem, hint string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run([]string{"ca", "show"}, &stdout, &stderr)
	told, remedy, _ := strings.Cut(stderr.String(), "\nhint: ")
	if status != exitFailed || stdout.Len() > 0 || !strings.HasPrefix(told, "error: ") ||
		!strings.Contains(told, problem) || !strings.Contains(remedy, hint) {
		t.Errorf("exit status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
	}
}
