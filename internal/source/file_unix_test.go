//go:build unix

package source

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestPipeIsRefusedUnopened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := NewFile(path).Token(t.Context(), token.Ask{}) // would hang if opened
	wantError(t, err, token.Misconfigured)
}
