package gate

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	onbehalf "github.com/injectproxy/injectproxy/internal/exchange"
)

// TestTheLogNamesTheScopesThatNobodyHasConsentedTo holds for a call that fails for
// that: the start of the gate may be long ago.
func TestTheLogNamesTheScopesThatNobodyHasConsentedTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines lockedBuffer
		office := new(bureau)
		o := Options{Routes: behalf("1.1", office), Authority: "https://login.example", ClientID: "client", Log: slog.New(slog.NewTextHandler(&lines, nil))}
		for i := range o.Routes {
			o.Routes[i].BehalfOf = []string{"api://x/read", "api://x/write"}
		}
		f := inside(t, o, func(http.ResponseWriter, *http.Request) {})
		for reason, want := range map[onbehalf.Reason]bool{onbehalf.Consent: true, onbehalf.Misconfigured: false} {
			lines.b.Reset()
			office.exchange = refusing(onbehalf.Refusal{Reason: reason, Code: 1})
			f.do(t, f.request(t, "POST", "/judged", callEcho))
			if said := lines.String(); strings.Count(said, "\n") != 1 || strings.Contains(said, `scopes="api://x/read api://x/write"`) != want {
				t.Errorf("%s: said\n%s", reason, said)
			}
		}
	})
}
