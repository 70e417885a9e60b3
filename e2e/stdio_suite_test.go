package e2e_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestStdioPassesTheServerSuite: the protocol's own suite looks at a real server
// twice, at its own door and through the bridge. It speaks HTTP, so a front of
// ours gives its messages to bridges, which talk to the server in TLS and with
// the token. Each check that succeeds directly succeeds through the bridge, but
// those of what a client over stdio cannot say.
func TestStdioPassesTheServerSuite(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	for _, tt := range []struct {
		revision  string
		flag      string // of the server: it has one era at a time
		scenarios int    // without a failure
		lost      func(check string) bool
	}{
		{"2025-11-25", "-stateless=false", 33, func(check string) bool {
			// When to come back to a stream is the front's to say.
			return check == "server-server-sse-polling server-sse-retry-field 0"
		}},
		{"2026-07-28", "-stateless=true", 38, ofHTTP},
	} {
		t.Run(tt.revision, func(t *testing.T) {
			t.Parallel()
			address := conformanceServer(t, tt.flag)
			direct := conformance(t, n, client{}, "http://"+address, tt.revision)
			w, g := newWorld(t), newGateway(t)
			w.cert, w.caFile = newCertificate(t, "localhost")
			u := w.upstream("localhost", g.token, http2too, leadingTo(address))
			url := "https://" + strings.Replace(w.addresses["localhost:443"], "127.0.0.1", "localhost", 1) + "/"
			s := w.shell("E2E_TOKEN=" + g.token)
			f := newFront(t, tt.revision >= "2026", func() *child { return s.stdio(t, url) })
			through := conformance(t, n, client{}, f.address(), tt.revision)
			for _, check := range slices.Sorted(maps.Keys(direct)) {
				if direct[check] == "SUCCESS" && through[check] != "SUCCESS" && !tt.lost(check) {
					t.Errorf("%s: directly %q, through the bridge %q", check, direct[check], through[check])
				}
			}
			if good := passed(through); len(good) < tt.scenarios {
				t.Errorf("%d scenarios pass, want %d: %q", len(good), tt.scenarios, good)
			}
			t.Logf("of %d scenarios %d pass directly, %d through the bridge", len(scenarios(direct)), len(passed(direct)), len(passed(through)))
			u.wantGuarded(t)
		})
	}
}

// ofHTTP tells whether a check sends header fields that do not say what the body
// says, or says in them alone which era it is of. Over stdio there are none, and
// the bridge's own are always right. One asks for initialize not to be there:
// the bridge serves who begins so, in the era that has it.
func ofHTTP(check string) bool {
	scenario, name, _ := strings.Cut(check, " ")
	name, _, _ = strings.Cut(name, " ")
	switch scenario {
	case "server-http-header-validation", "server-http-custom-header-server-validation":
		return true
	case "server-tasks-request-headers":
		return name == "tasks-headers-reject-mismatched-method"
	case "server-server-stateless":
		return slices.Contains([]string{
			"sep-2575-http-server-header-mismatch-400",
			"sep-2575-request-meta-invalid-missing-meta", "sep-2575-request-meta-invalid-missing-protocol-version",
			"sep-2575-http-server-meta-invalid-400",
			"sep-2575-http-server-method-not-found-404-initialize",
		}, name)
	}
	return false
}

// scenarios returns the checks that failed, by scenario.
func scenarios(verdicts map[string]string) map[string][]string {
	failed := map[string][]string{}
	for check, verdict := range verdicts {
		scenario, name, _ := strings.Cut(check, " ")
		failed[scenario] = append(failed[scenario], nil...)
		if verdict == "FAILURE" {
			failed[scenario] = append(failed[scenario], name)
		}
	}
	return failed
}

// passed returns the scenarios none of whose checks failed, as the suite counts.
func passed(verdicts map[string]string) (names []string) {
	for name, failed := range scenarios(verdicts) {
		if len(failed) == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
