package source

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

// A token of unknown expiry would otherwise be used until an upstream refuses
// it, however often its file is replaced.
func TestReplacedFileIsUsedByTheNextRequest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	replace := func(value string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	replace("first")
	cache := token.NewCache(NewFile(path), token.Options{})
	defer cache.Close()
	want := func(value string) {
		t.Helper()
		got, err := cache.Token(t.Context())
		if err != nil || got.Reveal() != value {
			t.Fatalf("token %q, error %v, want %q", got.Reveal(), err, value)
		}
	}
	want("first")
	want("first")
	replace("second")
	want("second")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("second") // a file that is being replaced is away for a moment
	replace("third")
	want("third")
	replace("not\x00a token")
	want("third") // what worked keeps working
}
