//go:build unix

package source

import (
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

// An upstream can send more than a command line takes.
func TestClaimsThatAreTooLongForACommandAreLeftOut(t *testing.T) {
	t.Parallel()
	most := `{"a":"` + strings.Repeat("x", 4096-8) + `"}`
	for _, claims := range []string{most, most + " "} {
		fits := len(claims) == 4096
		s := newStage(t, []string{"az", "azd", "pwsh"}, "DISPLAY=:0")
		s.plays("version", part{Stdout: `{"azure-cli": "2.76.0"}`})
		s.plays("account", part{Stdout: answer("refused")})
		s.plays("auth", part{Stdout: `{"token":"refused","expiresOn":"2099-12-31T00:00:00Z"}`})
		s.plays("-NoLogo", part{Stdout: `{"token":"refused","expires_on":4102444800}`})
		s.plays("login", part{})
		tools, e := s.tools(), Entra{ClientID: api, Tenant: tenant}
		az, _ := tools.Az(e)
		azd, _ := tools.Azd(e)
		ps, _ := tools.PowerShell(e)
		for _, src := range []token.Source{az, azd, ps} {
			_, err := src.Token(t.Context(), token.Ask{Rejected: tokenOf(t, "refused"), Claims: claims})
			hint := wantError(t, err, token.SignIn).Hint
			if src != azd && strings.Contains(strings.ToLower(hint), "challenge") != fits || len(hint) > 6000 {
				t.Errorf("%T: %d bytes of claims make a hint of %d: %.200s", src, len(claims), len(hint), hint)
			}
		}
		if err := az.SignIn(t.Context(), claims, func(string) {}); err != nil {
			t.Error(err)
		}
		az.claims.Store(true) // from a challenge before
		if command := az.Command(claims); strings.Contains(command, "challenge") != fits {
			t.Errorf("%d bytes of claims make a command of %d", len(claims), len(command))
		}
		for _, c := range s.calls() {
			if has := slices.Contains(c.Args, encodeClaims(claims)); has != (fits && (c.Args[0] == "login" || c.Args[0] == "auth")) {
				t.Errorf("%d bytes of claims, and az %.200q has them: %v", len(claims), c.Args, has)
			}
			if c.Args[0] == "auth" && !fits && !slices.Contains(c.Args, encodeClaims("{}")) {
				t.Errorf("azd is not made to pass its cache by: %q", c.Args)
			}
		}
	}
}
