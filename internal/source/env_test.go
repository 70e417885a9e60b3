package source

import (
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestVariableIsReadAtEachCall(t *testing.T) {
	const name = "SOURCE_TEST_TOKEN"
	src := NewEnv(name)
	for _, value := range []string{"first", "second"} {
		t.Setenv(name, value+"\n")
		got, err := src.Token(t.Context(), token.Ask{})
		if err != nil || got.Reveal() != value || got.Source() != "token_env" || !got.Expiry().IsZero() {
			t.Errorf("got %v, %v", got, err)
		}
	}
	t.Setenv(name, jwt(`{"exp":4102444800}`))
	got, err := src.Token(t.Context(), token.Ask{})
	if err != nil || got.Expiry().Unix() != 4102444800 {
		t.Errorf("got expiry %v, %v", got.Expiry(), err)
	}
}

func TestUnusableVariableIsNamed(t *testing.T) {
	const name = "SOURCE_TEST_TOKEN"
	for _, value := range []string{"", canary + " x", canary + "\r\nX: y", jwt(`{"exp":1000}`)} {
		t.Setenv(name, value)
		_, err := NewEnv(name).Token(t.Context(), token.Ask{})
		e := wantError(t, err, token.Misconfigured)
		if !strings.Contains(e.Message, name) || !strings.Contains(e.Hint, "token_env") {
			t.Errorf("%q: error %v, hint %q", value, e, e.Hint)
		}
	}
}
