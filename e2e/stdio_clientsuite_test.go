package e2e_test

import (
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestStdioPassesTheClientSuite: to the suite's servers a client over stdio
// behind the bridge is a client like another. Resumption, header fields and
// whatever else is HTTP's are the bridge's, for the client knows nothing of it.
// The servers speak plain HTTP: a door before them speaks TLS, and wants the
// token.
func TestStdioPassesTheClientSuite(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	w, g := newWorld(t), newGateway(t)
	w.upstream("door.corp.test", g.token, http2too, byPort(t))
	s := w.shell("E2E_TOKEN=" + g.token)
	suite := filepath.Join(n.modules, "@modelcontextprotocol", "conformance", "dist", "index.js")
	command := strings.Join([]string{n.program, n.script(t, "stdio-conformance.mjs"), s.program, "https://door.corp.test"}, " ")
	for revision, scenarios := range map[string][]string{
		"2025-11-25": {"initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry", "json-schema-2020-12-preservation"},
		"2026-07-28": {
			"tools_call", "request-metadata", "http-standard-headers", "http-custom-headers", "http-invalid-tool-headers",
			"sep-2322-client-request-state", "json-schema-ref-no-deref", "json-schema-2020-12-preservation",
		},
	} {
		for _, scenario := range scenarios {
			t.Run(revision+"/"+scenario, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				out, errs, err := s.try(t, n.program, suite, "client", "--command", command, "--scenario", scenario, "--spec-version", revision, "-o", dir)
				good := 0
				checks := verdicts(t, dir)
				for _, check := range slices.Sorted(maps.Keys(checks)) {
					switch checks[check] {
					case "SUCCESS":
						good++
					case "FAILURE", "WARNING":
						t.Errorf("%s: %s", check, checks[check])
					}
				}
				if err != nil || good == 0 || t.Failed() {
					t.Errorf("%d checks succeed (%v)\n%s%s", good, err, out, errs)
				}
			})
		}
	}
}

// byPort leads to this machine's port that is the path's first segment, with
// what follows.
func byPort(t *testing.T) http.Handler {
	first := regexp.MustCompile(`^/([0-9]+)(/.*)$`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := first.FindStringSubmatch(r.URL.Path)
		if m == nil {
			t.Errorf("%s leads nowhere", r.URL.Path)
			http.NotFound(w, r)
			return
		}
		r.URL.Path, r.URL.RawPath = m[2], ""
		r.Host = "localhost:" + m[1]
		leadingTo(r.Host).ServeHTTP(w, r)
	})
}
