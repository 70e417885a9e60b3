package main

import (
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/injectproxy/injectproxy/internal/telemetry"
)

func TestStatusOfAGateSaysWhatCameOfExchanges(t *testing.T) {
	t.Parallel()
	var e exchanges
	now := time.Unix(2e9, 0)
	for result, before := range map[string]time.Duration{"ok": 0, "challenged": 0, "consent": time.Minute, "misconfigured": newsFor} {
		e.note(&telemetry.GateRequest{Route: "/mcp", Exchange: result, Start: now.Add(-before)})
	}
	e.note(&telemetry.GateRequest{Route: "/mcp", Exchange: "ok", Start: now})
	e.note(&telemetry.GateRequest{Route: "/mcp", Start: now}) // needed none
	routes := []statusRoute{{Path: "/plain"}, {Path: "/mcp", OnBehalfOf: []string{"api://x/y"}, Exchanges: e.on("/mcp")}}
	if n := routes[1].Exchanges; len(n) != 4 || n["ok"].Count != 2 || !n["consent"].Last.Equal(now.Add(-time.Minute)) {
		t.Errorf("%+v", n)
	}
	problems := exchangeProblems(routes, now)
	if len(problems) != 1 || problems[0].Text != "a caller's token could not be exchanged on route /mcp 1m0s ago: consent" || !strings.Contains(problems[0].Hint, "admin consent") {
		t.Errorf("%+v", problems)
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 1, ' ', 0)
	printExchanges(w, routes, now)
	w.Flush()
	const want = "\nEXCHANGED RESULT        TIMES LAST\n" + "/mcp      challenged    1     0s ago\n" + "/mcp      consent       1     1m0s ago\n" +
		"/mcp      misconfigured 1     10m0s ago\n" + "/mcp      ok            2     0s ago\n"
	if b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
	b.Reset()
	printExchanges(&b, append(routes[:1], statusRoute{Path: "/new", OnBehalfOf: []string{"api://x/y"}}), now)
	if b.Len() > 0 {
		t.Errorf("a gate that has exchanged no tokens says %s", b.String())
	}
}

// A result that a remedy is known of is one that there is.
func TestRemediesOfExchangesAreOfResultsThatThereAre(t *testing.T) {
	t.Parallel()
	known := " " + strings.Join(exchangeResults(), " ") + " "
	for result := range exchangeRemedies {
		if !strings.Contains(known, " "+result+" ") {
			t.Errorf("%q", result)
		}
	}
}
