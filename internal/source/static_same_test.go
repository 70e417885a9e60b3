package source

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

// Whoever keeps the token has to put another one there, and is told where.
func TestTokenThatIsKeptSomewhereAndWasRefusedSaysWhereToPutAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "kept-token-1")
	t.Setenv("SOURCE_TEST_TOKEN", "kept-token-1")
	for name, src := range map[string]token.Source{
		"token_file":    NewFile(path),
		"token_env":     NewEnv("SOURCE_TEST_TOKEN"),
		"token_command": acting(t, "print", "kept-token-1"),
	} {
		t.Run(name, func(t *testing.T) {
			first := wantToken(t, src, token.Ask{}, "kept-token-1")
			_, err := src.Token(t.Context(), token.Ask{Rejected: first})
			e := wantError(t, err, token.Misconfigured)
			if !errors.Is(err, token.ErrSame) || e.Hint == "" || e.Source != name || e.Stale == nil {
				t.Errorf("%+v", e)
			}
			if strings.Contains(e.Error()+e.Hint, first.Reveal()) {
				t.Error("the error holds the token")
			}
			wantToken(t, src, token.Ask{Rejected: other(t)}, "kept-token-1")
			wantToken(t, src, token.Ask{}, "kept-token-1")
		})
	}
}
