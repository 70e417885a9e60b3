package source

import (
	"encoding/json"
	"regexp"
	"strings"
)

// The words in which the tools say that nobody is signed in count only where a
// tool puts them, and whole: anywhere else they may be a quotation. az's
// "Interactive authentication is needed" is not among them, nor is any mention
// of az login: az prints both after almost every failure.
var (
	azErrorLine = regexp.MustCompile(`(?m)^ERROR: .*$`)
	azNobody    = regexp.MustCompile(`^ERROR: (Please run 'az login' to setup account\.|` +
		`User '[^']*' does not exist in MSAL token cache\. Run .az login.\.|` +
		`Can't find token from MSAL cache\.)\s*$`)
	azdNobody = regexp.MustCompile(`(?m)^(ERROR: )?(fetching token: )?` +
		`(not logged in|login expired|reauthentication required), run .azd auth login\b`)
	powershellSignedOut = regexp.MustCompile(`(?m)^(Run Connect-AzAccount to login\.|` +
		`Your Azure credentials have not been set up or have expired)`)
)

// azSignedOut looks at the first error alone, which is az's own.
func azSignedOut(stderr string) bool { return azNobody.MatchString(azErrorLine.FindString(stderr)) }

func azdSignedOut(stderr string) bool { return azdNobody.MatchString(azdText(stderr)) }

// azdText returns what azd says on standard error, one error a line. Asked for
// JSON it says that in JSON too: {"error": …} from 1.23.7, before in the
// message of what it would print on a console.
func azdText(stderr string) string {
	var b strings.Builder
	for line := range strings.Lines(stderr) {
		var e struct {
			Error string
			Data  struct{ Message string }
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			b.WriteString(line)
			continue
		}
		b.WriteString(e.Error + "\n" + e.Data.Message + "\n")
	}
	return b.String()
}
