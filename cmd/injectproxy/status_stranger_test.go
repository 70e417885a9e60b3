package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/admin"
)

// Whoever takes the status port first must not be shown the credential for the
// price of a 401.
func TestStatusShowsTheCredentialOnlyToWhoHasIt(t *testing.T) {
	home := t.TempDir()
	t.Setenv("INJECTPROXY_HOME", home)
	credential, err := access.LoadOrCreate(filepath.Join(home, "credential"))
	must(t, err)
	for name, tt := range map[string]struct {
		proof func(challenge, address string) string
		shown bool
	}{
		"who does not prove it":     {func(string, string) string { return "" }, false},
		"who makes a proof up":      {func(string, string) string { return strings.Repeat("ab", 32) }, false},
		"who has another":           {func(c, a string) string { return access.Generate().Proof(c + "\n" + a) }, false},
		"who relays from elsewhere": {func(c, _ string) string { return credential.Proof(c + "\n127.0.0.1:1") }, false},
		"who repeats an older one":  {func(_, a string) string { return credential.Proof("0123456789abcdef\n" + a) }, false},
		"who has it":                {func(c, a string) string { return credential.Proof(c + "\n" + a) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var seen []string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen = append(seen, r.Header["Authorization"]...)
				mu.Unlock()
				if r.Header.Get("Authorization") != "" {
					w.Write([]byte("{}"))
					return
				}
				address := r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
				w.Header().Set(admin.ProofField, tt.proof(r.Header.Get(admin.ChallengeField), address))
				w.WriteHeader(http.StatusUnauthorized)
			}))
			defer s.Close()
			_, err := askStatus(context.WithoutCancel(t.Context()), s.Listener.Addr().String())
			mu.Lock()
			defer mu.Unlock()
			if shown := len(seen) > 0; shown != tt.shown || (err == nil) != tt.shown {
				t.Errorf("shown %v, %v", shown, err)
			}
		})
	}
}
