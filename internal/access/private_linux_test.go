package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFileOfAnotherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		missing(t, "giving a file away needs root")
	}
	file := filepath.Join(t.TempDir(), "credential")
	if _, err := LoadOrCreate(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(file); err == nil || !strings.Contains(err.Error(), "another user (uid 65534)") {
		t.Errorf("got %v", err)
	}
}
